"""Pieces: what is drawn on a row, each where it stands and as wide as its room allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .glyphs import cells, clip, one_line
from .scene_items import Item, ItemKind, said
from .time_maps import TimeMap

__all__ = ["EXACT", "Metrics", "Piece", "bundle", "call", "marble", "natural"]

EXACT = 1e-6
"""How far two places may differ and still be the same."""

PieceKind: TypeAlias = ItemKind | Literal["bundle"]

_ANSWER = 16
_EXTRA = {"choice": 2, "result": 1, "message": 2}
_TOLD = ("token", "message", "value", "result")


@dataclass(frozen=True, slots=True)
class Metrics:
    """The measures of a kind of picture, in its own unit (columns, or pixels).

    Args:
        cell: The width of a character.
        pad: The room beside a text, left and right together.
        dot: The width of what has no text.
        gap: The least distance.
        close: The least distance of the mark at the end of a row.
        pause: From how far on a silence between tokens is left open.
        cut: The width of a silence that was cut short.
        narrow: The least width of the time.
        whole: Whether there are only whole numbers.
    """

    cell: float
    pad: float
    dot: float
    gap: float
    close: float
    pause: float
    cut: float
    narrow: float
    whole: bool

    def text(self, text: str) -> float:
        """The width of a marble with that text."""
        return max(cells(text) * self.cell + self.pad, self.dot)

    def fits(self, width: float) -> int:
        """How many cells of text a marble of that width has."""
        return max(int((width - self.pad) / self.cell + EXACT), 0)


@dataclass(frozen=True, slots=True)
class Piece:
    """Something drawn.

    Args:
        place: Its left edge.
        width: Its width.
        kind: What it is.
        shown: Its text, as much as fits; none for a dot.
        title: All that is known of it.
        at: Its first second.
        until: Its last; None for a call without a result.
        answer: Of a call.
        ticks: Where each of its tokens stands.
        hidden: How many characters of what was said are not shown.
        count: How many items it stands for.
        chosen: Of a choice, who.
    """

    place: float
    width: float
    kind: PieceKind
    shown: str
    title: str
    at: float
    until: float | None
    answer: str = ""
    ticks: tuple[float, ...] = ()
    hidden: int = 0
    count: int = 1
    chosen: str = ""


def natural(item: Item, metrics: Metrics) -> float:
    """How wide an item would like to be."""
    if item.kind in ("join", "state"):
        return metrics.dot
    if item.kind == "call":
        answer = cells(clip(item.answer, _ANSWER))
        return metrics.text(item.text) + (answer + 6) * metrics.cell
    return metrics.text(one_line(item.text)) + _EXTRA.get(item.kind, 0) * metrics.cell


def call(item: Item, place: float, room: float, times: TimeMap, metrics: Metrics) -> Piece:
    """A tool call, from its place to its result; one that took no time is as wide as it likes to be."""
    start = times.of_moment(item.at)
    until = math.inf if item.until is None else times.of_moment(item.until)
    width = natural(item, metrics) if until <= start else max(until - place, metrics.dot)
    return Piece(
        place, min(width, room), "call", item.text, item.title, item.at, item.until, answer=item.answer
    )


def bundle(items: Sequence[Item], place: float, metrics: Metrics) -> Piece:
    """One mark for all that there is no room for."""
    title = "\n".join(item.title for item in items)
    first, last = items[0].at, items[-1].at
    hidden = len(said(items))
    return Piece(place, metrics.dot, "bundle", "", title, first, last, hidden=hidden, count=len(items))


def marble(group: Sequence[Item], place: float, room: float, times: TimeMap, metrics: Metrics) -> Piece:
    """One item, or tokens that follow one another, with as much of the text as fits."""
    item = group[0]
    if item.kind == "call":
        return call(item, place, room, times, metrics)
    text = one_line("".join(one.text for one in group))
    extra = _EXTRA.get(item.kind, 0) * metrics.cell
    shown = "" if item.kind == "state" else clip(text, metrics.fits(room - extra))
    width = metrics.text(shown) + extra if shown else metrics.dot
    ticks: tuple[float, ...] = ()
    if item.kind == "token":
        ticks = tuple(sorted({max(times.of_moment(one.at), place) for one in group}))
        width = min(max(width, ticks[-1] + metrics.dot - place), room)
    return Piece(
        place,
        width,
        item.kind,
        shown,
        "".join(one.title for one in group),
        item.at,
        group[-1].at,
        ticks=ticks,
        hidden=len(text) - len(shown.removesuffix("…")) if item.kind in _TOLD and shown != text else 0,
        count=len(group),
        chosen=item.text if item.kind == "choice" else "",
    )
