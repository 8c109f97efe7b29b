"""Mended: a message that ends where another one fails, with the very tokens of the other."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any

from reactivex import abc

from .cursors import Cursor
from .streams import MessageStream

__all__ = ["Mended"]


class Mended(MessageStream):
    """A message that is another one, but ends where that one fails, with what it has.

    Its readers read the other's own list, so no token costs anything.

    Args:
        other: The other one.
        in_block: Whether that is held by its block: then cutting this one has to cut it.
    """

    def __init__(self, other: MessageStream, in_block: bool) -> None:
        super().__init__(None, name=other.name, role=other.role, id=other.id, kind=other.kind)
        self._other = other
        self.original = getattr(other, "original", None)  # it is the other one, not a twin of it
        self._in_block = in_block
        self._items = other._items
        self._completions = other._completions
        self._holding = False
        other.on_end(self._other_ended)

    def _bound_loop(self) -> AbstractEventLoop:
        return self._other._bound_loop()

    def _start(self) -> None:
        if not (self._started or self.ended):
            self._holding = True
            self._other._count_hold(self._demand)
        super()._start()

    def _run(self) -> None:
        if not self.ended:
            self._other._start()

    def _attach(self, cursor: Cursor[Any]) -> abc.DisposableBase:
        if not self._other.ended:
            self._other._add_reader(cursor)
        return super()._attach(cursor)

    def _detach(self, cursor: Cursor[Any]) -> None:
        self._other._drop_reader(cursor)
        super()._detach(cursor)

    def _other_ended(self, other: MessageStream) -> None:
        self._finish(interrupted=other.interrupted)

    def _finish(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        if self._in_block and not self.ended and not self._other.ended:
            self._other._finish(interrupted=True)  # which ends this one
            return
        super()._finish(error, interrupted=interrupted)
        if self._holding:
            self._holding = False
            if not self._other.ended:
                self._other._release(self._demand)

    def _settle(self) -> None:
        other = self._other
        if other.ended and other.result is not None:
            self.parsed, self.result = other.parsed, other.result
            if self.name != other.name:
                self.speak_as(self.name)
            return
        self._items = list(self._items)  # the other one may go on for others
        super()._settle()
