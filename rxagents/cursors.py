"""Cursor: one reader's place in a list that grows."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any, Protocol, TypeVar

from .engine.demands import demanded_by
from .engine.sinks import Sink

__all__ = ["Cursor", "Readable"]

T = TypeVar("T")


class Readable(Protocol[T]):
    """What a cursor reads: items, and at some time an end."""

    _items: list[T]
    ended: bool
    error: Exception | None


class Cursor(Sink[T]):
    """One reader's place in the list."""

    __slots__ = ("_busy", "_position", "_replay")

    def __init__(self, replay: Readable[T], loop: AbstractEventLoop, *observer: Any) -> None:
        super().__init__(loop, *observer)
        self._replay = replay
        self._position = 0
        self._busy = False

    def pump(self) -> None:
        """As `read`, in the demand of the reader: what he subscribes to in turn is for him."""
        with demanded_by(self.demand):
            self.read()

    def read(self) -> None:
        """Hands on what the reader has not seen; one that is reading already goes on by itself."""
        if self._busy:
            return
        self._busy = True
        replay = self._replay
        items = replay._items
        try:
            while not self.stopped:
                if self._position < len(items):
                    item = items[self._position]
                    self._position += 1
                    try:
                        self._on_next(item)
                    except Exception as error:
                        self.reject(error)
                    except SystemExit as leaving:
                        self.exit(leaving)
                elif replay.ended:
                    if replay.error is None:
                        self.on_completed()
                    else:
                        self.on_error(replay.error)
                else:
                    return
            self._tear_down()  # stopped by another thread, maybe, whose word for it waits on the loop
        finally:
            self._busy = False
