"""Shared: a run that holds itself, for readers that come and go."""

from __future__ import annotations

from typing import Any

from reactivex import Observable

from ..blocks import Scope

__all__ = ["Shared"]


class Shared(Scope):
    """A run that holds itself: readers come and go, late ones replay, `dispose` cancels it.

    The fastest of its readers decides how far it goes; while there are none, it goes on as whoever has
    started it wants it, and at full speed when that one has left.

    Args:
        source: What to run.
        keep_running: Whether it runs on when its last reader has left; if not, that one cancels it.
    """

    def __init__(self, source: Observable[Any] | None, *, keep_running: bool = True) -> None:
        super().__init__(source)
        self._kept = keep_running

    def begin(self) -> None:
        """Starts it, if nobody has subscribed yet."""
        self._on_loop(self._start)

    def dispose(self) -> None:
        """Cancels: what is open ends as interrupted, and keeps what had arrived. From any thread."""
        self.interrupt()
