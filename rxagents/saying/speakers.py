"""Speakers: whose words plain strings are, and what can be said at all."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from reactivex import Observable

from ..blocks import Block
from ..conversations import Conversation
from ..errors import InputError
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Transcript
from ..values import Message, Role, message_from
from .inputs import WorkflowInput

__all__ = ["ITEMS", "NOT_IN_PARTS", "Speaker", "Unordered", "check", "no_message", "spoken"]

ITEMS = (MessageStream, Block, StateUpdate, Transcript)
NOT_IN_PARTS = (bytes, bytearray, memoryview, BaseModel, type)  # iterable, but not over messages


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose words plain strings are, and how what is said is delivered.

    Args:
        role: The role of a string.
        name: The name of whatever this role says without one.
        in_turn: Whether a message or block is delivered when the one before it has ended, as in a
            reply; else as soon as the one before it has begun.
        around: What surrounds the code that says it: a function that gives a context manager.
        unordered: Whether it stands in something unordered.
        is_paid: Whether somebody else has paid for a Message: said again, it takes nothing.
    """

    role: Role = "user"
    name: str | None = None
    in_turn: bool = False
    around: Callable[[], AbstractContextManager[None]] | None = None
    unordered: bool = False
    is_paid: Callable[[Message], bool] | None = None


@dataclass(frozen=True, slots=True)
class Unordered:
    """Things that are delivered as they come; made by `unordered`."""

    things: tuple[Any, ...]


def check(thing: Any) -> None:
    """Refuses at once what can be seen to be no message, without starting anything."""
    if isinstance(thing, Mapping) and not isinstance(thing, Message):
        spoken(thing, Speaker())
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            check(part)
    elif isinstance(thing, Unordered):
        check(thing.things)
    elif not _speakable(thing):
        raise no_message(thing)


def _speakable(thing: Any) -> bool:
    kinds = (str, Message, WorkflowInput, Conversation, Exception, Observable, AsyncIterable, Awaitable)
    if thing is None or isinstance(thing, (*ITEMS, *kinds)):
        return True
    return isinstance(thing, Iterable) and not isinstance(thing, NOT_IN_PARTS)


def no_message(thing: Any) -> InputError:
    """What is raised for a thing that cannot be said."""
    return InputError(
        f"{type(thing).__name__} is no message; say a string, a Message, a dict with 'role' and "
        "'content', or a list, observable or async iterable of those"
    )


def spoken(thing: Any, speaker: Speaker) -> Message:
    """The Message that a string, a dict, an input or a Message is, when this one says it.

    Raises:
        InputError: The dict is no message.
    """
    if isinstance(thing, str):
        return Message(role=speaker.role, content=thing, name=speaker.name)
    if isinstance(thing, WorkflowInput):
        return thing.to_message()
    if isinstance(thing, Message):
        changes: dict[str, Any] = {}
        if thing.name is None and speaker.name is not None and thing.role == speaker.role:
            changes["name"] = speaker.name
        if thing.usage is not None and speaker.is_paid is not None and speaker.is_paid(thing):
            changes["usage"] = None
        return thing.model_copy(update=changes) if changes else thing
    if "role" in thing or "content" in thing:
        return message_from({"role": speaker.role, "name": speaker.name, **thing})
    if "text" in thing:
        return WorkflowInput.from_dict(thing).to_message()
    raise InputError(
        f"a dict with the keys {sorted(map(str, thing))} is no message; it needs 'role' and "
        "'content', or 'text'"
    )
