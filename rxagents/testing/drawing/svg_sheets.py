"""The paper of an SVG drawing: where its rows lie, and what is drawn behind the marbles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .glyphs import cells
from .layouts import Layout, Line
from .scenes import Scene
from .svg_marks import METRICS, number, text_mark
from .svg_styles import HUES

__all__ = ["INDENT", "MARGIN", "TRACK", "Sheet", "background", "sheet_of"]

MARGIN = 16.0
INDENT = 14.0

_AXIS = 34.0
_TOP = 46.0
TRACK = 27.0
_BELOW = 20.0
_HEIGHTS = {"block": 30.0, "message": 34.0, "plain": 26.0}
_WIDEST_LABEL = 190.0
_BEND = 9.0
_PAD = 4.0
_NEAR = 50.0
_FAR = 300.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A layout on paper.

    Args:
        layout: What is drawn.
        left: Where the time begins, in pixels.
        heights: The middle of each row.
        bottoms: Where each row ends, with all that began on it.
        rights: How far each row reaches, with all that began on it.
        hues: The class of each speaker's colours.
    """

    layout: Layout
    left: float
    heights: tuple[float, ...]
    bottoms: tuple[float, ...]
    rights: tuple[float, ...]
    hues: dict[str, str]

    @property
    def scene(self) -> Scene:
        return self.layout.scene

    @property
    def bottom(self) -> float:
        return self.bottoms[0]

    def x(self, place: float) -> float:
        return self.left + place

    def hue(self, speaker: str | None) -> str:
        return "" if speaker is None else self.hues.get(speaker, "")


def sheet_of(layout: Layout) -> Sheet:
    """Gives each row its height."""
    rows = layout.scene.rows
    labels = [INDENT * max(row.depth - 1, 0) + cells(row.label) * METRICS.cell for row in rows if row.label]
    left = MARGIN + (min(max(labels), _WIDEST_LABEL) + 26 if labels else 0.0)
    heights: list[float] = []
    bottoms: list[float] = []
    y = _TOP
    for line in layout.lines:
        height = _HEIGHTS[line.row.kind]
        y += _PAD if line.row.kind == "block" else 0.0
        heights.append(y + height / 2)
        y += height + TRACK * (len(line.tracks) - 1)
        y += _BELOW if line.beside is not None and line.beside.where == "below" else 0.0
        bottoms.append(y)
    signs = ("response", "interrupted", "error")
    rights = [left + line.end + METRICS.dot * (line.row.ending in signs) for line in layout.lines]
    for index in range(len(rows) - 1, -1, -1):
        row = rows[index]
        if row.kind == "block":
            bottoms[index] += _PAD
            rights[index] += _PAD
        if row.parent is not None:
            bottoms[row.parent] = max(bottoms[row.parent], bottoms[index])
            rights[row.parent] = max(rights[row.parent], rights[index])
    hues = {speaker: f"h{index % HUES}" for index, speaker in enumerate(layout.scene.speakers)}
    return Sheet(layout, left, tuple(heights), tuple(bottoms), tuple(rights), hues)


def background(sheet: Sheet) -> Iterator[str]:
    """The axis, the silences, the extent of each block, the lanes, and how they are joined."""
    yield from _axis(sheet)
    yield from _frames(sheet)
    yield from _joins(sheet)
    for line, y in zip(sheet.layout.lines, sheet.heights, strict=True):
        yield _lane(sheet, line, y)


def _axis(sheet: Sheet) -> Iterator[str]:
    layout = sheet.layout
    strokes = [f"M{number(sheet.left)} {number(_AXIS)}H{number(sheet.x(layout.width))}"]
    for tick in layout.ticks:
        x = number(sheet.x(tick.place))
        yield f'<path class="grid" d="M{x} {number(_AXIS)}V{number(sheet.bottom)}"/>'
        yield text_mark(sheet.x(tick.place), _AXIS - 8, tick.text, "tick muted")
        strokes.append(f"M{x} {number(_AXIS - 4)}v4")
    for silence in layout.breaks:
        start, end = sheet.x(silence.start), sheet.x(silence.end)
        inset = min(5.0, (end - start) / 4)
        box = f'x="{number(start + inset)}" width="{number(end - start - 2 * inset)}"'
        box += f' y="{number(_AXIS)}" height="{number(sheet.bottom - _AXIS)}"'
        yield f'<g><title>{escape(silence.text)}, cut short</title><rect class="cut" {box}/></g>'
        middle = (start + end) / 2
        if end - start > 6.2 * cells(silence.text):
            yield text_mark(middle, _AXIS + 15, silence.text, "tick muted mid")
        strokes += [f"M{number(middle + side)} {number(_AXIS + 4)}l4 -8" for side in (-4.0, 0.0)]
    yield f'<path class="axis" d="{"".join(strokes)}"/>'


def _frames(sheet: Sheet) -> Iterator[str]:
    for index, line in enumerate(sheet.layout.lines):
        if line.row.kind == "block":
            x, y = sheet.x(line.start), sheet.heights[index] - _HEIGHTS["block"] / 2 + 3
            size = f'width="{number(sheet.rights[index] - x)}" height="{number(sheet.bottoms[index] - y)}"'
            box = f'<rect class="tint edge frame" x="{number(x)}" y="{number(y)}" {size} rx="6"/>'
            yield f'<g class="{sheet.hue(line.row.speaker)}">{box}</g>'


def _joins(sheet: Sheet) -> Iterator[str]:
    """From each lane to those that began on it, and to the calls that run beside it."""
    for line, y in zip(sheet.layout.lines, sheet.heights, strict=True):
        x = sheet.x(line.start)
        parts: list[str] = []
        strokes = ""
        if line.row.parent is not None:
            above = sheet.heights[line.row.parent]
            near = y - _NEAR if y - above > _FAR else above
            if near > above:
                parts.append(f'<path class="line lane far" d="M{number(x)} {number(above)}V{number(near)}"/>')
            strokes = f"M{number(x)} {number(near)}V{number(y - _BEND)}q0 {_BEND:g} {_BEND:g} {_BEND:g}"
            parts.append(f'<circle class="solid" cx="{number(x)}" cy="{number(above)}" r="3"/>')
        for below, track in enumerate(line.tracks[1:], 1):
            for piece in track:
                start = number(sheet.x(piece.place) - 3)
                strokes += f"M{start} {number(y)}v{number(below * TRACK - 6)}q0 6 6 6"
        if strokes:
            parts.append(f'<path class="line lane" d="{strokes}"/>')
            yield f'<g class="{sheet.hue(line.row.speaker)}">{"".join(parts)}</g>'


def _lane(sheet: Sheet, line: Line, y: float) -> str:
    bend = _BEND if line.row.parent is not None else 0.0
    kinds = "line lane" + (" thick" if line.row.kind == "block" else "")
    start, end = sheet.x(line.start + bend), sheet.x(line.end)
    known = end if line.row.ending != "open" else max(sheet.x(sheet.layout.last), start)
    paths = f'<path class="{kinds}" d="M{number(start)} {number(y)}H{number(max(known, start))}"/>'
    if known < end:
        paths += f'<path class="{kinds} open" d="M{number(known)} {number(y)}H{number(end)}"/>'
    return f'<g class="{sheet.hue(line.row.speaker)}">{paths}</g>'
