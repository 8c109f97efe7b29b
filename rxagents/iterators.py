"""Iterators over an observable: for `async for` on a loop, and for a plain `for` in a thread."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from .bridges import cancelled_tasks_ended
from .loops import hop, is_on
from .sinks import Sink

__all__ = ["AsyncItems", "SyncItems"]

T = TypeVar("T")


class _Mailbox(Generic[T]):
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


class _AsyncBell:
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
        self._waiter = waiter = self._loop.create_future()
        if is_due():  # rung between the look into the box and now, by another thread
            self._waiter = None
            return
        await waiter


class AsyncItems(AsyncIterator[T], Generic[T]):
    """An async iterator over an observable, and an async context manager that closes it.

    It subscribes at the first step. Closing, leaving the context, cancelling the waiting task and
    dropping the last reference dispose the subscription; nothing points back at the iterator, so
    that the last one works.
    """

    def __init__(self, source: Observable[T]) -> None:
        self._source: Observable[T] | None = source
        self._box: _Mailbox[T] | None = None
        self._bell: _AsyncBell | None = None
        self._subscription: abc.DisposableBase | None = None
        self._loop: AbstractEventLoop | None = None

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        box, bell = self._opened()
        while True:
            if box.items:
                return box.items.popleft()
            if box.ended:
                error, box.error = box.error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            try:
                await bell.wait(lambda: bool(box.items or box.ended))
            except asyncio.CancelledError:
                self._dispose()
                raise

    def _opened(self) -> tuple[_Mailbox[T], _AsyncBell]:
        if self._box is None or self._bell is None:
            self._loop = asyncio.get_running_loop()
            self._bell = _AsyncBell(self._loop)
            self._box = _Mailbox(self._bell.ring)
            if self._source is None:  # closed before it began
                self._box.ended = True
            else:
                box = self._box
                self._subscription = self._source.subscribe(box.put, box.fail, box.end)
        return self._box, self._bell

    async def aclose(self) -> None:
        """Disposes the subscription and lets what it cancelled clean up; the iterator is at its end."""
        self._dispose()
        await cancelled_tasks_ended()

    def _dispose(self) -> None:
        self._source = None
        if self._subscription is not None:
            self._subscription.dispose()
        if self._box is not None:
            self._box.items.clear()
            self._box.ended = True

    async def __aenter__(self) -> AsyncItems[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # a finalizer may run anywhere, at any moment: it only leaves word for the loop
        subscription: Any = getattr(self, "_subscription", None)
        if subscription is not None and self._loop is not None:
            hop(self._loop, subscription.dispose)


class SyncItems(Iterator[T], Generic[T]):
    """A blocking iterator over an observable that runs on the shared loop.

    It subscribes at the first step. Closing, leaving its context, an exception in the waiting
    thread (Ctrl-C) and dropping the last reference dispose the subscription.

    Args:
        source: The observable.
        loop: Where it emits; the iterator must not be used there.
    """

    def __init__(self, source: Observable[T], loop: AbstractEventLoop) -> None:
        self._source: Observable[T] | None = source
        self._loop = loop
        self._filled = threading.Event()
        self._box: _Mailbox[T] = _Mailbox(self._filled.set)
        self._subscription: abc.DisposableBase | None = None

    def __iter__(self) -> SyncItems[T]:
        return self

    def __next__(self) -> T:
        box = self._box
        if self._source is not None:
            source, self._source = self._source, None
            sink = Sink[T](self._loop, box.put, box.fail, box.end)
            self._subscription = sink
            # subscribes over there: this thread may have a loop of its own, which it is blocking
            sink.begin(source.subscribe)
        try:
            while True:
                if box.items:
                    return box.items.popleft()
                if box.ended:
                    error, box.error = box.error, None
                    if error is not None:
                        raise error
                    raise StopIteration
                self._filled.clear()
                if not box.items and not box.ended:
                    self._filled.wait()
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disposes the subscription; the iterator is at its end."""
        self._source = None
        if self._subscription is not None:
            self._subscription.dispose()
        self._box.items.clear()
        self._box.ended = True

    def __enter__(self) -> SyncItems[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        subscription: Any = getattr(self, "_subscription", None)
        if subscription is not None:
            hop(self._loop, subscription.dispose)
