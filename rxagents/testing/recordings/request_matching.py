"""Which recorded request a new one is like, and where the two differ.

Requests are equal when their bodies are, as canonical JSON. The ids of tool calls are numbered first,
in the order in which they stand: where a service gives none they are made up, and differ each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Difference", "canonical", "comparable", "first_difference", "likeness"]

_FIRST = ("messages", "tools", "response_format")
_WIDTH = 60
_ABSENT = object()


class Difference(NamedTuple):
    """The first place where two bodies differ.

    Args:
        place: Such as `messages[1].content`.
        recorded: What stands there in the recorded one, as JSON, cut to what matters.
        asked: What stands there in the new one.
    """

    place: str
    recorded: str
    asked: str


def comparable(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the ids of its tool calls numbered."""
    numbers: dict[Any, str] = {}

    def number(id: Any) -> Any:
        return numbers.setdefault(id, f"call {len(numbers) + 1}") if isinstance(id, str) else id

    messages = body.get("messages")
    if not isinstance(messages, list):
        return dict(body)
    return {**body, "messages": [_numbered(message, number) for message in messages]}


def _numbered(message: Any, number: Any) -> Any:
    if not isinstance(message, dict):
        return message
    changed: dict[str, Any] = {}
    if isinstance(calls := message.get("tool_calls"), list):
        changed["tool_calls"] = [
            {**call, "id": number(call["id"])} if isinstance(call, dict) and "id" in call else call
            for call in calls
        ]
    if "tool_call_id" in message:
        changed["tool_call_id"] = number(message["tool_call_id"])
    return message | changed


def canonical(value: object) -> str:
    """The JSON that is the same for what is equal."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def likeness(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> float:
    """How much of two comparable bodies is the same, from 0 to 1."""
    one, other = dict(_leaves(recorded)), dict(_leaves(asked))
    same = sum(_alike(value, other[place]) for place, value in one.items() if place in other)
    return same / max(len(one), len(other), 1)


def _alike(one: str, other: str) -> float:
    return _common(one, other) / max(len(one), len(other))


def _common(one: str, other: str) -> int:
    """How many characters of their beginning two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    steps = list(_steps(value, place))
    if steps:
        for step, inner in steps:
            yield from _leaves(inner, step)
    else:
        yield place, canonical(value)


def _steps(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in _ordered(value):
            yield (f"{place}.{key}" if place else str(key)), value[key]
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield f"{place}[{index}]", inner


def _ordered(*bodies: Mapping[str, Any]) -> Sequence[str]:
    keys = {key: None for body in bodies for key in sorted(body)}
    return [*(key for key in _FIRST if key in keys), *(key for key in keys if key not in _FIRST)]


def first_difference(recorded: Any, asked: Any, place: str = "") -> Difference | None:
    """The first place where two comparable bodies differ, messages first; None if they are equal."""
    if canonical(recorded) == canonical(asked):
        return None
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for key in _ordered(recorded, asked):
            inner = f"{place}.{key}" if place else str(key)
            found = _between(recorded.get(key, _ABSENT), asked.get(key, _ABSENT), inner)
            if found is not None:
                return found
    if isinstance(recorded, list) and isinstance(asked, list):
        for index in range(max(len(recorded), len(asked))):
            one, other = (each[index] if index < len(each) else _ABSENT for each in (recorded, asked))
            found = _between(one, other, f"{place}[{index}]")
            if found is not None:
                return found
    return Difference(place or "the body", *_shown(recorded, asked))


def _between(recorded: Any, asked: Any, place: str) -> Difference | None:
    if recorded is _ABSENT or asked is _ABSENT:
        return Difference(place, *_shown(recorded, asked))
    return first_difference(recorded, asked, place)


def _shown(recorded: Any, asked: Any) -> tuple[str, str]:
    """Both as JSON, without the long beginning that they have in common."""
    one, other = (
        "nothing" if each is _ABSENT else json.dumps(each, ensure_ascii=False) for each in (recorded, asked)
    )
    begin = max(0, _common(one, other) - _WIDTH // 3)
    return _excerpt(one, begin), _excerpt(other, begin)


def _excerpt(text: str, begin: int) -> str:
    cut = text[begin : begin + _WIDTH]
    return f"{'…' if begin else ''}{cut}{'…' if begin + _WIDTH < len(text) else ''}"
