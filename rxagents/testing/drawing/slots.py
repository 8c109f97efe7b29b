"""Slots: how the pieces of a row share its room, so that no two cover each other.

A slot is as wide as a marble at the least. What belongs to it has all its text if that fits, else less,
else none; else there is one bundle for all of it. Slots of nothing but tokens run together until their
text fits, or somebody pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .glyphs import cells, one_line
from .pieces import EXACT, Metrics, Piece, bundle, marble, natural
from .scene_items import Item
from .time_maps import TimeMap

__all__ = ["fill", "unhurried"]


@dataclass(slots=True)
class _Slot:
    place: float
    items: list[Item] = field(default_factory=list)
    free: float = 0.0

    @property
    def is_talk(self) -> bool:
        kinds = [item.kind for item in self.items]
        return kinds[-1] == "token" and set(kinds[kinds.count("join") :]) == {"token"}

    @property
    def is_bare(self) -> bool:
        return all(item.kind == "join" for item in self.items)


def fill(items: Sequence[Item], times: TimeMap, metrics: Metrics, end: float, right: float) -> list[Piece]:
    """The pieces of a row, none in front of another's end.

    Args:
        items: What is on it, in order.
        times: What stands where.
        metrics: Of the picture.
        end: Where the row ends. A piece may reach beyond if there is no room at all, and whom a router
            chose in the last moment is named all the same; the mark of the end then stands behind it.
        right: How far a piece may reach then.
    """
    slots = _slots(items, times, metrics)
    pieces: list[Piece] = []
    index = 0
    while index < len(slots):
        slot = slots[index]
        stop = _talk(slots, index, end, metrics) if slot.is_talk else index + 1
        after = slots[stop].place if stop < len(slots) else end
        room = max(after - metrics.gap - slot.free, metrics.dot)
        spoken = [item for one in slots[index:stop] for item in one.items if item.kind != "join"]
        if stop == len(slots) and end < slot.free + metrics.dot + metrics.gap:
            room = max(room, min(unhurried(spoken, metrics), right - metrics.close - metrics.dot - slot.free))
        if spoken:
            pieces.extend(_share(spoken, slot.free, room, times, metrics))
        index = stop
    return pieces


def unhurried(items: Sequence[Item], metrics: Metrics) -> float:
    """The room for what comes with the end of a row: choices with their names, the rest as dots."""
    if all(item.kind != "choice" for item in items):
        return 0.0
    widths = [natural(item, metrics) if item.kind == "choice" else metrics.dot for item in items]
    return sum(widths) + metrics.gap * (len(widths) - 1)


def _slots(items: Sequence[Item], times: TimeMap, metrics: Metrics) -> list[_Slot]:
    slots: list[_Slot] = []
    for item in items:
        place = times.of_moment(item.at)
        slot = slots[-1] if slots else None
        if slot is None or place >= slot.free + (0.0 if slot.is_bare else metrics.dot + metrics.gap) - EXACT:
            slot = _Slot(place, free=place)
            slots.append(slot)
        slot.items.append(item)
        if slot.is_bare:
            slot.free = place + metrics.dot  # a join stands where it stands, and the rest behind it
    return slots


def _talk(slots: Sequence[_Slot], first: int, end: float, metrics: Metrics) -> int:
    """The slot behind those whose tokens share one marble."""
    stop = first
    text = ""
    least = 0
    while True:
        added = "".join(item.text for item in slots[stop].items if item.kind == "token")
        text += added
        least += cells("".join(added.split()))  # quickly told: what surely has no room
        stop += 1
        after = slots[stop].place if stop < len(slots) else end
        room = after - metrics.gap - slots[first].free + EXACT
        if least * metrics.cell <= room and metrics.text(one_line(text)) <= room:
            return stop
        if stop == len(slots) or not slots[stop].is_talk or slots[stop].items[0].kind == "join":
            return stop
        if after - slots[stop - 1].place >= metrics.pause:
            return stop


def _share(items: Sequence[Item], place: float, room: float, times: TimeMap, metrics: Metrics) -> list[Piece]:
    groups: list[list[Item]] = []
    for item in items:
        if groups and item.kind == "token" and groups[-1][0].kind == "token":
            groups[-1].append(item)
        else:
            groups.append([item])
    spare = room - len(groups) * (metrics.dot + metrics.gap) + metrics.gap
    if spare < -EXACT:
        return [bundle(items, place, metrics)]
    pieces: list[Piece] = []
    for group in groups:
        piece = marble(group, place, metrics.dot + spare, times, metrics)
        pieces.append(piece)
        spare -= piece.width - metrics.dot
        place += piece.width + metrics.gap
    return pieces
