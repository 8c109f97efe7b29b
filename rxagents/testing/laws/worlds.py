"""World: what one example runs in. A loop in virtual time, and the count of all that was subscribed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import reactivex as rx
from reactivex import Observable

from ...engine.loops import on_dropped
from ...errors import RxAgentsError
from ...llm.requests import ChatRequest
from ..clock.virtual_clock import VirtualClock
from ..clock.virtual_loop import EndlessInstantError

__all__ = ["HORIZON", "Counted", "Make", "Operator", "Planted", "PlantedStop", "World"]

HORIZON = 1000.0
_STEPS = 100_000

T = TypeVar("T")
Operator = Callable[[Observable[Any]], Observable[Any]]


class Planted(RxAgentsError):
    """An error that belongs to an example: a source, a model, a tool or a subscriber failed with it."""


class PlantedStop(StopIteration):
    """Likewise, of the one kind that a coroutine cannot raise."""


class Counted(Protocol):
    """A source that counts who comes and goes."""

    name: str
    subscribed: list[float]
    released: list[float]


class World:
    """What one example runs in; to be used once, as a context manager.

    Args:
        pace: The seconds to wait in place of those that the lanes say, over and over again.

    Attributes:
        feeds: Every source that was made, to ask who came and went.
        requests: What models were asked.
        buttons: The signals that a reader presses while it reads.
        owned: What holds itself, and so must be disposed by its owner.
        faults: What went wrong beside what was watched: errors that nobody heard of, and those that an
            operator raised into its source.
    """

    def __init__(self, pace: Sequence[int] = ()) -> None:
        self.feeds: list[Counted] = []
        self.requests: list[ChatRequest] = []
        self.buttons: list[rx.Subject[Any]] = []
        self.owned: list[Any] = []
        self.faults: list[BaseException] = []
        self._pace = pace
        self._clock = VirtualClock(max_steps=_STEPS)
        self._hook: Any = None
        self._coroutines: list[Coroutine[Any, Any, Any]] = []

    @property
    def now(self) -> float:
        """Seconds since the example began."""
        return self._clock.now

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self._clock.loop

    def seconds(self, gap: int, turn: int) -> int:
        """How long to wait where a lane says `gap`: so long, unless this world has a pace of its own."""
        return self._pace[turn % len(self._pace)] if self._pace else gap

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Runs the action on the loop at that time; of two at one time, what was armed first is first."""
        self.loop.call_at(seconds, action)

    def do(self, action: Callable[[], T]) -> T:
        """Runs the action on the loop, and all that follows from it at this instant; gives its result."""
        outcome: list[T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                outcome.append(action())
            except Exception as error:
                errors.append(error)

        self.loop.call_soon(run)
        self.run(self.now)
        if errors:
            raise errors[0]
        return outcome[0]

    def run(self, until: float = HORIZON) -> None:
        """Lets the time pass."""
        try:
            self._clock.loop.run_to(until)
        except EndlessInstantError as error:
            self.faults.append(error)

    @property
    def tasks(self) -> list[str]:
        """The tasks that are going on, by the name of their function."""
        return [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks(self.loop)]

    def coroutine(self, made: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Remembers a coroutine that an agent's function gave."""
        self._coroutines.append(made)
        return made

    def unawaited(self) -> list[str]:
        """Closes the coroutines that nobody has awaited, and gives their names."""
        forgotten = [made for made in self._coroutines if inspect.getcoroutinestate(made) == "CORO_CREATED"]
        for made in forgotten:
            made.close()
        return [getattr(made, "__qualname__", "?") for made in forgotten]

    def heard(self, error: BaseException | None) -> None:
        """Takes note of an error that nobody else has heard of, if it is not the example's own."""
        cause = error
        while cause is not None:
            if isinstance(cause, RxAgentsError | PlantedStop):
                return
            cause = cause.__cause__ or cause.__context__
        if error is not None:
            self.faults.append(error)

    def __enter__(self) -> Self:
        self._clock.__enter__()
        self.loop.set_exception_handler(lambda _, context: self.heard(context.get("exception")))
        self._hook = on_dropped(lambda error, _: self.heard(error))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._clock.__exit__(kind, error, trace)
        finally:
            on_dropped(self._hook)
            self.unawaited()


Make = Callable[[World], Operator]
"""How an operator comes into a world: made anew each time, in case it has a state."""
