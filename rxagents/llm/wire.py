"""Messages as a model gets to read them: the wire form of OpenAI's chat completions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from ..assembly import TAKEN_BACK
from ..values import Message

__all__ = ["CUT_OFF", "OthersAs", "wire_messages", "wire_turn"]

OthersAs = Literal["assistant", "user"]

CUT_OFF = "You were interrupted here. Nothing more of this reply was heard."
"""What a model is told behind a message of its own that was cut."""

# What OpenAI accepts as the name of a speaker (API reference, chat completions, `name`).
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")


def wire_messages(
    messages: Iterable[Message], *, speaker: str | None, others_as: OthersAs | None = None
) -> list[dict[str, Any]]:
    """The messages in wire form, as the agent `speaker` reads them.

    Its own messages are the assistant's, with the tool calls and results that led to them. Another
    agent's are the assistant's too, unless the request would hold no user message: then they are
    the user's, since a model answers a user. `others_as` decides otherwise. Of other agents only
    the words are passed on, not their tools. A system message that bears a name is for the agent of
    that name, and for no other. Calls and results that were put in as messages of their own go together
    or not at all. Behind a message of its own that was interrupted, a system message says that it was cut
    there; calls that had no answer by then are not sent.
    """
    read = [message for message in messages if not _is_for_another(message, speaker)]
    if others_as is None:
        others_as = "assistant" if any(message.role == "user" for message in read) else "user"
    answered = {message.tool_call_id for message in read if message.role == "tool"}
    called: set[str | None] = set()
    wire: list[dict[str, Any]] = []
    for message in read:
        if message.role == "tool":
            if message.tool_call_id in called:
                wire.append(_plain(message, "tool"))
        elif message.tool_calls and message.name in (None, speaker) and _ids(message) <= answered:
            called |= _ids(message)
            wire.append(_step(message))
        elif _is_empty(message):
            continue
        elif message.role != "assistant":
            wire.append(_plain(message, message.role))
        elif speaker is not None and message.name == speaker:
            wire.extend(wire_turn(message))
            if message.finish_reason == "interrupted":
                # not in the message: a model takes what it has said for the way in which it speaks
                wire.append({"role": "system", "content": CUT_OFF})
        elif message.content or message.refusal:
            wire.append(_plain(message, others_as))
    return wire


def wire_turn(message: Message) -> list[dict[str, Any]]:
    """A turn of the agent itself: each round's calls, their results, and what was said at last."""
    wire = [_step(step) for step in message.steps]
    said_before = sum(len(step.text) for step in message.steps if step.role == "assistant")
    rest = message.content[said_before:] if isinstance(message.content, str) else message.content
    if rest or message.refusal or not wire:
        wire.append(_plain(message, "assistant") | {"content": rest or None})
    return wire


def _step(step: Message) -> dict[str, Any]:
    if step.role == "tool":
        return {"role": "tool", "tool_call_id": step.tool_call_id, "content": step.content}
    calls = [call.model_dump() for call in step.tool_calls]
    kept = {key: step.metadata[key] for key in TAKEN_BACK if key in step.metadata}
    return _plain(step, "assistant") | {"content": step.content or None, "tool_calls": calls} | kept


def _plain(message: Message, role: str) -> dict[str, Any]:
    words = message.content or (message.refusal if role != "assistant" else None)
    wire: dict[str, Any] = {"role": role, "content": words or ""}
    if message.role == "tool":
        wire["tool_call_id"] = message.tool_call_id
    elif message.name is not None and _NAME.fullmatch(message.name):
        wire["name"] = message.name
    if message.refusal and role == "assistant":
        wire["refusal"] = message.refusal
    return wire


def _is_empty(message: Message) -> bool:
    # of a model's turn that was cut before it began; what a user says counts, even if it is nothing
    return message.role == "assistant" and not (message.content or message.steps or message.refusal)


def _ids(message: Message) -> set[str | None]:
    return {call.id for call in message.tool_calls}


def _is_for_another(message: Message, speaker: str | None) -> bool:
    return message.role in ("system", "developer") and message.name not in (None, speaker)
