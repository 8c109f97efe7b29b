"""A model that answers from a script; see `rxagents.llm.scripts` for what a script is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import MultipleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..engine.demands import Demand, current_demand
from ..engine.steps import stepped, when_wanted
from ..errors import ConfigurationError
from ..values import Completion, Delta
from .requests import ChatRequest, LLMConstraints
from .scripts import Script, ScriptSource

__all__ = ["ScriptedLLM"]

_CAN_ALL = LLMConstraints()


class ScriptedLLM:
    """A model that answers from a script: for tests, and to try a team without a service.

    Called with a request, it gives a cold observable: each subscription is a request of its own.
    It emits the deltas as OpenAI's wire would give them and a Completion, and completes; it fails
    with a ScriptError, or with the exception that the script orders. It stops while its reader wants
    no more.

    ```
    at_once   (Hello .|)
    paced     ------Hello-.-----|
    ```

    Args:
        script: A list of answers, a list of rules, or a function from the ChatRequest; an answer is
            text, a `Call`, a list of Calls, a dict, a `Reply` or an exception. `Call`, `Reply` and
            `Rule` are in `rxagents.llm`.
        delay: Seconds between two deltas. With 0, all is emitted on subscribe; else the scheduler
            that is passed to `subscribe` tells the time, or, if there is none, the running loop.
        constraints: What this model shall not be able to do.

    Attributes:
        requests: Each ChatRequest that was asked, in order.
    """

    def __init__(
        self,
        script: Script | ScriptSource,
        *,
        delay: float = 0.0,
        constraints: LLMConstraints = _CAN_ALL,
    ) -> None:
        self.requests: list[ChatRequest] = []
        self.constraints = constraints
        self._script = Script.of(script)
        self._delay = delay

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion]:
        def begin(_: abc.SchedulerBase) -> Observable[Delta | Completion]:
            self.requests.append(request)
            deltas, completion = self._script.render(self._script.pick(request), request.body())
            items: list[Delta | Completion] = [*deltas, completion]
            demand = current_demand()
            if self._delay > 0:
                return _paced(items, self._delay, demand)
            if demand is not None:
                return stepped(lambda: iter(items))
            # Its own scheduler, so that a scheduler passed to subscribe does not delay it.
            return rx.from_iterable(items, CurrentThreadScheduler.singleton())

        return rx.defer(begin)


def _paced(
    items: Sequence[Delta | Completion], delay: float, demand: Demand | None
) -> Observable[Delta | Completion]:
    """The first item at once, each further one `delay` seconds later, the completion with the last.

    One for which it is time is given as soon as it is wanted.
    """

    def subscribe(
        observer: abc.ObserverBase[Delta | Completion], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        pending = MultipleAssignmentDisposable()

        def step(clock: abc.SchedulerBase, index: int | None) -> None:
            position = index or 0
            if demand is not None and not demand.wanted:
                pending.disposable = when_wanted(demand, lambda: clock.schedule(step, position))
                return
            observer.on_next(items[position])
            if position + 2 < len(items):
                pending.disposable = clock.schedule_relative(delay, step, position + 1)
                return
            for item in items[position + 1 :]:
                observer.on_next(item)
            observer.on_completed()

        clock = scheduler or _loop_clock()
        pending.disposable = clock.schedule(step, 0)
        return pending

    return rx.create(subscribe)


def _loop_clock() -> abc.SchedulerBase:
    try:
        return AsyncIOScheduler(asyncio.get_running_loop())
    except RuntimeError:
        raise ConfigurationError(
            "a ScriptedLLM with a delay needs a scheduler passed to subscribe, or a running event loop"
        ) from None
