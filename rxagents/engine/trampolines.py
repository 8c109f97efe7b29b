"""The trampoline of Rx: what is queued on it runs after what runs now, and never within it.

Each thread has one. Subscribing goes by it, so that whoever subscribes has the disposable before the first
item, and stock operators and ours keep one order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

from reactivex.internal.basic import default_now
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.scheduleditem import ScheduledItem

__all__ = ["enqueued", "trampolined"]


class _OnThread(threading.local):
    def __init__(self) -> None:
        self.trampoline = CurrentThreadScheduler.singleton().get_trampoline()


_on_thread = _OnThread()


class _AlwaysDue:
    now = datetime.max.replace(tzinfo=UTC)


class _Enqueued(ScheduledItem):
    """An action on the trampoline of Rx, among all others in their order.

    A scheduler would make a function, a disposable with a lock, and look at the clock three times, which is
    most of what a subscription costs.
    """

    def __init__(self, action: Callable[[], object]) -> None:
        self.scheduler: Any = _AlwaysDue
        self.duetime = default_now()
        self._context = copy_context()
        self._run = action

    def invoke(self) -> None:
        self._context.run(self._run)

    def is_cancelled(self) -> bool:
        return False


def trampolined(action: Callable[[], object]) -> None:
    """Runs the action as Rx subscribes: at once if a trampoline is running, else within a new one."""
    trampoline = _on_thread.trampoline
    if trampoline.idle():
        trampoline.run(_Enqueued(action))
    else:
        action()


def enqueued(action: Callable[[], object]) -> None:
    """Runs the action on the thread's trampoline, after what is running on it now, in the context of now."""
    _on_thread.trampoline.run(_Enqueued(action))
