"""Telling: how what stands around a model, and can emit no more than tokens, says what it did."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from ..state_updates import StateUpdate

__all__ = ["Tell", "teller", "tells"]

Tell = Callable[[StateUpdate], None]

# Tasks inherit it: it is that of the agent in whose turn the model is asked.
_teller: ContextVar[Tell | None] = ContextVar("rxagents.gates.telling", default=None)


def tells(tell: Tell) -> None:
    """Has this task, and what it starts, say what they do by this."""
    _teller.set(tell)


def teller() -> Tell:
    """By what this code says what it does; where nobody listens, by nothing."""
    return _teller.get() or _nobody


def _nobody(update: StateUpdate) -> None:
    pass
