"""Shared: a run that holds itself, for readers that come and go."""

from __future__ import annotations

from ..blocks import Scope

__all__ = ["Shared"]


class Shared(Scope):
    """A run that holds itself: readers come and go, late ones replay, `dispose` cancels it."""

    def _start(self) -> None:
        if not self._started and not self.ended:
            self._holds += 1  # its own: the last reader that leaves does not end it
        super()._start()

    def begin(self) -> None:
        """Starts it, if nobody has subscribed yet."""
        self._on_loop(self._start)

    def dispose(self) -> None:
        """Cancels: what is open ends as interrupted, and keeps what had arrived. From any thread."""
        self.interrupt()
