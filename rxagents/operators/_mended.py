"""Mended: a message that ends where another one fails, with the very tokens of the other."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from ..cursors import Cursor
from ..streams import MessageStream

__all__ = ["Mended"]


class Mended(MessageStream):
    """A message that is another one, but ends where that one fails, with what it has.

    Its readers read the other's own list, so no token costs anything.

    Args:
        original: The other one.
        in_block: Whether that is held by its block: then cutting this one has to cut it.
    """

    def __init__(self, original: MessageStream, in_block: bool) -> None:
        super().__init__(None, name=original.name, role=original.role, id=original.id, kind=original.kind)
        self.original = original
        self._in_block = in_block
        self._items = original._items
        self._completions = original._completions
        self._holding = False
        original.on_end(self._original_ended)

    def _bound_loop(self) -> AbstractEventLoop:
        return self.original._bound_loop()

    def _start(self) -> None:
        if not (self._started or self.ended):
            self._holding = True
            self.original._count_hold()
        super()._start()

    def _run(self) -> None:
        if not self.ended:
            self.original._start()

    def _attach(self, cursor: Cursor) -> Callable[[], None]:  # type: ignore[type-arg]
        if not self.original.ended:
            self.original._readers = (*self.original._readers, cursor)
        detach = super()._attach(cursor)

        def leave() -> None:
            others = tuple(reader for reader in self.original._readers if reader is not cursor)
            self.original._readers = others
            detach()

        return leave

    def _original_ended(self, original: MessageStream) -> None:
        self._finish(interrupted=original.interrupted)

    def _finish(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        if self._in_block and not self.ended and not self.original.ended:
            self.original._finish(interrupted=True)  # which ends this one
            return
        super()._finish(error, interrupted=interrupted)
        if self._holding:
            self._holding = False
            if not self.original.ended:
                self.original._release()

    def _settle(self) -> None:
        original = self.original
        if original.ended and original.result is not None:
            self.parsed, self.result = original.parsed, original.result
            if self.name != original.name:
                self.speak_as(self.name)
            return
        self._items = list(self._items)  # the other one may go on for others
        super()._settle()
