"""EndCallbacks: who is called when something has ended, each once, from whatever thread he came."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from .engine.demands import Demand, current_demand, demanded_by
from .engine.loops import dropped

__all__ = ["EndCallbacks"]

Ended = Callable[[Any], object]


class Ending(Protocol):
    """What is going to end."""

    ended: bool


class EndCallbacks:
    """Who is called at an end, in order."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # a list, which is a tenth of a deque; it is short, and its methods are as atomic
        self._waiting: list[Ended] = []

    def takes(self, callback: Ended, of: Ending, subscribes: bool) -> bool:
        """Takes note of one; false if it has ended, and nobody else calls him.

        Args:
            callback: What to call.
            of: What is going to end.
            subscribes: Whether it may subscribe to anything, and so is to be called in the demand of now.
        """
        if of.ended:
            return False
        waiting = partial(_in_demand, callback, current_demand()) if subscribes else callback
        self._waiting.append(waiting)
        if not of.ended:
            return True
        # it ended at this moment, on its loop: who takes the callback out of the list calls it
        try:
            self._waiting.remove(waiting)
        except ValueError:
            return True
        return False

    def call(self, of: Ending) -> None:
        """It has ended."""
        while self._waiting:
            callback = self._waiting.pop(0)
            try:
                callback(of)
            except Exception as raised:
                dropped(raised, f"a witness of {of!r} raised")


def _in_demand(callback: Ended, demand: Demand | None, of: Any) -> None:
    with demanded_by(demand):
        callback(of)
