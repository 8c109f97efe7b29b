"""Observables as ours all are: they subscribe, emit and dispose on one event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from reactivex import abc

from .async_items import AsyncItems
from .demands import BUFFER
from .late_locks import LateLocked
from .loops import current_loop
from .sinks import Sink, Start
from .trampolines import enqueued

__all__ = ["Begun", "Emitter", "just"]

T = TypeVar("T")


class Emitter(LateLocked[T]):
    """An observable that subscribes, emits and disposes on one event loop.

    Args:
        start: Called with the Sink of each subscription, on its loop. It may return what to
            dispose at the end. What it raises is the stream's error.
    """

    keeps_demands = True  # it emits in the demand in which it was subscribed to

    def __init__(self, start: Start[T]) -> None:
        super().__init__()
        self._begin = start

    def subscribe(
        self,
        on_next: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribes on the running loop, else on the shared one; a scheduler never chooses it."""
        sink: Sink[T] = Sink(current_loop(), on_next, on_error, on_completed)
        sink.begin(self._begin)
        return sink

    def __aiter__(self) -> AsyncItems[T]:
        return AsyncItems(self)

    def pull(self, *, buffer: int = BUFFER) -> AsyncItems[T]:
        """As `async for` over it, which pulls: the source stops when the reader is so many items behind."""
        return AsyncItems(self, buffer=buffer)

    def __iter__(self) -> NoReturn:
        # stock observables index for ever: `for` would never end
        raise TypeError("a stream comes piece by piece: read it with `async for`, not `for`")


class Begun(Emitter[T]):
    """An emitter whose `start` emits on its loop and nowhere else, and few items at once.

    A stream of that loop need not hear it through what leads onto a loop, and through the trampoline of Rx.
    """

    def here(self, loop: AbstractEventLoop, *observer: Any) -> Sink[T]:
        """Subscribes now, on this loop, which is the running one."""
        sink: Sink[T] = Sink(loop, *observer)
        sink._start(self._begin)
        return sink


def just(*items: T) -> Emitter[T]:
    """The items, at once, then the end; a subscriber may leave between two of them."""

    def start(sink: Sink[T]) -> None:
        def emit() -> None:
            for item in items:
                if sink.stopped:
                    return
                sink.on_next(item)
            sink.on_completed()

        enqueued(emit)  # so that the subscription exists before the first item

    return Emitter(start)
