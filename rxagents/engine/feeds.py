"""A coroutine that feeds one stream, on the stream's own loop.

An observer between the two would guard what needs no guard here: both are on one loop, the stream keeps
the grammar of Rx itself, and nothing is emitted before the coroutine's first step, when everybody has
subscribed. A level of a team is such a coroutine, so what stands between costs at every level.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reactivex import abc

from ..errors import LateItemError, RunCancelledError
from .loops import dropped, hop, is_on
from .tasks import keep

__all__ = ["Feed"]


class Feed(abc.DisposableBase):
    """One run of a coroutine. Disposing cancels it; it tells nothing after that, and nothing after its end.

    To be made on the loop.

    Args:
        run: Called with this, to emit to as to a Sink.
        loop: Of the stream.
        on_next: Told of each item; what it raises ends the run, and is its error.
        on_error: Told what it fails with, and that it was cancelled by somebody else.
        on_completed: Told that it has returned.
        on_many: Told of items that come at once, if they may be told so.
    """

    __slots__ = ("_ended", "_loop", "_many", "_on_completed", "_on_error", "_on_next", "_stopped", "_task")

    def __init__(
        self,
        run: Callable[[Any], Awaitable[None]],
        loop: AbstractEventLoop,
        on_next: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        on_completed: Callable[[], None],
        on_many: Callable[[Sequence[Any]], None] | None = None,
    ) -> None:
        self._loop = loop
        self._on_next = on_next
        self._on_error = on_error
        self._on_completed = on_completed
        self._many = on_many
        self._stopped = self._ended = False
        self._task = loop.create_task(self._drive(run))
        keep(self._task, self._task_ended)

    async def _drive(self, run: Callable[[Any], Awaitable[None]]) -> None:
        try:
            await run(self)
        except Exception as error:
            self._fail(error)
        else:
            if not self._stopped:
                self._stopped = self._ended = True
                self._on_completed()

    def on_next(self, value: Any) -> None:
        """Emits."""
        if not is_on(self._loop):
            hop(self._loop, self.on_next, value)
        elif not self._stopped:
            try:
                self._on_next(value)
            except Exception as error:
                self._reject(error)
        elif self._ended:
            late = LateItemError(f"after its end a stream emitted {value!r:.100}")
            dropped(late, "an item came after the end of its stream")

    def on_many(self, values: Sequence[Any]) -> None:
        """Emits them all."""
        if self._many is not None and is_on(self._loop) and not self._stopped:
            try:
                self._many(values)
            except Exception as error:
                self._reject(error)
        else:
            for value in values:
                self.on_next(value)

    def _reject(self, error: Exception) -> None:
        self.dispose()
        self._on_error(error)

    def _fail(self, error: Exception) -> None:
        if self._stopped:
            dropped(error, "an error came after the end of the subscription")
            return
        self._stopped = self._ended = True
        self._on_error(error)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        # here and not in the coroutine: a task may be cancelled before its first step
        if not self._stopped:
            cause = "cancelled" if task.cancelled() else f"ended by {type(task.exception()).__name__}"
            self._fail(RunCancelledError(f"the task that fed this stream was {cause}"))

    def dispose(self) -> None:
        self._stopped = True
        if not self._ended:
            self._task.cancel()
