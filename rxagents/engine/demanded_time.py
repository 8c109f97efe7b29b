"""A clock that stands still while nothing is wanted: a reader who pauses makes no model and no tool late."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from reactivex import abc
from reactivex.disposable import Disposable

from .demands import current_demand

__all__ = ["TICK", "DemandedTime", "timeout_while_wanted"]

# Seconds: a timer may be rounded to the tick, and must not find that its time has not quite come.
TICK = 2e-6


class DemandedTime(abc.DisposableBase):
    """The time of a loop, but for the pauses of the demand that is served here; with one alarm.

    Args:
        loop: Whose time it is. All is to be called on it.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._demand = current_demand()
        self._stood = 0.0
        self._since: float | None = None
        self._due: tuple[float, Callable[[], None]] | None = None
        self._timer: TimerHandle | None = None
        self._watching: abc.DisposableBase = Disposable()
        if self._demand is not None:
            self._watching = self._demand.watch(self._changed)
            self._changed()

    def time(self) -> float:
        """Seconds."""
        return (self._loop.time() if self._since is None else self._since) - self._stood

    def is_due(self, when: float) -> bool:
        """Whether this time has come."""
        return when <= self.time() + TICK

    def alarm(self, when: float, ring: Callable[[], None]) -> None:
        """Calls at this time, instead of what was set before."""
        self.silence()
        self._due = (when, ring)
        self._arm()

    def silence(self) -> None:
        """Takes the alarm back."""
        self._due = None
        self._disarm()

    def _changed(self) -> None:
        assert self._demand is not None
        wanted = self._demand.wanted
        if wanted and self._since is not None:
            self._stood += self._loop.time() - self._since
            self._since = None
            self._arm()
        elif not wanted and self._since is None:
            self._since = self._loop.time()
            self._disarm()

    def _arm(self) -> None:
        if self._due is not None and self._since is None:
            self._timer = self._loop.call_at(self._due[0] + self._stood, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        if self._due is not None:
            _, ring = self._due
            self._due = None
            ring()

    def dispose(self) -> None:
        self.silence()
        self._watching.dispose()


@asynccontextmanager
async def timeout_while_wanted(seconds: float | None) -> AsyncIterator[None]:
    """As `asyncio.timeout`, but its time stands still while nothing is wanted of what runs in it."""
    if seconds is None or current_demand() is None:
        async with asyncio.timeout(seconds):
            yield
        return
    loop = asyncio.get_running_loop()
    clock = DemandedTime(loop)
    try:
        async with asyncio.timeout(None) as limit:
            clock.alarm(clock.time() + seconds, lambda: limit.reschedule(loop.time()))
            yield
    finally:
        clock.dispose()
