"""Attended: who reads and who holds something that runs for them, and what they want of it."""

from __future__ import annotations

from typing import Any

from reactivex import abc

from .engine.demands import Demand
from .reader_demands import ReaderDemand

__all__ = ["Attended", "Attending"]


class Attended:
    """What runs for its readers and for those who hold it; with neither left it is to end, unless it is kept.

    To be asked and told on its loop.
    """

    keeps_demands = True  # each reader is told in his own demand

    _unread = 0
    """How many items there are that its source had no need to run ahead for, if nobody reads them."""

    _runs_ahead = False
    """Whether these may become more."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: tuple[Any, ...] = ()
        self._holds: list[Demand | None] = []
        self._kept = False
        self._started_for: Demand | None = None
        self._served: ReaderDemand | None = None

    @property
    def _demand(self) -> ReaderDemand:
        """The demand that its source serves."""
        if self._served is None:
            self._served = ReaderDemand(self)
        return self._served

    @property
    def _left(self) -> bool:
        return not (self._readers or self._holds or self._kept)

    def _add_reader(self, reader: Any) -> None:
        self._readers = (*self._readers, reader)
        self._attendance_changed()

    def _drop_reader(self, reader: Any) -> None:
        self._readers = tuple(other for other in self._readers if other is not reader)
        self._attendance_changed()

    def _count_hold(self, demand: Demand | None = None) -> None:
        self._holds.append(demand)  # without a start
        self._attendance_changed()

    def _drop_hold(self, demand: Demand | None) -> None:
        if demand in self._holds:  # else all are gone, with the end
            self._holds.remove(demand)
        self._attendance_changed()

    def _attendance_changed(self) -> None:
        if self._served is not None:
            self._served.changed()

    def _attendance_over(self) -> None:
        self._readers = ()
        self._holds.clear()
        if self._served is not None:
            self._served.ended()

    def _detach(self, reader: Any) -> None:
        self._drop_reader(reader)


class Attending(abc.DisposableBase):
    """One reader's attendance; disposed, it is over."""

    __slots__ = ("_at", "_reader")

    def __init__(self, at: Attended, reader: Any) -> None:
        self._at = at
        self._reader = reader

    def dispose(self) -> None:
        self._at._detach(self._reader)
