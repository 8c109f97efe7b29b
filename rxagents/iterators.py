"""Iterators over an observable: for `async for` on a loop, and for a plain `for` in a thread."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from .bridges import cancelled_tasks_ended
from .errors import BlockingCallError, RunCancelledError
from .loops import hop, is_on, pulled
from .mailboxes import AsyncBell, Mailbox
from .sinks import Sink

__all__ = ["AsyncItems", "SyncItems"]

T = TypeVar("T")


class AsyncItems(AsyncIterator[T], Generic[T]):
    """An async iterator over an observable, and an async context manager that closes it.

    It subscribes at the first step. Closing, leaving the context, cancelling the waiting task and
    dropping the last reference dispose the subscription; nothing points back at the iterator, so
    that the last one works.

    Args:
        source: The observable.
        on_left: Called at once when the iterator is left before its end, maybe by a finalizer, which
            may run anywhere: it must not wait nor lock.
    """

    def __init__(self, source: Observable[T], on_left: Callable[[], None] | None = None) -> None:
        self._source: Observable[T] | None = source
        self._on_left = on_left or _nothing
        self._box: Mailbox[T] | None = None
        self._bell: AsyncBell | None = None
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
                box.raise_error()
                raise StopAsyncIteration
            try:
                await bell.wait(lambda: bool(box.items or box.ended))
            except asyncio.CancelledError:
                self._dispose()
                raise

    def _opened(self) -> tuple[Mailbox[T], AsyncBell]:
        if self._box is None or self._bell is None:
            self._loop = asyncio.get_running_loop()
            bell = AsyncBell(self._loop)
            box: Mailbox[T] = Mailbox(bell.ring)
            if self._source is None:  # closed before it began
                box.ended = True
            else:
                self._subscription = self._source.subscribe(box.put, box.fail, box.end)
            self._box, self._bell = box, bell
        return self._box, self._bell

    async def aclose(self) -> None:
        """Disposes the subscription and lets what it cancelled clean up; the iterator is at its end."""
        self._dispose()
        await cancelled_tasks_ended()

    def _dispose(self) -> None:
        self._source = None
        if self._subscription is not None:
            self._on_left()
            self._subscription.dispose()
        if self._box is not None:
            self._box.close()

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
            self._on_left()
            hop(self._loop, subscription.dispose)


class SyncItems(Iterator[T], Generic[T]):
    """A blocking iterator over an observable that runs on the shared loop.

    It subscribes at the first step. Closing, leaving its context, an exception in the waiting
    thread (Ctrl-C) and dropping the last reference dispose the subscription.

    Args:
        source: The observable.
        loop: Where it emits; the iterator must not be used there.
        on_left: As for AsyncItems.
    """

    def __init__(
        self, source: Observable[T], loop: AbstractEventLoop, on_left: Callable[[], None] | None = None
    ) -> None:
        self._source: Observable[T] | None = source
        self._loop = loop
        self._on_left = on_left or _nothing
        self._filled = threading.Event()
        self._box: Mailbox[T] = Mailbox(self._filled.set)
        self._subscription: abc.DisposableBase | None = None

    def __iter__(self) -> SyncItems[T]:
        return self

    def __next__(self) -> T:
        box = self._box
        if is_on(self._loop) and not (box.items or box.ended):
            raise BlockingCallError(
                "waiting for the next item would block the very loop that brings it; "
                "iterate with `async for` there"
            )
        if self._source is not None:
            source, self._source = self._source, None
            sink = Sink[T](self._loop, box.put, box.fail, box.end)
            self._subscription = sink
            pulled(self._loop, sink)
            # subscribes over there: this thread may have a loop of its own, which it is blocking
            if not hop(self._loop, sink.begin, source.subscribe):
                box.fail(RunCancelledError("the event loop that brings the items is closed"))
        try:
            while True:
                if box.items:
                    return box.items.popleft()
                if box.ended:
                    box.raise_error()
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
            self._on_left()
            self._subscription.dispose()
        self._box.close()

    def __enter__(self) -> SyncItems[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        subscription: Any = getattr(self, "_subscription", None)
        if subscription is not None:
            self._on_left()
            hop(self._loop, subscription.dispose)


def _nothing() -> None:
    pass
