"""Budgets: how many requests, and tokens, a model may get in a minute, and how many at once.

Agents on several event loops and threads share one. The lock is held for the counting only; whoever may
begin is told on its own loop.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakKeyDictionary

from ..engine.demanded_time import TICK
from ..engine.loops import hop

__all__ = ["Budget", "Place"]

_MINUTE = 60.0

# By their modules: loops that go by the machine's monotonic time, as those of asyncio do.
_OF_THE_MACHINE = ("uvloop", "winloop")


class _Minute:
    """What was begun and spent within the last minute, by one time."""

    def __init__(self) -> None:
        self.begun: deque[float] = deque()
        self.spent: deque[tuple[float, int]] = deque()

    def forget(self, now: float) -> None:
        before = now - _MINUTE + TICK
        while self.begun and self.begun[0] <= before:
            self.begun.popleft()
        while self.spent and self.spent[0][0] <= before:
            self.spent.popleft()


class Place:
    """One request: it waits in line, then it is inside, then it has left.

    Args:
        loop: On which it is told.
        begin: Called when it may begin.
    """

    def __init__(self, loop: AbstractEventLoop, begin: Callable[[], None]) -> None:
        self.loop = loop
        self.admitted_at: float | None = None  # until it begins: one that does not takes nothing
        self._begin: Callable[[], None] | None = begin
        self._timer: TimerHandle | None = None

    @property
    def has_timer(self) -> bool:
        """Whether it looks again by itself."""
        return self._timer is not None

    def begin(self) -> None:
        """Begins, unless it was given up meanwhile."""
        begin, self._begin = self._begin, None
        if begin is not None:
            self.admitted_at = None
            begin()

    def wake(self, due: float, look: Callable[[], None]) -> None:
        """Looks again at that time."""

        def ring() -> None:
            self._timer = None
            look()

        if self._begin is not None and self._timer is None:
            self._timer = self.loop.call_at(due, ring)

    def give_up(self) -> None:
        """Does not begin any more."""
        self._begin = None
        if self._timer is not None:
            self._timer.cancel()


class Budget:
    """Who may begin, and when: in the order of arrival.

    A minute is the last sixty seconds at any moment. Loops go by one time, the machine's; one with a time
    of its own, as a virtual one, has its own minute.

    Args:
        requests: In a minute; None: any number.
        tokens: In a minute, as answers say that they took them; a request waits while they are used up.
        concurrent: At once.
    """

    def __init__(self, requests: int | None, tokens: int | None, concurrent: int | None) -> None:
        self._requests = requests
        self._tokens = tokens
        self._concurrent = concurrent
        self._lock = threading.Lock()
        self._waiting: deque[Place] = deque()
        self._inside: set[Place] = set()
        self._machine = _Minute()
        self._others: WeakKeyDictionary[AbstractEventLoop, _Minute] = WeakKeyDictionary()

    def enter(self, place: Place) -> None:
        """Lines up; it begins at once if it may. On its loop."""
        with self._lock:
            self._waiting.append(place)
        self._admit(place)

    def leave(self, place: Place) -> None:
        """Gives the place back, be it inside or in the line. On its loop."""
        place.give_up()
        self._take_out(place)
        self._admit()

    def spend(self, loop: AbstractEventLoop, tokens: int) -> None:
        """Counts what an answer took."""
        if self._tokens is not None:
            with self._lock:
                self._minute(loop).spent.append((loop.time(), tokens))

    def _admit(self, here: Place | None = None) -> None:
        """Lets in whoever may; the first who has to wait for time to pass looks again then."""
        while (found := self._next()) is not None:
            place, due = found
            if due is None:
                if place is here:
                    place.begin()
                elif not hop(place.loop, place.begin):
                    self._take_out(place)  # its loop is closed
            elif place is here:
                place.wake(due, self._admit)
                return
            elif hop(place.loop, place.wake, due, self._admit):
                return
            else:
                self._take_out(place)

    def _next(self) -> tuple[Place, float | None] | None:
        """Who is let in now, or, with a time, who is first and has to wait; None: others have to leave."""
        with self._lock:
            while self._waiting and self._waiting[0].loop.is_closed():
                self._waiting.popleft()  # its timer will not ring
            first = self._waiting[0] if self._waiting else None
            if first is None or first.has_timer or self._is_full():
                return None
            now = first.loop.time()
            minute = self._minute(first.loop)
            minute.forget(now)
            due = self._due(minute, now)
            if due > now + TICK:
                return first, due
            self._waiting.popleft()
            self._inside.add(first)
            first.admitted_at = now
            minute.begun.append(now)
            return first, None

    def _is_full(self) -> bool:
        if self._concurrent is None or len(self._inside) < self._concurrent:
            return False
        self._inside = {place for place in self._inside if not place.loop.is_closed()}
        return len(self._inside) >= self._concurrent

    def _due(self, minute: _Minute, now: float) -> float:
        """When the next may begin, as far as is known now."""
        due = now
        if self._requests is not None and len(minute.begun) >= self._requests:
            due = minute.begun[-self._requests] + _MINUTE
        if self._tokens is not None:
            used = sum(tokens for _, tokens in minute.spent)
            for at, tokens in minute.spent:
                if used < self._tokens:
                    break
                used -= tokens
                due = max(due, at + _MINUTE)
        return due

    def _take_out(self, place: Place) -> None:
        with self._lock:
            if place in self._inside:
                self._inside.discard(place)
                if place.admitted_at is not None:
                    with suppress(ValueError):  # it was admitted more than a minute ago
                        self._minute(place.loop).begun.remove(place.admitted_at)
            elif place in self._waiting:
                self._waiting.remove(place)

    def _minute(self, loop: AbstractEventLoop) -> _Minute:
        kind = type(loop)
        own = getattr(kind, "time", None) is not asyncio.BaseEventLoop.time
        if not own or kind.__module__.partition(".")[0] in _OF_THE_MACHINE:
            return self._machine
        return self._others.setdefault(loop, _Minute())
