"""Blocking functions in threads of their own, awaited on an event loop.

A thread cannot be killed. So each call gets a daemon thread for itself, never a place in the default
executor: a call that nobody awaits any more is abandoned, and neither the loop's shutdown nor the
end of the process waits for it. A `Limit` bounds how many are out at once, abandoned ones included.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from .limits import Limit

__all__ = ["call_in_thread", "threads_out"]

T = TypeVar("T")

_out: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def threads_out(loop: asyncio.AbstractEventLoop) -> int:
    """How many calls of `call_in_thread` the loop is waiting for.

    While it is above zero, something outside of the loop will wake it, so a virtual clock lets its
    time stand still. A call counts until its outcome has been delivered to its caller, also while
    it waits for a place. An abandoned thread does not count: nothing on the loop hangs on it.
    To be asked on the loop's own thread.
    """
    return _out.get(loop, 0)


async def call_in_thread(
    function: Callable[[], T],
    *,
    limit: Limit | None = None,
    on_dropped: Callable[[BaseException], None] | None = None,
) -> T:
    """Calls a blocking function in a daemon thread of its own, with the caller's context variables.

    Cancelling the caller abandons the thread: it runs on, and its result is dropped.

    Args:
        function: What to call. It is not called when the caller is cancelled before its place is free.
        limit: Bounds the threads that are out at once; the call waits here for its place.
        on_dropped: Gets what an abandoned thread raises; it is called on the loop or, when that is
            closed, in the thread.

    Returns:
        What the function returns.

    Raises:
        Exception: What the function raises.
        RuntimeError: It raised what an awaiting task must not get (`StopIteration`, and whatever is no
            `Exception`, as `SystemExit`), which is then the cause; or no thread could be started.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    _out[loop] = threads_out(loop) + 1
    try:
        if limit is not None:
            await limit.acquire()
        call = _Call(function, loop, limit, on_dropped)
        try:
            threading.Thread(target=context.run, args=(call.run,), name="rxagents-call", daemon=True).start()
        except BaseException:
            if limit is not None:
                limit.release()
            raise
        try:
            await call.done
        except BaseException:
            call.abandon()
            raise
        return call.outcome()
    finally:
        _out[loop] = threads_out(loop) - 1


class _Call(Generic[T]):
    """One call on its way. What it came to and whether it is abandoned, only the loop's thread decides."""

    def __init__(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        limit: Limit | None,
        on_dropped: Callable[[BaseException], None] | None,
    ) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._function = function
        self._loop = loop
        self._limit = limit
        self._on_dropped = on_dropped
        self._abandoned = False
        self._result: T | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        result, error = _outcome(self._function)
        if self._limit is not None:
            self._limit.release()
        try:
            self._loop.call_soon_threadsafe(self._deliver, result, error)
        except RuntimeError:  # the loop is closed, and with it everyone who could have listened
            self._drop(result, error)

    def _deliver(self, result: T | None, error: Exception | None) -> None:
        if self._abandoned:
            self._drop(result, error)
            return
        self._result, self._error = result, error
        # Cancelled, but the awaiting task has not heard of it yet: it will abandon the outcome itself.
        if not self.done.done():
            self.done.set_result(None)

    def abandon(self) -> None:
        self._abandoned = True
        result, error, self._result, self._error = self._result, self._error, None, None
        self._drop(result, error)

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return cast(T, self._result)

    def _drop(self, result: T | None, error: Exception | None) -> None:
        if isinstance(result, Coroutine):
            result.close()  # or Python would warn of a coroutine that was never awaited
        if error is not None and self._on_dropped is not None:
            self._on_dropped(error)


def _outcome(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return function(), None
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            return None, error
        wrapped = RuntimeError(f"the function raised {type(error).__name__}: {error}")
        wrapped.__cause__ = error
        return None, wrapped
