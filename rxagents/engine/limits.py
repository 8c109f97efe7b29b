"""How many at once: a bound that several event loops and abandoned threads share."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from ..errors import ConfigurationError

__all__ = ["Limit"]


class Limit:
    """Places for threads: so many may be out at once, whatever loops their callers are on.

    Waiting callers get their places in the order in which they came. There is no lock, since a
    place may be given back by a finalizer, which can run in the middle of anything: all rests on
    the atomic `append` and `pop` of deques.

    Args:
        n: How many places there are, at least one.

    Raises:
        ConfigurationError: There would be no place.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise ConfigurationError(f"a Limit needs at least one place, not {n!r}")
        self._free: deque[None] = deque([None] * n)
        self._waiters: deque[_Waiter] = deque()

    async def acquire(self) -> None:
        """Waits for a place and takes it. When it is cancelled, no place is taken."""
        if not self._waiters:
            with suppress(IndexError):
                self._free.pop()
                return
        waiter = _Waiter()
        self._waiters.append(waiter)
        self._match()
        try:
            await waiter.future
        except BaseException:
            waiter.given_up = True
            with suppress(ValueError):
                self._waiters.remove(waiter)
            if waiter.take():
                self.release()
            raise
        waiter.take()

    def release(self) -> None:
        """Gives a place back, from any thread, and wakes the first who waits for one."""
        self._free.append(None)
        self._match()

    def _match(self) -> None:
        while True:
            try:
                self._free.pop()
            except IndexError:
                return
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                self._free.append(None)
                # Someone may have queued up meanwhile, and have seen no free place.
                if not self._waiters:
                    return
                continue
            if not waiter.offer():
                self._free.append(None)


class _Waiter:
    """One who waits for a place. `places` holds the place from its offer until one side takes it."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.given_up = False
        self._places: list[None] = []

    def offer(self) -> bool:
        """Hands a place over, from any thread; False if it comes back, as nobody is there to have it."""
        self._places.append(None)
        if not self.given_up:
            with suppress(RuntimeError):  # its loop is closed
                self.future.get_loop().call_soon_threadsafe(self._wake)
                return True
        return not self.take()

    def take(self) -> bool:
        """Takes the place that was offered; of several that try, one gets it."""
        try:
            self._places.pop()
        except IndexError:
            return False
        return True

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
