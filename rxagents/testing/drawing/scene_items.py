"""What happens on one lane, as a picture shows it: tokens, calls with their results, marks."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from ..lanes import Called, Event, Returned
from .glyphs import clip, one_line, visible

__all__ = ["Item", "ItemKind", "items_of", "said"]

ItemKind: TypeAlias = Literal["token", "value", "message", "choice", "state", "result", "call", "join"]

_LONGEST = 2000
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Item:
    """Something on a row.

    Args:
        at: Its second.
        kind: What it is; a `join` is where another row begins.
        text: What to show of it: of a call the tool's name.
        title: Everything about it.
        until: Of a call, when the result came; None if it never did.
        answer: Of a call, the result.
        aside: Of a call, whether something else came before its result.
    """

    at: float
    kind: ItemKind
    text: str = ""
    title: str = ""
    until: float | None = None
    answer: str = ""
    aside: bool = False


def items_of(events: Iterable[Event]) -> tuple[Item, ...]:
    """What to show of a lane's events, each call together with its result."""
    items: list[Item] = []
    unanswered: list[tuple[int, Called]] = []
    closed: dict[int, int] = {}
    for event in events:
        if event.kind == "result" and (index := _answered(event.value, unanswered)) is not None:
            items[index] = _answer(items[index], event)
            closed[index] = len(items)
            continue
        if event.kind == "call":
            unanswered.append((len(items), event.value))
            closed[len(items)] = -1
        items.append(_item(event))
    busy = 0
    for index, stop in closed.items():
        last = len(items) if stop < 0 else stop
        between = (item.kind for item in items[index + 1 : last])
        if index < busy or any(kind not in ("join", "call") for kind in between):
            items[index] = replace(items[index], aside=True)
        else:
            busy = last
    return tuple(items)


def _answered(returned: Returned, unanswered: list[tuple[int, Called]]) -> int | None:
    """Takes the call that this is the result of: by its id, else by the tool's name, else the first."""
    tests = (
        lambda called: bool(returned.id) and called.id == returned.id,
        lambda called: bool(returned.name) and called.name == returned.name,
        lambda called: not (returned.id and called.id) and not (returned.name and called.name),
    )
    for test in tests:
        for place, (index, called) in enumerate(unanswered):
            if test(called):
                del unanswered[place]
                return index
    return None


def _answer(call: Item, event: Event) -> Item:
    text = event.value.text
    return replace(
        call, until=max(event.at, call.at), answer=one_line(text), title=f"{call.title}\n→ {visible(text)}"
    )


def _item(event: Event) -> Item:
    at, value = event.at, event.value
    match event.kind:
        case "next" if isinstance(value, str):
            return Item(at, "token", value, visible(value))
        case "call":
            return Item(at, "call", one_line(value.name), f"{visible(value.name)}({_arguments(value)})")
        case "result":
            return Item(at, "result", one_line(value.text), f"{visible(value.name)} → {visible(value.text)}")
        case "message":
            return Item(at, "message", one_line(str(value)), visible(str(value)))
        case "state":
            return _state(event)
        case "open":
            return Item(at, "join")
        case "next" if isinstance(value, Mapping) and value.get("restart"):
            return Item(at, "value", "↺", f"↺ begins anew: {visible(str(value['restart']))}")
        case "next" if isinstance(value, Mapping) and isinstance(value.get("progress"), Mapping):
            name, shown = (visible(str(value["progress"].get(key, ""))) for key in ("name", "content"))
            return Item(at, "value", one_line(f"… {shown}"), f"{name} … {shown}")
    text = visible(_plain(value))
    return Item(at, "value", one_line(text), text)


def _state(event: Event) -> Item:
    kind, _, detail = str(event.value).partition(":")
    title = visible(str(event.value))
    if event.detail is not None:
        title += "\n" + visible(_json(event.detail))
    if kind == "choice":
        return Item(event.at, "choice", one_line(detail), title)
    return Item(event.at, "state", one_line(str(event.value)), title)


def _arguments(called: Called) -> str:
    if called.arguments is None:
        return "…"
    if isinstance(called.arguments, str):
        return visible(called.arguments)
    return ", ".join(f"{visible(key)}={visible(_json(value))}" for key, value in called.arguments.items())


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return _plain(value)


def _plain(value: Any) -> str:
    # an address would make another picture of the same lane
    try:
        return clip(_ADDRESS.sub("", repr(value)), _LONGEST)
    except Exception:
        return f"({type(value).__name__} without words: its __repr__ raises)"


def said(items: Iterable[Item], calls: Container[Item] = ()) -> str:
    """What was said, on one line, and in between those calls."""
    parts: list[str] = []
    for item in items:
        if item.kind in ("token", "message"):
            parts.append(item.title)
        elif item.kind in ("value", "result"):
            parts.append(f" {item.title} ")
        elif item in calls:
            answer = "" if item.until is None else f" = {item.answer}"
            parts.append(f" [{item.text}{answer}] ")
    return one_line("".join(parts))
