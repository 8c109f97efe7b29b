"""A coroutine that feeds one stream, on the stream's own loop.

An observer between the two would guard what needs no guard here: both are on one loop, the stream keeps
the grammar of Rx itself, and nothing is emitted before the coroutine's first step, when everybody has
subscribed. A level of a team is such a coroutine, so what stands between costs at every level.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from reactivex import abc

from ..errors import LateItemError, RunCancelledError
from .loops import dropped, hop, is_on
from .tasks import cancel, forget, keep

__all__ = ["Feed"]


class Taking(Protocol):
    """What a coroutine feeds: one object and no four functions, since each level of each run is fed."""

    def _accept(self, item: Any) -> None:
        """Told of each item; what it raises ends the run, and is its error."""

    def _fail(self, error: Exception) -> None:
        """Told what the run fails with, and that it was cancelled by somebody else."""

    def _complete(self) -> None:
        """Told that it has returned."""

    @property
    def _accept_many(self) -> Callable[[Sequence[Any]], None] | None:
        """Told of items that come at once, if they may be told so."""


class Feed(abc.DisposableBase):
    """One run of a coroutine. Disposing cancels it; it tells nothing after that, and nothing after its end.

    To be made on the loop.

    Args:
        run: Called with this, to emit to as to a Sink.
        loop: Of the stream.
        fed: The stream.
    """

    __slots__ = ("_ended", "_fed", "_loop", "_stopped", "_task")

    def __init__(self, run: Callable[[Any], Awaitable[None]], loop: AbstractEventLoop, fed: Taking) -> None:
        self._loop = loop
        self._fed = fed
        self._stopped = self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._task = task = loop.create_task(self._drive(run))
        keep(task, self._task_ended)
        if self._stopped and not self._ended:  # an eager task, which began at once, and was left meanwhile
            cancel(task)

    async def _drive(self, run: Callable[[Any], Awaitable[None]]) -> None:
        try:
            running = run(self)
            del run  # while it runs, what it was made of is kept for nobody
            await running
        except Exception as error:
            self._fail(error)
        else:
            if not self._stopped:
                self._stopped = self._ended = True
                self._fed._complete()

    def on_next(self, value: Any) -> None:
        """Emits."""
        if not is_on(self._loop):
            hop(self._loop, self.on_next, value)
        elif not self._stopped:
            try:
                self._fed._accept(value)
            except Exception as error:
                self._reject(error)
        elif self._ended:
            late = LateItemError(f"after its end a stream emitted {value!r:.100}")
            dropped(late, "an item came after the end of its stream")

    def on_many(self, values: Sequence[Any]) -> None:
        """Emits them all."""
        many = self._fed._accept_many
        if many is not None and is_on(self._loop) and not self._stopped:
            try:
                many(values)
            except Exception as error:
                self._reject(error)
        else:
            for value in values:
                self.on_next(value)

    def _reject(self, error: Exception) -> None:
        self.dispose()
        self._fed._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._stopped:
            dropped(error, "an error came after the end of the subscription")
            return
        self._stopped = self._ended = True
        self._fed._fail(error)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        forget(task)
        self._task = None
        if task.cancelled():
            # it keeps what it was cancelled with, which keeps its frames, which may keep the task; to be told
            # of it once takes it away
            with suppress(asyncio.CancelledError):
                task.exception()
        # here and not in the coroutine: a task may be cancelled before its first step
        if not self._stopped:
            cause = "cancelled" if task.cancelled() else f"ended by {type(task.exception()).__name__}"
            self._fail(RunCancelledError(f"the task that fed this stream was {cause}"))

    def dispose(self) -> None:
        self._stopped = True
        if not self._ended and self._task is not None:
            cancel(self._task)
