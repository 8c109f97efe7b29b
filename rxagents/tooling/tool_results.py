"""What a tool returned: the text for the model, and the changes for the conversation."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic_core import to_json

from ..state_updates import StateUpdate
from ..values import Message

__all__ = ["NOTHING", "encoded", "parted"]


class _Nothing(Enum):
    # the model reads its value
    NOTHING = "done"


NOTHING = _Nothing.NOTHING
"""What is left of a result that was nothing but changes; the model is told that it is done."""


def parted(result: Any) -> tuple[Any, tuple[StateUpdate, ...]]:
    """A result without the StateUpdates in it, and these.

    They stand for themselves, or among the members of a tuple or list. Where nothing else was
    returned, what is left is `NOTHING`.
    """
    if isinstance(result, StateUpdate):
        return NOTHING, (result,)
    if not isinstance(result, (tuple, list)):
        return result, ()
    changes = tuple(part for part in result if isinstance(part, StateUpdate))
    if not changes:
        return result, ()
    rest = [part for part in result if not isinstance(part, StateUpdate)]
    return (rest[0] if len(rest) == 1 else rest or NOTHING), changes


def encoded(result: object) -> str:
    """A text as it is, an enum as its value, a Message as its text, anything else as JSON.

    What JSON does not know is given as its `str`.
    """
    if isinstance(result, Enum):
        result = result.value
    elif isinstance(result, Message):
        result = result.text
    if isinstance(result, str):
        return str.__str__(result)
    return to_json(result, fallback=str, inf_nan_mode="strings").decode()
