"""RxPY's default timers on the virtual clock.

A stock operator that is given no scheduler (`rx.interval(1)` subscribed to by hand, or below an
operator that does not pass one on) takes the TimeoutScheduler, whose timers are threads in real time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from reactivex.scheduler import TimeoutScheduler

from ...schedulers import LoopScheduler

__all__ = ["default_timers"]


@contextmanager
def default_timers(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """While it is entered, and for this thread, the default timers are those of the loop."""
    here = get_ident()
    scheduler = LoopScheduler(loop)
    before: Any = TimeoutScheduler.__dict__["singleton"]

    def singleton(cls: type[TimeoutScheduler]) -> Any:
        return scheduler if get_ident() == here else before.__get__(None, cls)()

    TimeoutScheduler.singleton = classmethod(singleton)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        TimeoutScheduler.singleton = before  # type: ignore[method-assign]
