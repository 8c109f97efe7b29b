"""Scenes: what of a Lane is to be drawn, row by row, before anybody knows how wide it will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...places import words
from ..lanes import Lane
from ..recordings.exchanges import RecordedError
from .glyphs import one_line
from .scene_items import Item, items_of
from .time_axes import span_text

__all__ = ["Row", "Scene", "scene_of"]

Ending = Literal["completed", "response", "interrupted", "error", "open"]

_INPUT = ("user", "system", "developer", "tool")


@dataclass(frozen=True, slots=True)
class Row:
    """One lane.

    Args:
        depth: How many lanes are around it.
        parent: The index of the row on which it began.
        kind: What it is.
        label: Its name; of a message the speaker's, unless it is that of the block around.
        speaker: Whose colour it has; None if nobody's.
        start: When it began, in seconds.
        end: When it ended.
        ending: How it ended.
        items: What happened on it, in order.
        error: The type and the message of the error that it ended with.
    """

    depth: int
    parent: int | None
    kind: Literal["block", "message", "plain"]
    label: str
    speaker: str | None
    start: float
    end: float
    ending: Ending
    items: tuple[Item, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is to be drawn.

    Args:
        rows: The lanes, depth first; the first is the outermost.
        notes: The errors, each told once: where, what and when.
        end: The last second.
        speakers: Who has a colour, in the order of appearance.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    end: float = 0.0
    speakers: tuple[str, ...] = ()


def scene_of(lane: Lane) -> Scene:
    """What to draw of a lane and all within it."""
    lane = _unwrapped(lane)
    end = lane.last
    rows: list[Row] = []
    # with a stack of its own: lanes may nest deeper than Python's
    waiting: list[tuple[Lane, int | None, float]] = [(lane, None, 0.0)]
    while waiting:
        inner, parent, start = waiting.pop()
        around = None if parent is None else rows[parent]
        rows.append(_row(inner, parent, around, start, end))
        own = len(rows) - 1
        waiting.extend((e.value, own, e.at) for e in reversed(inner.events) if e.kind == "open")
    speakers = dict.fromkeys(row.speaker for row in rows if row.speaker is not None)
    return Scene(tuple(rows), _notes(rows), end, tuple(speakers))


def _unwrapped(lane: Lane) -> Lane:
    """The only run of a recording stands for all of it."""
    if not lane.name and len(lane.events) == 1 and lane.lanes:
        inner = lane.lanes[0]
        if not inner.name and inner.lanes:
            return inner
    return lane


def _row(lane: Lane, parent: int | None, around: Row | None, start: float, last: float) -> Row:
    events = lane.events
    end = lane.end
    is_message = not lane.name and around is not None and not lane.lanes and "askable" not in lane.detail
    role = str(lane.detail.get("role") or "")
    ending: Ending = end.kind if end is not None else "open"  # type: ignore[assignment]
    body = events[:-1] if end is not None else events
    items = items_of(body)
    if (
        items
        and items[-1].kind == "message"
        and items[-1].title == "".join(item.title for item in items if item.kind == "token")
    ):
        items = items[:-1]  # the mark of the end says it
    is_said = bool(role) or any(item.kind in ("token", "call", "message") for item in items)
    if ending == "completed" and is_message and is_said and role not in _INPUT:
        ending = "response"
    speaker = _speaker(lane, role, around, is_message)
    if lane.name:
        label = lane.name
    else:
        label = speaker if is_message and speaker and (around is None or speaker != around.label) else ""
    times = [start, *(e.at for e in events)]
    return Row(
        depth=0 if around is None else around.depth + 1,
        parent=parent,
        kind="block" if lane.name else "message" if is_message else "plain",
        label=one_line(label or ""),
        speaker=speaker,
        start=min(times),
        end=max(times) if end is not None else max(last, *times),
        ending=ending,
        items=items,
        error=_error(end.value) if end is not None and end.kind == "error" else "",
    )


def _speaker(lane: Lane, role: str, around: Row | None, is_message: bool) -> str | None:
    if lane.name:
        return lane.name
    if not is_message:
        return around.speaker if around is not None else None
    name = str(lane.detail.get("name") or "")
    if name:
        return name
    inner = around.speaker if around is not None else None
    return role if role in _INPUT else inner or role or None


def _error(error: Any) -> str:
    if not isinstance(error, BaseException):
        return one_line(str(error))
    name = error.type if isinstance(error, RecordedError) else type(error).__name__
    return one_line(f"{name}: {words(error)}")


def _notes(rows: list[Row]) -> tuple[str, ...]:
    """One for each error, at the innermost row that has it: those around end with it too."""
    passed_on: set[int] = set()
    for index in range(len(rows) - 1, -1, -1):
        row = rows[index]
        if row.parent is not None and row.error and rows[row.parent].error == row.error:
            passed_on.add(row.parent)
    return tuple(
        f"✖ {_place(rows, row)}{row.error} (at {span_text(row.end)})"
        for index, row in enumerate(rows)
        if row.error and index not in passed_on
    )


def _place(rows: list[Row], row: Row) -> str:
    while not row.label and row.parent is not None:
        row = rows[row.parent]
    return f"{row.label}: " if row.label else ""
