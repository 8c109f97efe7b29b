"""What a row says, written beside it: where there are too many marbles for the room, they are dots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .pieces import Metrics, Piece
from .scene_items import said
from .scenes import Row

__all__ = ["Beside", "bare", "beside_of"]

_ENOUGH = 0.6
_MORE = 1.3
_FEW = 24


@dataclass(frozen=True, slots=True)
class Beside:
    """What a row says, where there is room for it, because its marbles have none.

    Args:
        where: Behind the row, in front of it, or on a line of its own below.
        place: Where it begins; in front of the row, where it ends.
        room: How wide it may be.
        text: What it says.
    """

    where: Literal["behind", "before", "below"]
    place: float
    room: float
    text: str


def beside_of(
    row: Row, pieces: Sequence[Piece], start: float, end: float, metrics: Metrics, width: float
) -> Beside | None:
    """Where to write what a row says; None if its marbles say most of it."""
    text = said(row.items)
    shown = len(text) - sum(piece.hidden for piece in pieces)
    if shown >= _ENOUGH * len(text):
        return None
    named = {(piece.at, piece.shown) for piece in pieces if piece.width >= metrics.text(piece.shown)}
    text = said(
        row.items, [item for item in row.items if item.kind == "call" and (item.at, item.text) not in named]
    )
    wanted = metrics.text(text)
    behind, before = end + 2 * metrics.dot, start - 2 * metrics.gap
    way = Beside("behind", behind, width - behind, text)
    if way.room < min(before, wanted):
        way = Beside("before", before, before, text)
    if way.room < min(_FEW * metrics.cell, wanted):
        first = min((piece.place for piece in pieces if piece.hidden), default=start)
        place = max(min(first, width - wanted), 0.0)
        way = Beside("below", place, width - place, text)
    return way if min(way.room, wanted) > _MORE * shown * metrics.cell else None


def bare(piece: Piece, metrics: Metrics) -> Piece:
    """Without its text, which stands beside."""
    if piece.kind not in ("token", "message"):
        return piece
    last = piece.ticks[-1] if piece.ticks else piece.place
    return replace(piece, shown="", width=min(last + metrics.dot - piece.place, piece.width))
