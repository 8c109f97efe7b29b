"""replay: a model that answers from a recording."""

from __future__ import annotations

import math
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import reactivex as rx
from reactivex import Observable, abc

from ...engine.emitters import Emitter
from ...engine.schedulers import LoopScheduler
from ...errors import ConfigurationError, ScriptError
from ...llm.requests import ChatRequest, LLMConstraints
from ...recording.journals import timekeeper
from ...recording.redaction import Redact, Redaction
from ...values import Completion, Delta
from .exchanges import Exchange
from .played_answers import play, play_at_once
from .recorded_files import read_recording
from .request_matching import canonical, comparable, first_difference, likeness

__all__ = ["ReplayedLLM", "replay"]


@dataclass(eq=False, slots=True)
class _Kept:
    """A recorded request, in the forms in which it may be asked again: as written, and redacted anew."""

    exchange: Exchange
    forms: tuple[dict[str, Any], ...]
    keys: frozenset[str]
    asked: bool = False


class ReplayedLLM:
    """A model that answers from a recording; `replay` makes it.

    Attributes:
        constraints: What the recorded model could not do.
        requests: Each ChatRequest that was asked, in order.
    """

    def __init__(
        self, name: str, exchanges: Sequence[Exchange], speed: float = 1.0, redaction: Redaction | None = None
    ) -> None:
        self.requests: list[ChatRequest] = []
        constraints = {exchange.constraints for exchange in exchanges}
        self.constraints = constraints.pop() if len(constraints) == 1 else LLMConstraints()
        self._name = name
        self._speed = speed
        self._redaction = redaction or Redaction()
        self._lock = threading.Lock()
        self._kept = [self._keep(exchange) for exchange in exchanges]

    def _keep(self, exchange: Exchange) -> _Kept:
        forms = [comparable(exchange.body)]
        with suppress(Exception):  # a hook need not understand what it gave itself
            forms.insert(0, comparable(self._redaction.body(exchange.body)))
        return _Kept(exchange, tuple(forms), frozenset(map(canonical, forms)))

    @property
    def left(self) -> tuple[Exchange, ...]:
        """What was recorded and has not been asked again."""
        return tuple(kept.exchange for kept in self._kept if not kept.asked)

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion | str]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            self.requests.append(request)
            exchange = self._take(request)
            if math.isinf(self._speed):
                return play_at_once(exchange, self._name, observer)
            if scheduler is not None:
                time = timekeeper(scheduler)
                clock = LoopScheduler(time) if isinstance(time, AbstractEventLoop) else time
                return play(exchange, self._name, observer, clock, self._speed)
            played = Emitter[Any](
                lambda sink: play(exchange, self._name, sink, LoopScheduler(sink.loop), self._speed)
            )
            return played.subscribe(observer)

        return rx.create(subscribe)

    def _take(self, request: ChatRequest) -> Exchange:
        asked = comparable(self._redaction.body(request.body()))
        key = canonical(asked)
        with self._lock:
            same = [kept for kept in self._kept if key in kept.keys]
            for kept in same:
                if not kept.asked:
                    kept.asked = True
                    return kept.exchange
        who = _named(request.agent)
        if same:
            numbers = " and ".join(f"number {kept.exchange.number}" for kept in same)
            raise ScriptError(
                f"replay of {self._name}: {who} asked once more what was recorded {_times(len(same))} "
                f"({numbers}). Record it again, or ask no more often than it was"
            )
        raise ScriptError(
            f"replay of {self._name}: {who} asked what was not recorded. {self._nearest(asked)}"
        )

    def _nearest(self, asked: dict[str, Any]) -> str:
        if not self._kept:
            return "Nothing was: no request is in the recording. Record it again"
        nearest = max(self._kept, key=lambda kept: (likeness(kept.forms[0], asked), not kept.asked))
        difference = first_difference(nearest.forms[0], asked)
        assert difference is not None
        exchange = nearest.exchange
        number = len(self._kept)
        return (
            f"{number} {'request was' if number == 1 else 'requests were'}; the nearest, number "
            f"{exchange.number} of {_named(exchange.agent)}, differs first at {difference.place}:\n"
            f"  recorded  {difference.recorded}\n"
            f"  asked     {difference.asked}\n"
            "Record it again; or, where this varies from run to run, take it out with `redact`"
        )

    def __repr__(self) -> str:
        return f"replay({self._name!r})"


def _named(agent: str | None) -> str:
    return f"agent {agent!r}" if agent else "an unnamed agent"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def replay(
    path: str | os.PathLike[str], *, speed: float | None = 1.0, redact: Redact | None = None
) -> ReplayedLLM:
    """A model that answers from a recording, as it came and when it came.

    A request gets the recorded answer to an equal one: equal are messages, tools, response format and
    parameters, whoever asks; ids of tool calls do not count. Equal requests get their answers in the
    order in which they were asked; one more fails, as does one that was not recorded. The time is
    that of the scheduler passed to `subscribe`, or of the loop.

    ```
    recorded   --Hel-lo-|
    speed=1    --Hel-lo-|
    speed=inf  (Hel lo|)
    ```

    Args:
        path: What `record` or `Workflow.record` wrote.
        speed: How many times as fast; `math.inf` or None: at once.
        redact: What was passed as `redact` to record it; or what takes out of each body, of those in
            the recording too, what varies from run to run.

    Returns:
        A model with the `constraints` of the recorded one. It fails with the recorded error, of its
        class if that is one of rxagents, else as a `RecordedError`; with a ScriptError that names the
        nearest recorded request where none is equal; and with a ScriptError where an answer was
        cancelled in the recording and is not now.

    Raises:
        ConfigurationError: The file is no recording, or an argument is of no use.
    """
    if speed is not None and not (isinstance(speed, int | float) and speed > 0):
        raise ConfigurationError(f"`speed` is {speed!r}; give a number above 0, or None for all at once")
    redaction = Redaction(redact)
    recording = read_recording(path)
    whole = math.inf if speed is None else speed
    return ReplayedLLM(os.fspath(path), recording.requests, whole, redaction)
