"""What a subscription leaves for whoever comes to fetch it, and the bell that wakes him."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .loops import hop, is_on

__all__ = ["AsyncBell", "Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """What a subscription leaves for an iterator. It does not know the iterator."""

    __slots__ = ("ended", "error", "items", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.items: deque[T] = deque()
        self.ended = False
        self.error: Exception | None = None
        self.wake = wake

    def put(self, item: T) -> None:
        self.items.append(item)
        self.wake()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.end()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def close(self) -> None:
        # into a deque of no length: an item may be on its way from another thread
        self.items = deque(maxlen=0)
        self.end()  # another task or thread may be waiting for the next item

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

    async def wait(self, is_due: Callable[[], bool]) -> None:
        if self._waiter is not None:
            raise RuntimeError(
                "another task waits for the next item of this iterator; let each task iterate for itself"
            )
        self._waiter = waiter = self._loop.create_future()
        try:
            if not is_due():  # rung between the look into the box and now, by another thread
                await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None
