"""SyncItems: a plain, blocking `for` over an observable."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from ..checks import check_number
from ..errors import BlockingCallError, RunCancelledError
from .demands import BUFFER, demanded_by
from .loops import hop, is_on, pulled
from .mailboxes import Mailbox
from .sinks import Sink

__all__ = ["SyncItems"]

T = TypeVar("T")


class SyncItems(Iterator[T], Generic[T]):
    """A blocking iterator over an observable that runs on the shared loop.

    It subscribes at the first step. Closing, leaving its context, an exception in the waiting
    thread (Ctrl-C) and dropping the last reference dispose the subscription. It pulls, as
    `rxagents.engine.async_items.AsyncItems` does.

    Args:
        source: The observable.
        loop: Where it emits; the iterator must not be used there.
        on_left: As for AsyncItems.
        buffer: How many items it may be behind.

    Raises:
        ConfigurationError: The buffer is no number from 1 on.
    """

    def __init__(
        self,
        source: Observable[T],
        loop: AbstractEventLoop,
        on_left: Callable[[], None] | None = None,
        *,
        buffer: int = BUFFER,
    ) -> None:
        buffer = check_number("an iterator", "buffer", buffer, 1)
        self._source: Observable[T] | None = source
        self._loop = loop
        self._on_left = on_left or _nothing
        self._filled = threading.Event()
        self._box: Mailbox[T] = Mailbox(self._filled.set, buffer)
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
            with demanded_by(box):
                sink = Sink[T](self._loop, box)
            self._subscription = sink
            pulled(self._loop, sink)
            box.wait()
            # subscribes over there: this thread may have a loop of its own, which it is blocking
            if not hop(self._loop, sink.begin, source.subscribe):
                box.on_error(RunCancelledError("the event loop that brings the items is closed"))
        try:
            while True:
                if box.items:
                    return box.take()
                if box.ended:
                    box.raise_error()
                    raise StopIteration
                self._filled.clear()
                box.wait()
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
            hop(self._loop, _leave, subscription, self._box)


def _leave(subscription: abc.DisposableBase, box: Mailbox[Any]) -> None:
    subscription.dispose()
    box.close()


def _nothing() -> None:
    pass
