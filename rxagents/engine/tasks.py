"""The tasks that feed streams: kept while they run, and waited for when they were cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["at_cancel", "cancel", "cancelled_tasks_ended", "forget", "keep", "to_its_end"]

# The loop holds its tasks weakly; a task that waits for nothing but its own subscription would be
# collected while somebody still listens.
_tasks: set[asyncio.Task[Any]] = set()
forget = _tasks.discard


def keep(task: asyncio.Task[Any], on_end: Callable[[asyncio.Task[Any]], None] | None = None) -> None:
    """Keeps a task until it has ended.

    Args:
        task: Any.
        on_end: Called then; it is to forget the task. Nothing stands between, since there are thousands.
    """
    _tasks.add(task)
    task.add_done_callback(on_end or forget)


_at_cancel: dict[asyncio.Task[Any], Callable[[], None]] = {}


def at_cancel(action: Callable[[], None] | None) -> None:
    """Says what to let go of in the very moment in which `cancel` cancels this task; None: nothing more.

    The task itself learns of it in the loop's next round. Before that all levels of a team end that were
    left with it, however many there are.
    """
    task = asyncio.current_task()
    if task is None:
        return
    if action is None:
        _at_cancel.pop(task, None)
    else:
        _at_cancel[task] = action


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancels a task; what it is to let go of at once, it lets go of now."""
    action = _at_cancel.pop(task, None)
    if action is not None:
        action()
    task.cancel()


async def cancelled_tasks_ended() -> None:
    """Waits until what was cancelled on this loop has let go of its sockets; a second at the most."""
    loop = asyncio.get_running_loop()
    own = asyncio.current_task()  # which may be cancelled too, and would wait for itself
    going = [task for task in _tasks if task.get_loop() is loop and task.cancelling() and task is not own]
    if going:
        await asyncio.wait(going, timeout=1.0)


async def to_its_end(closing: Coroutine[Any, Any, None]) -> None:
    """Awaits what closes something in a task of its own, and only then lets itself be cancelled.

    A cancellation that is still to be delivered would otherwise hit the first await of the closing,
    and a connection would stay open and taken for as long as its client.
    """
    task = asyncio.ensure_future(closing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.cancelled():
        task.exception()  # it is gone, however it went; what was said before counts
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled  # which refers to this frame: else all that led here waits for the collector
