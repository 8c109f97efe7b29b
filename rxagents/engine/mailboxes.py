"""What a subscription leaves for whoever comes to fetch it, and the bell that wakes him."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from reactivex import abc

from .demands import BUFFER, Demand, Watchers
from .loops import hop, is_on

__all__ = ["AsyncBell", "Mailbox"]

T = TypeVar("T")


class Mailbox(abc.ObserverBase[T], Demand, Generic[T]):
    """What a subscription leaves for an iterator, and the demand of that one. It does not know the iterator.

    It is the observer of the subscription, and a passive one: it acts on nothing that it is told, and so may
    be told many items at once.

    When it holds a buffer of items, nothing more is wanted until half of them were taken: a source goes
    on and stops again for each half buffer, and not for each item. Once it has ended or was left, it keeps
    nobody from going on.

    Args:
        wake: Called when there is something to fetch.
        buffer: How many items make it full.
    """

    passive = True

    __slots__ = ("_full", "_half", "_is_full", "_waited_for", "_watchers", "ended", "error", "items", "wake")

    def __init__(self, wake: Callable[[], None], buffer: int = BUFFER) -> None:
        self.items: deque[T] = deque()
        self.ended = False
        self.error: Exception | None = None
        self.wake = wake
        self._full = buffer
        self._half = buffer // 2
        self._is_full = False
        self._waited_for = False
        self._watchers = Watchers()

    def on_next(self, value: T) -> None:
        items = self.items
        items.append(value)
        if len(items) >= self._full and not self._is_full:
            self._is_full = True
            self._watchers.tell()
        self.wake()

    def on_many(self, values: Sequence[T]) -> None:
        """As `on_next` with each of them."""
        items = self.items
        items.extend(values)
        if len(items) >= self._full and not self._is_full:
            self._is_full = True
            self._watchers.tell()
        self.wake()

    def take(self) -> T:
        """The next item; there must be one."""
        items = self.items
        item = items.popleft()
        self._waited_for = False
        if self._is_full and len(items) <= self._half:
            self._is_full = False
            self._watchers.tell()
        return item

    def wait(self) -> None:
        """Says that all was taken, and that the next item is waited for."""
        self._waited_for = True
        self._is_full = False
        if self._watchers:
            self._watchers.tell()

    @property
    def wanted(self) -> bool:
        # the length counts: another thread may take all before `put` has said that it is full
        return self.ended or not self._is_full or len(self.items) <= self._half

    @property
    def room(self) -> int:
        return self._full - len(self.items) if self.wanted else 0

    @property
    def idle(self) -> bool:
        return self.ended or (self._waited_for and not self.items)

    def watch(self, callback: Callable[[], None], cares: Watchers | None = None) -> abc.DisposableBase:
        return self._watchers.add(callback, cares)

    def on_error(self, error: Exception) -> None:
        self.error = error
        self.on_completed()

    def on_completed(self) -> None:
        self.ended = True
        self._watchers.tell()
        self.wake()

    def close(self) -> None:
        # into a deque of no length: an item may be on its way from another thread
        self.items = deque(maxlen=0)
        self.on_completed()  # another task or thread may be waiting for the next item

    def raise_error(self) -> None:
        error, self.error = self.error, None
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            # raised as it is, it would pass for the end of the iteration
            raise RuntimeError(f"the stream failed with {type(error).__name__}") from error
        if error is not None:
            raise error


class AsyncBell:
    """Wakes one waiting coroutine, from any thread; rings once however often it is pulled."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        if self._waiter is None:
            return
        if is_on(self._loop):
            self._wake()
        else:
            hop(self._loop, self._wake)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, box: Mailbox[Any]) -> None:
        """Waits until it is rung, unless there is something in the box, or it has ended."""
        if self._waiter is not None:
            raise RuntimeError(
                "another task waits for the next item of this iterator; let each task iterate for itself"
            )
        self._waiter = waiter = self._loop.create_future()
        try:
            if not (box.items or box.ended):  # rung between the look into the box and now, by another thread
                await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None
