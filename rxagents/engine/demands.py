"""Demand: whether whoever reads wants more, which is what a source asks before it reads its socket on.

A reader that pulls (an iterator) is a demand: it wants nothing while it is a buffer behind. A reader that
is pushed to has none, and demands everything. The demand goes down with the subscription, as a context
variable: tasks, and what they subscribe to, inherit it.

It cannot deadlock: an iterator wants nothing only while it has something to read, and whatever else it may
wait for is read by another demand, of which one is enough.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Protocol

from reactivex import abc

from .loops import current_loop, hop, is_on

__all__ = ["BUFFER", "Demand", "Watchers", "current_demand", "demanded_by", "until_wanted"]

BUFFER = 64
"""How many items an iterator may be behind, where nothing else is said."""


class Demand(Protocol):
    """Whether more is wanted. To be asked on the loop of the stream."""

    @property
    def wanted(self) -> bool:
        """Whether a source may go on."""

    @property
    def idle(self) -> bool:
        """Whether somebody waits for the next item, and has read all before it; that is wanted, too."""

    @property
    def room(self) -> int:
        """So many items, at least, are wanted at once; 0: one, or none."""
        return 0

    def watch(self, callback: Callable[[], None], cares: Watchers | None = None) -> abc.DisposableBase:
        """Calls back, on the loop, each time that `wanted` may have changed, or somebody begins to wait.

        Args:
            callback: Called until the result is disposed.
            cares: Who is told by the callback: while there is nobody, it need not be called.
        """

    async def granted(self) -> None:
        """Waits until more is wanted; returns at once if it is."""
        loop = asyncio.get_running_loop()
        while not self.wanted:
            waiter: asyncio.Future[None] = loop.create_future()

            def wake(waiter: asyncio.Future[None] = waiter) -> None:
                if not waiter.done():
                    waiter.set_result(None)

            watching = self.watch(wake)
            try:
                if not self.wanted:  # it may have changed, in another thread, before it was watched
                    await waiter
            finally:
                watching.dispose()


_making = threading.Lock()


class Watchers:
    """Who watches something: each is told on the loop on which it began to watch, from any thread."""

    __slots__ = ("_all",)

    def __init__(self) -> None:
        self._all: dict[_Watcher, None] | None = None  # mostly nobody watches, at each level of each run

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, callback: Callable[[], None], cares: Watchers | None = None) -> abc.DisposableBase:
        """Calls back with each `tell`, until disposed; not while there is nobody who `cares`."""
        if self._all is None:
            with _making:  # two threads may be the first to watch
                self._all = {} if self._all is None else self._all
        watcher = _Watcher(self._all, callback, cares)
        self._all[watcher] = None
        return watcher

    def tell(self) -> None:
        """Calls all of them back."""
        for watcher in list(self._all or ()):
            watcher.tell()


class _Watcher(abc.DisposableBase):
    __slots__ = ("_all", "_callback", "_cares", "_loop")

    def __init__(
        self, all_: dict[_Watcher, None], callback: Callable[[], None], cares: Watchers | None
    ) -> None:
        self._all = all_
        self._callback = callback
        self._cares = cares
        self._loop: AbstractEventLoop = current_loop()

    def tell(self) -> None:
        if self._cares is not None and not self._cares:
            return
        if is_on(self._loop):
            self._call()
        else:
            hop(self._loop, self._call)  # a closed loop watches nothing

    def _call(self) -> None:
        if self in self._all:
            self._callback()

    def dispose(self) -> None:
        self._all.pop(self, None)


_demand: ContextVar[Demand | None] = ContextVar("rxagents_demand", default=None)


def current_demand() -> Demand | None:
    """The demand that this code serves; None: all that it can give is wanted."""
    return _demand.get()


class demanded_by:
    """What is subscribed to meanwhile, and every task that is made, serves this demand.

    Args:
        demand: None: everything is wanted.
    """

    __slots__ = ("_demand", "_token")

    _token: Token[Demand | None] | None

    def __init__(self, demand: Demand | None) -> None:
        self._demand = demand

    def __enter__(self) -> None:
        # as it is mostly: a variable that is set again makes every copy of the context one of its own
        self._token = None if _demand.get() is self._demand else _demand.set(self._demand)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _demand.reset(self._token)


async def until_wanted() -> None:
    """Waits until the demand that this code serves wants more; returns at once if it does."""
    demand = _demand.get()
    if demand is not None and not demand.wanted:
        await demand.granted()
