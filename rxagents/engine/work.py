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

__all__ = ["afterwards", "defer", "together"]


class _Work(threading.local):
    def __init__(self) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self.last: deque[Callable[[], None]] = deque()
        self.running = False


_work = _Work()


def defer(action: Callable[[], None]) -> None:
    """Runs the action when what is running now is done, so that deep nesting never recurses.

    It runs in the context of now, as does what comes `afterwards`.
    """
    _work.queue.append(partial(copy_context().run, action))
    if not _work.running:
        together(_nothing)


def afterwards(action: Callable[[], None]) -> None:
    """Runs the action when nothing deferred is left: when an end has gone up through all its blocks."""
    _work.last.append(partial(copy_context().run, action))
    if not _work.running:
        together(_nothing)


def together(action: Callable[[], None]) -> None:
    """Runs the action; what it defers runs after it, not within it."""
    if _work.running:
        action()
        return
    _work.running = True
    try:
        action()
    finally:
        _drain()


def _drain() -> None:
    """Does what was deferred; a piece that raises takes none of the others with it."""
    try:
        while _work.queue or _work.last:
            (_work.queue or _work.last).popleft()()
    finally:
        if _work.queue or _work.last:
            _drain()
        _work.running = False


def _nothing() -> None:
    pass
