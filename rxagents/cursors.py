"""Cursor: one reader's place in a list that grows."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from .engine.demands import current_demand, demanded_by
from .engine.sinks import Sink

__all__ = ["Cursor", "Readable"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """What a cursor reads: items, and at some time an end."""

    _items: list[Any]
    ended: bool
    error: Exception | None

    def _shown(self, items: list[Any]) -> Sequence[T_co]:
        """Items of the list, as they are read."""

    def _shown_one(self, item: Any) -> T_co:
        """One of them."""


class Cursor(Sink[T]):
    """One reader's place in the list.

    Attributes:
        reads_on: Whether it reads all that is there at once.
    """

    __slots__ = ("_busy", "_position", "_replay", "reads_on")

    def __init__(self, replay: Readable[T], loop: AbstractEventLoop, *observer: Any) -> None:
        super().__init__(loop, *observer)
        self._replay = replay
        self._position = 0
        self._busy = False
        # nobody acts between two items: so they need not be there one by one
        self.reads_on = self.passive and self._on_many is not None

    def pump(self) -> None:
        """As `read`, in the demand of the reader: what he subscribes to in turn is for him."""
        if current_demand() is self.demand:
            self.read()
            return
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
                    if self.reads_on:
                        self._read_on(items)
                        continue
                    item = items[self._position]
                    self._position += 1
                    if item.__class__ is str:  # which may stand for something
                        item = replay._shown_one(item)
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

    def _read_on(self, items: list[Any]) -> None:
        coming = items[self._position :]
        self._position += len(coming)
        assert self._on_many is not None
        try:
            self._on_many(self._replay._shown(coming))
        except Exception as error:
            self.reject(error)
