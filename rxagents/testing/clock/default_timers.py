"""RxPY's default timers on the virtual clock.

A stock operator that is given no scheduler (`rx.interval(1)` subscribed to by hand, or below an
operator that does not pass one on) takes the TimeoutScheduler, whose timers are threads in real time.
And the stock scheduler of an asyncio loop takes its `now` from the wall clock, so that what it delays
is never due. Both ask here first; for threads that run no virtual loop, nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, get_ident
from typing import Any

from reactivex.scheduler import TimeoutScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ...engine.schedulers import LoopScheduler

__all__ = ["default_timers"]

# the virtual loop that runs in each thread
_running: dict[int, LoopScheduler] = {}
_installing = Lock()
_installed = False


@contextmanager
def default_timers(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """While it is entered, the default timers of this thread are those of the loop."""
    _install()
    here = get_ident()
    before = _running.get(here)
    _running[here] = LoopScheduler(loop)
    try:
        yield
    finally:
        if before is None:
            del _running[here]
        else:
            _running[here] = before


def _install() -> None:
    """Once, and for good: several threads may run a virtual loop each, and end in any order."""
    global _installed
    with _installing:
        if _installed:
            return
        _installed = True
        stock: Any = TimeoutScheduler.__dict__["singleton"]

        def singleton(cls: type[TimeoutScheduler]) -> Any:
            return _running.get(get_ident()) or stock.__get__(None, cls)()

        def now(self: AsyncIOScheduler) -> datetime:
            virtual = _running.get(get_ident())
            if virtual is not None and virtual.loop is self._loop:
                return virtual.now
            return super(AsyncIOScheduler, self).now

        TimeoutScheduler.singleton = classmethod(singleton)  # type: ignore[method-assign, assignment]
        AsyncIOScheduler.now = property(now)  # type: ignore[method-assign, assignment]
