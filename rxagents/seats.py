"""Whoever reads a run through an iterator."""

from __future__ import annotations

__all__ = ["Seat"]


class Seat:
    """Whoever reads a run through an iterator. That he has left is known at once, in every thread.

    Attributes:
        left: Whether he has left.
    """

    left = False

    def leave(self) -> None:
        """Says that he has left."""
        self.left = True
