"""LoggedLLM: a model that passes through, and whose calls are told to a log when they have ended."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from reactivex import Observable
from reactivex.internal.constants import UTC_ZERO

from ..engine.loops import dropped
from ..errors import ConfigurationError
from ..recording.journals import Timekeeper, timekeeper
from ..recording.redaction import Redaction
from .listening import How, noted
from .model_calls import ModelCall, model_call
from .requests import LLM, ChatRequest, LLMConstraints

__all__ = ["CallLog", "LoggedLLM"]


class CallLog:
    """Where the calls of one log go, in their order.

    Args:
        write: Takes each call when it has ended.
        redaction: What is taken out.
        now: The time of day; by default that of the machine.

    Raises:
        ConfigurationError: `now` gives no time.
    """

    def __init__(
        self,
        write: Callable[[ModelCall], object],
        redaction: Redaction,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.redaction = redaction
        self.numbers = count(1)
        self._write = write
        self._now = now or _now
        if not (callable(self._now) and isinstance(self._now(), datetime)):
            raise ConfigurationError("`now` is a function that gives the time of day, a datetime")

    def moment(self) -> datetime:
        """The time of day, in UTC."""
        return self._now().astimezone(UTC)

    def write(self, call: Callable[[], ModelCall]) -> None:
        """Writes a call down. Whatever fails in it fails nothing else."""
        try:
            self._write(call())
        except Exception as error:
            dropped(error, "the log of a model's call could not be written")


class LoggedLLM:
    """A model that passes through and is logged; `logged` and `log_models` make it.

    Attributes:
        llm: The model.
        constraints: What the model cannot do.
    """

    def __init__(self, llm: LLM, log: CallLog) -> None:
        self.llm = llm
        self.constraints: LLMConstraints = getattr(llm, "constraints", LLMConstraints())
        self._log = log
        log.redaction.meet(llm)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return noted(self.llm, request, lambda clock: _Call(self, request, timekeeper(clock)))

    def __repr__(self) -> str:
        return f"logged({self.llm!r})"


class _Call:
    """One request and its answer, until it has ended."""

    def __init__(self, logged: LoggedLLM, request: ChatRequest, time: Timekeeper) -> None:
        self._llm = logged.llm
        self._log = logged._log
        self._request = request
        self._time = time
        self._from = _seconds(time)
        self._begun = self._log.moment()
        self._number = next(self._log.numbers)
        self._ended = False
        self._items: list[Any] = []

    def item(self, item: Any) -> None:
        self._items.append(item)

    def end(self, how: How, error: Exception | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        seconds = _seconds(self._time) - self._from
        self._log.write(
            lambda: model_call(
                self._llm,
                self._request,
                self._items,
                self._log.redaction,
                number=self._number,
                begun=self._begun,
                seconds=seconds,
                how=how,
                error=error,
            )
        )


def _seconds(time: Timekeeper) -> float:
    if isinstance(time, AbstractEventLoop):
        return time.time()
    return (time.now - UTC_ZERO).total_seconds()


def _now() -> datetime:
    return datetime.now(UTC)
