"""The end of a virtual loop: what is left over is cancelled, and gets its time to clean up."""

from __future__ import annotations

import asyncio
from typing import Any

from ...errors import RxAgentsError
from .virtual_loop import VirtualLoop
from .waiting_tasks import in_order, waiting

__all__ = ["StubbornTaskError", "close_loop"]

# so often a task is cancelled that goes on, and so many timers may fire each time while it cleans up
_PATIENCE = 20


class StubbornTaskError(RxAgentsError):
    """A task went on after it was cancelled at the end of its loop."""


def close_loop(loop: VirtualLoop) -> None:
    """Cancels the tasks that are left, shuts down async generators and the executor, and closes the loop.

    Raises:
        StubbornTaskError: A task did not end when it was cancelled; it names it.
    """
    try:
        left = in_order(asyncio.all_tasks(loop))
        stubborn = _cancelled(loop, left)
        for task in left:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                message = f"the task {task.get_name()} failed while it was being cancelled"
                loop.call_exception_handler({"message": message, "exception": error, "task": task})
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    if stubborn:
        raise StubbornTaskError(
            f"a task went on after it was cancelled:\n{stubborn}\n"
            "Let the CancelledError pass, and clean up without waiting."
        )


def _cancelled(loop: VirtualLoop, tasks: list[asyncio.Task[Any]]) -> str:
    """Cancels the tasks, and gives those that go on all the same, in words."""
    _cancel(loop, tasks)
    stubborn = [task for task in tasks if not task.done()]
    words = waiting(stubborn) if stubborn else ""
    for _ in range(_PATIENCE):
        stubborn = [task for task in stubborn if not task.done()]
        if not stubborn:
            break
        _cancel(loop, stubborn)
    return words


def _cancel(loop: VirtualLoop, tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    loop.run_to(loop.time())
    for _ in range(_PATIENCE):
        due = loop.next_due()
        if due is None or all(task.done() for task in tasks):
            return
        loop.run_to(due)
