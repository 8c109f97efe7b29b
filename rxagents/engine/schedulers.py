"""Rx's view of an event loop."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from reactivex import abc, typing
from reactivex.internal.constants import UTC_ZERO
from reactivex.scheduler.periodicscheduler import PeriodicScheduler

from .loops import hop, is_on

__all__ = ["LoopScheduler"]

_S = TypeVar("_S")


class LoopScheduler(PeriodicScheduler):
    """Rx's view of an event loop: its `now` is the loop's time; any thread may schedule on it.

    The stock asyncio scheduler reads the wall clock, and under a virtual loop `delay` never fires.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop

    @property
    def now(self) -> datetime:
        return UTC_ZERO + timedelta(seconds=self.loop.time())

    def schedule(self, action: typing.ScheduledAction[_S], state: _S | None = None) -> abc.DisposableBase:
        return self._arm(0.0, action, state)

    def schedule_relative(
        self, duetime: typing.RelativeTime, action: typing.ScheduledAction[_S], state: _S | None = None
    ) -> abc.DisposableBase:
        return self._arm(max(0.0, self.to_seconds(duetime)), action, state)

    def schedule_absolute(
        self, duetime: typing.AbsoluteTime, action: typing.ScheduledAction[_S], state: _S | None = None
    ) -> abc.DisposableBase:
        return self.schedule_relative(self.to_datetime(duetime) - self.now, action, state)

    def _arm(
        self, seconds: float, action: typing.ScheduledAction[_S], state: _S | None
    ) -> abc.DisposableBase:
        armed = _Armed(self.loop, lambda: self.invoke_action(action, state=state))
        if is_on(self.loop):
            armed.start(seconds)
        else:
            hop(self.loop, armed.start, seconds)
        return armed


class _Armed(abc.DisposableBase):
    """One scheduled action: its timer, then what it returned. May be disposed from any thread."""

    __slots__ = ("_action", "_handle", "_inner", "_loop", "is_disposed")

    def __init__(self, loop: AbstractEventLoop, action: Callable[[], abc.DisposableBase]) -> None:
        self._loop = loop
        self._action = action
        self._handle: asyncio.Handle | None = None
        self._inner: abc.DisposableBase | None = None
        self.is_disposed = False

    def start(self, seconds: float) -> None:
        if self.is_disposed:
            return
        if seconds:
            self._handle = self._loop.call_later(seconds, self._fire)
        else:
            self._handle = self._loop.call_soon(self._fire)

    def _fire(self) -> None:
        if not self.is_disposed:
            self._inner = self._action()
            if self.is_disposed:
                self._inner.dispose()

    def dispose(self) -> None:
        self.is_disposed = True
        if is_on(self._loop):
            self._let_go()
        else:
            hop(self._loop, self._let_go)

    def _let_go(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._inner is not None:
            self._inner.dispose()
