"""What a tool returned: the text for the model, and the changes for the conversation."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic_core import to_json

from ..state_updates import StateUpdate

__all__ = ["DONE", "encoded", "parted"]

DONE = "done"
"""What the model is told where a tool gave nothing but changes."""


def parted(result: Any) -> tuple[Any, tuple[StateUpdate, ...]]:
    """A result without the StateUpdates in it, and these.

    They stand for themselves, or among the members of a tuple or list. Where nothing else was
    returned, the model is told that it is done.
    """
    if isinstance(result, StateUpdate):
        return DONE, (result,)
    if not isinstance(result, (tuple, list)):
        return result, ()
    changes = tuple(part for part in result if isinstance(part, StateUpdate))
    if not changes:
        return result, ()
    rest = [part for part in result if not isinstance(part, StateUpdate)]
    return (rest[0] if len(rest) == 1 else rest or DONE), changes


def encoded(result: object) -> str:
    """A text as it is, an enum as its value, anything else as JSON; what JSON does not know as its `str`."""
    if isinstance(result, Enum):
        result = result.value
    if isinstance(result, str):
        return str.__str__(result)
    return to_json(result, fallback=str, inf_nan_mode="strings").decode()
