"""Messages as a model gets to read them: the wire form of OpenAI's chat completions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from ..assembly import TAKEN_BACK
from ..values import Message, ToolCall

__all__ = ["CUT_OFF", "OthersAs", "wire_messages", "wire_turn"]

OthersAs = Literal["assistant", "user"]

CUT_OFF = "You were interrupted here. Nothing more of this reply was heard."
"""What a model is told behind a message of its own that was cut."""

_INSTRUCTS = ("system", "developer")

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
    read = [m for m in messages if m.role not in _INSTRUCTS or m.name is None or m.name == speaker]
    roles = {message.role for message in read}
    if others_as is None:
        others_as = "assistant" if "user" in roles else "user"
    results = [message for message in read if message.role == "tool"] if "tool" in roles else ()
    answered = {message.tool_call_id for message in results}
    called: set[str | None] = set()
    wire: list[dict[str, Any]] = []
    for message in read:
        fields = (
            message.__dict__
        )  # what is read from there costs half, and there may be thousands of messages
        role, content, name = fields["role"], fields["content"], fields["name"]
        own = name == speaker and name is not None
        more = fields["tool_calls"] or fields["steps"] or fields["refusal"] or role == "tool"
        if content and not more and fields["finish_reason"] != "interrupted":
            # nothing but words, as most of them
            said = {"role": others_as if role == "assistant" and not own else role, "content": content}
            if name is not None and _is_name(name):
                said["name"] = name
            wire.append(said)
        elif role == "tool":
            if message.tool_call_id in called:
                wire.append(_plain(message, "tool"))
        elif message.tool_calls and (own or name is None) and _ids(message) <= answered:
            called |= _ids(message)
            wire.append(_step(message))
        elif role != "assistant":
            wire.append(_plain(message, role))
        elif not (content or message.refusal or message.steps):
            continue  # a model's turn that was cut before it began
        elif own:
            wire.extend(wire_turn(message))
            if message.finish_reason == "interrupted":
                # not in the message: a model takes what it has said for the way in which it speaks
                wire.append({"role": "system", "content": CUT_OFF})
        elif content or message.refusal:
            wire.append(_plain(message, others_as))
    return wire


def wire_turn(message: Message) -> list[dict[str, Any]]:
    """A turn of the agent itself: each round's calls, their results, and what was said at last."""
    wire: list[dict[str, Any]] = []
    rest, said_before = message.content, 0
    for step in message.steps:
        fields = step.__dict__
        role, content = fields["role"], fields["content"]
        if role == "tool":
            wire.append({"role": "tool", "tool_call_id": fields["tool_call_id"], "content": content})
            continue
        wire.append(_step(step))
        if content and role == "assistant":
            said_before += len(step.text)
    if said_before and isinstance(rest, str):
        rest = rest[said_before:]
    if rest or message.refusal or not wire:
        said = _plain(message, "assistant")
        said["content"] = rest or None
        wire.append(said)
    return wire


def _step(step: Message) -> dict[str, Any]:
    wire = _plain(step, "assistant")
    fields = step.__dict__
    wire["content"] = fields["content"] or None
    wire["tool_calls"] = [_call(call) for call in fields["tool_calls"]]
    if metadata := fields["metadata"]:
        wire |= {key: metadata[key] for key in TAKEN_BACK if key in metadata}
    return wire


def _call(call: ToolCall) -> dict[str, Any]:
    if type(call) is not ToolCall:
        return call.model_dump()
    fields = call.__dict__  # the same, at a fifth of the price
    return {"id": fields["id"], "function": dict(fields["function"]), "type": fields["type"]}


def _plain(message: Message, role: str) -> dict[str, Any]:
    fields = message.__dict__
    content, refusal, name = fields["content"], fields["refusal"], fields["name"]
    if refusal and role != "assistant":
        content = content or refusal
    wire: dict[str, Any] = {"role": role, "content": content or ""}
    if fields["role"] == "tool":
        wire["tool_call_id"] = fields["tool_call_id"]
    elif name is not None and _is_name(name):
        wire["name"] = name
    if refusal and role == "assistant":
        wire["refusal"] = refusal
    return wire


@lru_cache(maxsize=1024)
def _is_name(name: str) -> bool:
    # remembered, since a conversation of thousands of messages has a handful of speakers
    return _NAME.fullmatch(name) is not None


def _ids(message: Message) -> set[str | None]:
    return {call.id for call in message.tool_calls}
