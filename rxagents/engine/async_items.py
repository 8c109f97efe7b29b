"""AsyncItems: `async for` over an observable."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from reactivex import abc

from ..checks import check_number
from .demands import BUFFER, demanded_by
from .loops import hop
from .mailboxes import AsyncBell, Mailbox
from .tasks import cancelled_tasks_ended

__all__ = ["AsyncItems"]

T = TypeVar("T")


class AsyncItems(AsyncIterator[T], Generic[T]):
    """An async iterator over an observable, and an async context manager that closes it.

    It subscribes at the first step. Closing, leaving the context, cancelling the waiting task and
    dropping the last reference dispose the subscription; nothing points back at the iterator, so
    that the last one works.

    It pulls: while a buffer of items waits for it, it wants no more of the source.

    Args:
        source: The observable.
        on_left: Called at once when the iterator is left before its end, maybe by a finalizer, which
            may run anywhere: it must not wait nor lock.
        buffer: How many items it may be behind.

    Raises:
        ConfigurationError: The buffer is no number from 1 on.
    """

    def __init__(
        self,
        source: abc.ObservableBase[T],
        on_left: Callable[[], None] | None = None,
        *,
        buffer: int = BUFFER,
    ) -> None:
        self._buffer = check_number("an iterator", "buffer", buffer, 1)
        self._source: abc.ObservableBase[T] | None = source
        self._on_left = on_left or _nothing
        self._box: Mailbox[T] | None = None
        self._bell: AsyncBell | None = None
        self._subscription: abc.DisposableBase | None = None
        self._loop: AbstractEventLoop | None = None

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        if self._box is not None and self._box.items:  # as it is mostly, while tokens come in bursts
            return self._box.take()
        box, bell = self._opened()
        while True:
            if box.items:
                return box.take()
            if box.ended:
                box.raise_error()
                raise StopAsyncIteration
            box.wait()
            try:
                await bell.wait(box)
            except asyncio.CancelledError:
                self.dispose()
                raise

    def _opened(self) -> tuple[Mailbox[T], AsyncBell]:
        if self._box is None or self._bell is None:
            self._loop = asyncio.get_running_loop()
            bell = AsyncBell(self._loop)
            box: Mailbox[T] = Mailbox(bell.ring, self._buffer)
            box.wait()
            if self._source is None:  # closed before it began
                box.ended = True
            else:
                with demanded_by(box):
                    self._subscription = self._source.subscribe(box)
            self._box, self._bell = box, bell
        return self._box, self._bell

    @property
    def waiting(self) -> tuple[T, ...]:
        """What has come and was not asked for yet."""
        return tuple(self._box.items) if self._box is not None else ()

    async def aclose(self) -> None:
        """Disposes the subscription and lets what it cancelled clean up; the iterator is at its end."""
        self.dispose()
        await cancelled_tasks_ended()

    def dispose(self) -> None:
        """Disposes the subscription, on its loop; the iterator is at its end."""
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
            hop(self._loop, _leave, subscription, self._box)


def _leave(subscription: abc.DisposableBase, box: Mailbox[Any]) -> None:
    subscription.dispose()
    box.close()  # what runs on for others waits for it no more


def _nothing() -> None:
    pass
