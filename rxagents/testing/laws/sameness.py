"""When two runs count as the same: what they came to, without the ids that each makes anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ...blocks import Block
from ...replays import Replay
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript
from ...values import Message
from .watches import Watch
from .worlds import World

__all__ = ["asked", "difference", "entries", "shape", "sum_of"]

# how a message calls the tool calls that came without an id: after its own
_MADE_ID = re.compile(r"call_[0-9a-f]{8}_")


def _plain(data: Any) -> Any:
    return json.loads(_MADE_ID.sub("call_", json.dumps(data, default=repr)))


def sum_of(transcript: Transcript, *, log: bool = True) -> dict[str, Any]:
    """What a conversation has come to, as plain data."""
    data = {
        "messages": [message.to_dict() for message in transcript],
        "variables": dict(transcript.variables),
        "usage": transcript.metrics,
        "log": transcript.log if log else (),
    }
    return {name: _plain(value) for name, value in data.items()}


def asked(world: World) -> list[Any]:
    """What the models of a world were asked."""
    return [_plain({"agent": request.agent, **request.body()}) for request in world.requests]


def entries(watch: Watch) -> list[Any]:
    """The markers that a reader saw: the seconds, the kind, the path, and the content."""
    return [
        [at, str(value[0]), list(value[0].path), _plain(value[1])]
        for at, kind, value in watch.events
        if kind == "next"
    ]


def shape(value: Any) -> Any:
    """What a value says, as plain data; of a message or block, all that was in it."""
    if isinstance(value, MessageStream):
        said = value.result.to_dict() if value.result is not None else None
        return _plain(["message", value.name, value.role, value.items, said])
    if isinstance(value, Block):
        return ["block", value.name, value.entry, *map(shape, value.items)]
    if isinstance(value, Replay):
        return list(map(shape, value.items))
    if isinstance(value, StateUpdate):
        return _plain(["state", value.to_dict(), value.log])
    if isinstance(value, Transcript):
        return ["transcript", sum_of(value)]
    if isinstance(value, Message):
        return _plain(["message", value.to_dict()])
    return _plain(value)


def difference(one: Any, other: Any, at: str = "") -> str | None:
    """Where two pieces of plain data differ first, in words; None if they do not."""
    if one == other:
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        keys: Iterable[Any] = {**one, **other}
        pairs = [(f"{at}.{key}" if at else str(key), one.get(key), other.get(key)) for key in keys]
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other) and one[: len(other)] == other[: len(one)]:
            longer, words = (one, "more") if len(one) > len(other) else (other, "fewer")
            rest = longer[min(len(one), len(other)) :]
            return f"{at or 'all'}: {len(rest)} {words} at the end: {rest!r:.200}"
        pairs = [
            (f"{at}[{index}]", left, right)
            for index, (left, right) in enumerate(zip(one, other, strict=False))
        ]
    else:
        return f"{at or 'all'}: {one!r:.200} and {other!r:.200}"
    for place, left, right in pairs:
        found = difference(left, right, place)
        if found is not None:
            return found
    return f"{at or 'all'}: {one!r:.200} and {other!r:.200}"
