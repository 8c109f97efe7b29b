"""How an operator hears a source: items that come on another thread hop onto the loop, once."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from reactivex import Observable, abc

from .demands import current_demand, demanded_by
from .loops import dropped, hop, is_on, let_go
from .schedulers import LoopScheduler

__all__ = ["Inlet", "OnMany", "inlet", "listen"]

T = TypeVar("T")
OnMany: TypeAlias = Callable[[Sequence[T]], object]

_making = threading.Lock()


class Group(Protocol):
    """What an inlet is removed from at its end."""

    def remove(self, each: abc.DisposableBase) -> None: ...


class Inlet(abc.ObserverBase[T], abc.DisposableBase, Generic[T]):
    """The receiving end of an operator: brings foreign threads' items onto the loop, in order."""

    __slots__ = (
        "_demand",
        "_flushing",
        "_group",
        "_loop",
        "_on_completed",
        "_on_error",
        "_on_next",
        "_queue",
        "_stopped",
        "subscription",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        on_next: Callable[[T], object],
        on_error: Callable[[Exception], object],
        on_completed: Callable[[], object],
        group: Group | None = None,
    ) -> None:
        self._loop = loop
        self._demand = current_demand()
        self._on_next = on_next
        self._on_error = on_error
        self._on_completed = on_completed
        self._group = group
        # made when first needed: a deque is larger than all the rest, and most stay on one thread
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] | None = None
        self._flushing = False
        self._stopped = False
        self.subscription: abc.DisposableBase | None = None

    def hear(self, source: Observable[T]) -> None:
        """Subscribes to its source."""
        self.subscription = source.subscribe(self, scheduler=LoopScheduler(self._loop))
        if self._stopped:
            self.dispose()

    def on_next(self, value: T) -> None:
        if self._queue or not is_on(self._loop):
            self._hand_over(self._next, value)
        elif not self._stopped:
            self._next(value)

    def _next(self, value: T) -> None:
        try:
            self._on_next(value)
        except Exception as error:
            self.dispose()
            self._on_error(error)

    def on_error(self, error: Exception) -> None:
        if self._queue or not is_on(self._loop):
            self._hand_over(self._error, error)
        else:
            self._error(error)

    def _error(self, error: Exception) -> None:
        if self._stopped:
            dropped(error, "an error came after the end of the subscription")
            return
        self._end()
        self._on_error(error)

    def on_completed(self) -> None:
        if self._queue or not is_on(self._loop):
            self._hand_over(self._completed)
        else:
            self._completed()

    def _completed(self) -> None:
        if not self._stopped:
            self._end()
            self._on_completed()

    def _end(self) -> None:
        self._stopped = True
        if self._group is not None:
            self._group.remove(self)
        # the source refers to this one: a turn that is over is to be let go of without the collector
        self.subscription = self._group = None

    def _hand_over(self, action: Callable[..., None], *args: Any) -> None:
        if self._queue is None:
            with _making:
                self._queue = deque() if self._queue is None else self._queue
        self._queue.append((action, args))
        if not self._flushing:  # one hop for all that arrives before it lands
            self._flushing = True
            if not hop(self._loop, self._flush):  # a closed loop: nobody can hear it any more
                self.dispose()
                self._queue.clear()

    def _flush(self) -> None:
        self._flushing = False
        assert self._queue is not None
        # The entry stays in the queue while it is handled: what comes meanwhile lines up behind it.
        with demanded_by(self._demand):
            while self._queue:
                action, args = self._queue[0]
                try:
                    if not self._stopped:
                        action(*args)
                finally:
                    self._queue.popleft()

    def dispose(self) -> None:
        self._stopped = True
        subscription, self.subscription = self.subscription, None
        if subscription is not None:
            let_go(subscription)


class _WideInlet(Inlet[T]):
    """Takes many items at once, where they come so."""

    __slots__ = ("_on_many",)

    passive = False

    def __init__(
        self,
        loop: AbstractEventLoop,
        on_next: Callable[[T], object],
        on_error: Callable[[Exception], object],
        on_completed: Callable[[], object],
        group: Group | None = None,
        *,
        on_many: OnMany[T],
    ) -> None:
        super().__init__(loop, on_next, on_error, on_completed, group)
        self._on_many = on_many

    def on_many(self, values: Sequence[T]) -> None:
        if self._queue or not is_on(self._loop):
            self._hand_over(self._many, values)
        elif not self._stopped:
            self._many(values)

    def _many(self, values: Sequence[T]) -> None:
        try:
            self._on_many(values)
        except Exception as error:
            self.dispose()
            self._on_error(error)


class _ForeignInlet(Inlet[T]):
    """Hears what may emit within anything, as a subject does: the demand is that of whoever listens."""

    __slots__ = ()

    def on_next(self, value: T) -> None:
        with demanded_by(self._demand):
            super().on_next(value)

    def on_error(self, error: Exception) -> None:
        with demanded_by(self._demand):
            super().on_error(error)

    def on_completed(self) -> None:
        with demanded_by(self._demand):
            super().on_completed()


def listen(
    source: Observable[T],
    loop: AbstractEventLoop,
    on_next: Callable[[T], object],
    on_error: Callable[[Exception], object],
    on_completed: Callable[[], object],
    *,
    everything: bool = False,
    on_many: OnMany[T] | None = None,
) -> abc.DisposableBase:
    """Subscribes to any observable; hears it on the loop, whatever thread it emits on.

    What `on_next` raises ends the subscription and goes to `on_error`. The source gets the loop's
    scheduler. To be called on the loop.

    Args:
        everything: All that the source has is wanted, however slow the reader is; it is told to him in
            his own demand all the same.
        on_many: Called instead of `on_next` with items that come at once; it is as if each came by itself.
    """
    if everything:
        heard: Inlet[T] = _ForeignInlet(loop, on_next, on_error, on_completed)
        with demanded_by(None):
            heard.hear(source)
    else:
        heard = inlet(source, loop, on_next, on_error, on_completed, on_many=on_many)
        heard.hear(source)
    return heard


def inlet(
    source: Observable[T],
    loop: AbstractEventLoop,
    on_next: Callable[[T], object],
    on_error: Callable[[Exception], object],
    on_completed: Callable[[], object],
    group: Group | None = None,
    *,
    on_many: OnMany[T] | None = None,
) -> Inlet[T]:
    """The inlet for a source, which does not hear it yet; as for `listen`."""
    if not getattr(source, "keeps_demands", False):
        return _ForeignInlet(loop, on_next, on_error, on_completed, group)
    if on_many is None:
        return Inlet(loop, on_next, on_error, on_completed, group)
    return _WideInlet(loop, on_next, on_error, on_completed, group, on_many=on_many)
