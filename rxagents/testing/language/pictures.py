"""A failure as a picture: what was expected and what came, one above the other on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..lanes import Lane
from .cells import Cell, Speller, cells_of
from .comparing import Difference, difference
from .marble_columns import Columns
from .marks import decimal, frame_of
from .rows import Label, Row, labels_of, rows_of
from .stretched_columns import stretched_columns
from .wordings import brief, shown

__all__ = ["picture"]

_SIDES = ("expected", "actual")
_LONG = 40
_LETTERS = "xyzuvwabcdfghijklmnopqrst"
_WIDE = 120
_MANY = 12
_NEAR = 2


def picture(expected: Lane, actual: Lane, *, frame: float = 1.0, names: Mapping[str, Any] = {}) -> str:
    """Draws two lanes, and all within them, in pairs, and points at the first difference.

    ```
    expected  --Well-let|
    actual    --Well-lit|
                     ^ expected 'let' at 7 s, but 'lit' came
    ```

    Values that cannot be drawn are bound to names, which are listed below. Where a word is longer than
    the time until the next one, all lanes have spaces, which are no time; what happens between two
    columns asks for a shorter frame. If a column is not one second, that is said. Where there are many
    lanes, or long ones, what is far from the difference is left out.

    Args:
        expected: What was drawn.
        actual: What came.
        frame: The seconds of a column, if all can be shown so; else it is less.
        names: What the test has bound: such a value is drawn by its name.

    Raises:
        ConfigurationError: The frame is no positive number.
    """
    rows = rows_of(expected, actual)
    labels = labels_of(rows)
    speller = _speller(rows, labels, names)
    sides = [side for number, row in enumerate(rows) for side in _drawn(number, row, labels, speller)]
    laid = stretched_columns([side.cells for side in sides], frame_of(frame))
    found = difference(expected, actual)
    kept = _kept(rows, found)
    lines = _lines(rows, sides, laid, found, kept)
    used = set().union(*(side.names for side in sides if side.row in kept))
    lines += _bound({name: value for name, value in speller.values.items() if name in used})
    if laid.frame != 1:
        lines.append(f"1 column = {decimal(laid.frame)} s")
    return "\n".join(lines)


class _Side(NamedTuple):
    row: int
    side: int
    head: str
    lane: Lane
    cells: list[Cell]
    names: set[str]


def _speller(rows: Sequence[Row], labels: Sequence[tuple[Label, ...]], names: Mapping[str, Any]) -> Speller:
    words = {label.word for pair in labels for label in pair if label.word}
    tokens = {
        event.value
        for row in rows
        for lane in row.lanes
        if lane
        for event in lane.events
        if event.kind == "next" and type(event.value) is str
    }
    letters = "".join(letter for letter in _LETTERS if letter not in tokens and letter not in names)
    return Speller(words, letters=letters, alike=True, names=names)


def _drawn(number: int, row: Row, labels: Sequence[tuple[Label, ...]], speller: Speller) -> Iterator[_Side]:
    """The lanes of a row. Where each event is a single character, they are drawn side by side as in RxJS."""
    texts = [
        speller.texts(lane or Lane(), [labels[child][side] for child in row.children[side]])
        for side, lane in enumerate(row.lanes)
    ]
    parted = any(len(text) > 1 and text[0] != "#" for of in texts for text in of)
    for side, lane in enumerate(row.lanes):
        if lane is not None:
            cells = cells_of(lane, [brief(text, _LONG) for text in texts[side]], parted=parted)
            names = {text.removeprefix("#") for text in texts[side]}
            yield _Side(number, side, labels[number][side].head, lane, cells, names)


def _lines(
    rows: Sequence[Row], sides: Sequence[_Side], laid: Columns, found: Difference | None, kept: set[int]
) -> list[str]:
    place = _place(sides, laid, found) if found is not None else 0
    start = max(0, place - _WIDE * 2 // 3) if len(laid.axis) > _WIDE else 0
    width = max(len(side.head) for side in sides if side.row in kept)
    lines: list[str] = []
    left_out = 0
    for number in range(len(rows)):
        if number not in kept:
            left_out += 1
            continue
        lines += _left_out(left_out)
        left_out = 0
        for side in (side for side in sides if side.row == number):
            margin = f"{_SIDES[side.side]:<8}  " + (f"{side.head:<{width}}  " if width else "")
            lines.append(margin + _window(laid.draw(side.cells, side.lane.end is not None), start))
        if found is not None and found.row == number:
            lines.append(" " * (len(margin) + place - start) + f"^ {found.text}")
    return lines + _left_out(left_out)


def _kept(rows: Sequence[Row], found: Difference | None) -> set[int]:
    """All lanes if they are few; else those around the difference, and those that it lies within."""
    if len(rows) <= _MANY:
        return set(range(len(rows)))
    center = found.row if found is not None else 0
    kept = set(range(max(0, center - _NEAR), min(len(rows), center + _NEAR + 1)))
    step: int | None = center
    while step is not None:
        kept.add(step)
        step = rows[step].parent
    return kept


def _left_out(count: int) -> list[str]:
    return [f"          … {count} more {'lane' if count == 1 else 'lanes'}"] if count else []


def _place(sides: Sequence[_Side], laid: Columns, found: Difference) -> int:
    """Where the difference is to be pointed at: at what comes first, what was expected or what came."""
    cells = [
        next((cell.at, laid.places[cell.at] + offset) for cell, offset in offsets[found.index :])
        for offsets in (
            [(cell, offset) for cell in side.cells for offset in cell.offsets]
            for side in sides
            if side.row == found.row
        )
        if found.index < len(offsets)
    ]
    return min(cells, key=lambda cell: cell[0])[1]


def _window(text: str, start: int) -> str:
    window = text[start : start + _WIDE]
    if start:
        window = "…" + window[1:]
    return window[:-1] + "…" if len(text) > start + _WIDE else window


def _bound(values: Mapping[str, Any]) -> list[str]:
    lines = [f"{name} = {brief(shown(value))}{_raised_at(value)}" for name, value in values.items()]
    if len(lines) > _MANY:
        lines[_MANY:] = [f"… and {len(lines) - _MANY} more"]
    return [f"{'      ' if index else 'where '}{line}" for index, line in enumerate(lines)]


def _raised_at(value: object) -> str:
    """Where an error was raised, if not by rxagents or RxPY: in the test, or in what it calls."""
    place = ""
    trace = value.__traceback__ if isinstance(value, BaseException) else None
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in ("rxagents", "reactivex"):
            place = f", raised at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
