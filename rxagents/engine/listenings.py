"""All that one listens to, disposed together."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable, abc

from .inlets import inlet

__all__ = ["Listening"]

T = TypeVar("T")


class Listening(abc.DisposableBase):
    """All that one listens to, disposed together. What has ended is forgotten: more may come without end.

    Small, since thousands of conversations may be idle, each listening to one thing: RxPY's
    CompositeDisposable has a lock and a list, in which it searches for what has ended.
    """

    __slots__ = ("_first", "_others", "is_disposed")

    def __init__(self) -> None:
        self._first: abc.DisposableBase | None = None
        self._others: dict[abc.DisposableBase, None] | None = None
        self.is_disposed = False

    def add(self, each: abc.DisposableBase) -> None:
        """Disposes it with the rest; now if they have been disposed."""
        if self.is_disposed:
            each.dispose()
        elif self._first is None:
            self._first = each
        else:
            if self._others is None:
                self._others = {}
            self._others[each] = None

    def remove(self, each: abc.DisposableBase) -> None:
        """Disposes it, and forgets it."""
        if each is self._first:
            self._first = None
        elif self._others is not None and each in self._others:
            del self._others[each]
            self._others = self._others or None
        else:
            return  # all were disposed before
        each.dispose()

    def dispose(self) -> None:
        """Disposes all, and what is added from now on."""
        self.is_disposed = True
        others, self._others = self._others or (), None
        first, self._first = self._first, None
        for each in (first, *others):
            if each is not None:
                each.dispose()

    def listen(
        self,
        source: Observable[T],
        loop: AbstractEventLoop,
        on_next: Callable[[T], object],
        on_error: Callable[[Exception], object],
        on_completed: Callable[[], object],
    ) -> None:
        """Like `listen`."""
        heard = inlet(source, loop, on_next, on_error, on_completed, self)
        self.add(heard)
        heard.hear(source)
