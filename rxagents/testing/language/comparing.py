"""Compares what was expected with what came: values, lanes, and the lanes within."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...places import words
from ..lanes import Called, Event, Lane, moment
from .rows import Label, Row, labels_of, rows_of
from .wordings import brief, contrast, is_drawn, said, seconds

__all__ = ["Difference", "difference", "same"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came other than expected.

    Args:
        path: The labels of the lanes within which it lies, from the outside in, as `picture` writes
            them; none for the outermost lane.
        at: The second at which it shows.
        text: What was expected, and what came.
        index: Which event of its lane it is, from 0.
        row: Which lane of the picture it is, from 0.
    """

    path: tuple[str, ...]
    at: float
    text: str
    index: int
    row: int = field(default=0, repr=False)


def same(expected: object, actual: object) -> bool:
    """Whether a value is the expected one: equal to it, where a matcher decides for itself what it equals.

    An error is the expected one if it is of the same type and says the same; of an expected class, any
    that is of it. A Called without arguments is any call of that tool.
    """
    if expected is actual:
        return True
    if isinstance(expected, Called) and isinstance(actual, Called):
        return expected.name == actual.name and (
            expected.arguments is None or same(expected.arguments, actual.arguments)
        )
    if isinstance(actual, BaseException):
        if isinstance(expected, BaseException):
            return type(expected) is type(actual) and words(expected) == words(actual)
        if isinstance(expected, type) and issubclass(expected, BaseException):
            return isinstance(actual, expected)
    try:
        return bool(expected == actual)
    except Exception:
        return False  # such as of arrays, whose comparison is an array


def difference(expected: Lane, actual: Lane) -> Difference | None:
    """The first difference in the order of time, over the lanes and all that are within; None if none.

    What is compared is the structure: of each lane its events in order, by time, kind and value; lanes
    that begin by what is on them, and by the name of what came, if that has one. Of differences at one
    instant it is the innermost, which the others mostly follow from.
    """
    rows = rows_of(expected, actual)
    found: list[tuple[float, int, int, int]] = []
    depths = {0: 0}
    for number, row in enumerate(rows):
        if number not in depths:
            continue
        index = _first(row)
        if index is not None:
            found.append(
                (min(event.at for event in _pair(row, index) if event), -depths[number], number, index)
            )
        equal = len(row.children[0]) if index is None else _opened(row, index)
        depths.update((child, depths[number] + 1) for child in row.children[0][:equal])
    if not found:
        return None
    at, _, number, index = min(found)
    labels = labels_of(rows)
    path: list[str] = []
    step: int | None = number
    while step:
        path.insert(0, max(label.word for label in labels[step]))
        step = rows[step].parent
    text = _text(*_pair(rows[number], index), _labels_at(rows[number], index, labels))
    return Difference(tuple(path), moment(at), text, index, number)


def _labels_at(row: Row, index: int, labels: list[tuple[Label, ...]]) -> tuple[str, str]:
    """What the lanes are called that begin with this event, if any do."""
    called = ["", ""]
    for side, event in enumerate(_pair(row, index)):
        if event is not None and event.kind == "open":
            child = row.children[side][_opened(row, index, side)]
            called[side] = labels[child][side].word
    return called[0], called[1]


def _pair(row: Row, index: int) -> tuple[Event | None, Event | None]:
    expected, actual = (lane.events[index : index + 1] if lane else () for lane in row.lanes)
    return expected[0] if expected else None, actual[0] if actual else None


def _first(row: Row) -> int | None:
    """The index of the first event that differs on the lane itself."""
    for index in range(max(len(lane.events) if lane else 0 for lane in row.lanes)):
        expected, actual = _pair(row, index)
        if expected is None or actual is None or not _alike(expected, actual):
            return index
    return None


def _alike(expected: Event, actual: Event) -> bool:
    if moment(expected.at) != moment(actual.at):
        return False
    if expected.kind == "next" and actual.kind == "open":
        return same(expected.value, actual.value)  # only a matcher can be
    if expected.kind == "next" and hasattr(actual.value, "item"):
        return same(expected.value, actual.value.item)  # a bound message, and not only its text
    if expected.kind != actual.kind:
        return False
    if expected.kind == "message" and hasattr(expected.value, "item") and hasattr(actual.value, "item"):
        return same(expected.value.item, actual.value.item)
    return _named(expected, actual) if expected.kind == "open" else same(expected.value, actual.value)


def _named(expected: Event, actual: Event) -> bool:
    return actual.value.name in ("", expected.value.name)


def _opened(row: Row, index: int, side: int = 0) -> int:
    """How many lanes begin on this one before that event."""
    lane = row.lanes[side]
    return sum(event.kind == "open" for event in lane.events[:index]) if lane else 0


def _text(expected: Event | None, actual: Event | None, labels: tuple[str, str]) -> str:
    if expected is None:
        assert actual is not None
        return (
            f"{brief(said(actual, labels[1]))} came at {seconds(actual.at)}, where nothing more was expected"
        )
    when = f"at {seconds(expected.at)}"
    if actual is None:
        return f"expected {brief(said(expected, labels[0]))} {when}, but nothing more came"
    wanted, came = contrast(said(expected, labels[0]), said(actual, labels[1]))
    late = "" if moment(expected.at) == moment(actual.at) else f" at {seconds(actual.at)}"
    if late and _same_but_late(expected, actual):
        return f"expected {wanted} {when}, but it came{late}"
    if wanted == came:
        wanted, came = f"{wanted} ({_type(expected)})", f"{came} ({_type(actual)})"
    hint = "; bind yours with error=" if actual.kind == "error" and _is_drawn(expected) else ""
    return f"expected {wanted} {when}, but {came} came{late}{hint}"


def _same_but_late(expected: Event, actual: Event) -> bool:
    return _alike(expected, replace(actual, at=expected.at))


def _is_drawn(expected: Event) -> bool:
    return expected.kind == "error" and is_drawn(expected.value)


def _type(event: Event) -> str:
    return type(event.value).__name__
