"""Layouts: where everything of a scene stands, for any kind of picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .pieces import Metrics, Piece, call, natural
from .scene_items import Item
from .scenes import Row, Scene
from .side_texts import Beside, bare, beside_of
from .slots import fill, unhurried
from .time_axes import Tick, span_text, ticks_of
from .time_maps import Demand, TimeMap, moments_of, time_map

__all__ = ["Break", "Layout", "Line", "lay_out"]


@dataclass(frozen=True, slots=True)
class Line:
    """A row with places.

    Args:
        row: What it shows.
        start: Where it begins.
        end: Where the mark of its end stands, left edge; without an end, a little behind the last moment.
        tracks: The pieces on the row itself, then those of each track below it.
        beside: Where to write what it says; None if its marbles say it.
    """

    row: Row
    start: float
    end: float
    tracks: tuple[tuple[Piece, ...], ...]
    beside: Beside | None


@dataclass(frozen=True, slots=True)
class Break:
    """A silence that was cut short."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A scene with places. All are from 0 to `width`; the last moment is at `last`."""

    scene: Scene
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    breaks: tuple[Break, ...]
    last: float
    width: float


def lay_out(scene: Scene, metrics: Metrics, wide: float, *, label: Callable[[str], float]) -> Layout:
    """Gives everything its place.

    Args:
        scene: What to draw.
        metrics: The measures of the picture.
        wide: The most that the time may take.
        label: How wide the label of a tick is, with the distance to the next.
    """
    moments = moments_of(
        at
        for row in scene.rows
        for at in (
            0.0,
            row.start,
            row.end,
            *(at for item in row.items for at in (item.at, item.until or item.at)),
        )
    )
    last = max(unhurried([item for item in row.items if item.at == row.end], metrics) for row in scene.rows)
    tail = min(last, wide / 4) + 2 * (metrics.dot + metrics.gap) + metrics.dot
    bare = TimeMap(moments, tuple(map(float, range(len(moments)))), ())
    demands = [demand for row in scene.rows for demand in _demands(row, bare, metrics)]
    times = time_map(
        moments,
        demands,
        narrow=min(metrics.narrow, wide - tail),
        wide=wide - tail,
        cut=metrics.cut,
        whole=metrics.whole,
    )
    end = times.places[-1] + tail
    width = wide if metrics.whole else end
    lines = tuple(_line(row, times, metrics, end, width) for row in scene.rows)
    breaks = tuple(
        Break(times.places[index], times.places[index + 1], span_text(moments[index + 1] - moments[index]))
        for index in times.breaks
    )
    return Layout(scene, lines, ticks_of(times, label, width), breaks, times.places[-1], width)


def _items(row: Row, times: TimeMap) -> list[Item]:
    """What stands on a row: in each moment first where it is joined to others."""
    first = () if row.parent is None else (Item(row.start, "join"),)
    return sorted((*first, *row.items), key=lambda item: (times.index(item.at), item.kind != "join"))


def _demands(row: Row, moments: TimeMap, metrics: Metrics) -> list[Demand]:
    """The room that a row wants: each moment for what happens in it, each call for its name."""
    found: list[Demand] = []
    current = moments.index(row.start)
    room = 0.0
    weight = 1.0
    for item in _items(row, moments):
        index = moments.index(item.at)
        if item.kind == "call" and item.until is not None and (stop := moments.index(item.until)) > index:
            found.append(Demand(index, stop, natural(item, metrics), 4.0))
        if item.aside:
            continue
        if index > current:
            found.append(Demand(current, index, room, weight))
            current, room, weight = index, 0.0, 1.0
        timed = item.kind == "call" and item.until is not None and moments.index(item.until) > index
        room += (metrics.dot if timed else natural(item, metrics)) + metrics.gap
        weight = weight if item.kind == "token" else 4.0
    end = moments.index(row.end)
    if end > current:
        found.append(Demand(current, end, room, weight))
    return [demand for demand in found if demand.room]


def _line(row: Row, times: TimeMap, metrics: Metrics, last: float, width: float) -> Line:
    start = times.of_moment(row.start)
    end = last if row.ending == "open" else times.of_moment(row.end)
    main = fill([item for item in _items(row, times) if not item.aside], times, metrics, end, last)
    if row.ending != "open":
        end = max(end, start + metrics.dot if row.parent is not None else start)
        end = max(end, main[-1].place + main[-1].width + metrics.close) if main else end
    tracks = [main, *_stacked([item for item in row.items if item.aside], times, metrics, last)]
    beside = beside_of(row, [piece for track in tracks for piece in track], start, end, metrics, width)
    if beside is not None:
        tracks[0] = [bare(piece, metrics) for piece in main]
    return Line(row, start, end, tuple(map(tuple, tracks)), beside)


def _stacked(items: Sequence[Item], times: TimeMap, metrics: Metrics, last: float) -> list[list[Piece]]:
    """Calls that run beside something else: each on the first track that is free."""
    tracks: list[list[Piece]] = []
    for item in items:
        place = times.of_moment(item.at)
        piece = call(item, place, last - place, times, metrics)
        for track in tracks:
            if track[-1].place + track[-1].width + metrics.gap <= place:
                track.append(piece)
                break
        else:
            tracks.append([piece])
    return tracks
