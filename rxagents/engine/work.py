"""One queue of work for each thread, so that what nests deeply never recurses.

A thousand blocks that end because the innermost one did would be a thousand calls deep. Instead
each end is deferred: it runs when the one before it is done.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

__all__ = ["afterwards", "defer", "together"]


class _Work:
    __slots__ = ("last", "queue", "running")

    def __init__(self) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self.last: deque[Callable[[], None]] = deque()
        self.running = False


class _OnThread(threading.local):
    def __init__(self) -> None:
        self.here = _Work()


_work = _OnThread()


def defer(action: Callable[[], None]) -> None:
    """Runs the action when what is running now is done, so that deep nesting never recurses.

    It runs in the context of now, as does what comes `afterwards`.
    """
    work = _work.here
    work.queue.append(partial(copy_context().run, action))
    if not work.running:
        together(_nothing)


def afterwards(action: Callable[[], None]) -> None:
    """Runs the action when nothing deferred is left: when an end has gone up through all its blocks."""
    work = _work.here
    work.last.append(partial(copy_context().run, action))
    if not work.running:
        together(_nothing)


def together(action: Callable[..., None], *args: Any) -> None:
    """Runs the action; what it defers runs after it, not within it."""
    work = _work.here
    if work.running:
        action(*args)
        return
    work.running = True
    try:
        action(*args)
    finally:
        _drain(work)


def _drain(work: _Work) -> None:
    """Does what was deferred; a piece that raises takes none of the others with it."""
    try:
        while work.queue or work.last:
            (work.queue or work.last).popleft()()
    finally:
        if work.queue or work.last:
            _drain(work)
        work.running = False


def _nothing() -> None:
    pass
