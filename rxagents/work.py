"""One queue of work for each thread, so that what nests deeply never recurses.

A thousand blocks that end because the innermost one did would be a thousand calls deep. Instead
each end is deferred: it runs when the one before it is done.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["defer", "together"]


class _Work(threading.local):
    def __init__(self) -> None:
        self.queue: deque[Callable[[], None]] = deque()
        self.running = False


_work = _Work()


def defer(action: Callable[[], None]) -> None:
    """Runs the action when what is running now is done, so that deep nesting never recurses."""
    _work.queue.append(action)
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
        while _work.queue:
            _work.queue.popleft()()
    finally:
        _work.running = False


def _nothing() -> None:
    pass
