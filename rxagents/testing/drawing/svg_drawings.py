"""Drawings as SVG: one file that needs nothing else, in the colours that the reader's system prefers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from xml.sax.saxutils import escape

from .glyphs import cells, clip, wrap
from .layouts import Line, lay_out
from .scenes import Scene
from .svg_marks import METRICS, end_mark, number, piece_mark, text_mark
from .svg_sheets import INDENT, MARGIN, TRACK, Sheet, background, sheet_of
from .svg_styles import STYLE
from .time_axes import span_text

__all__ = ["svg_drawing"]

_WIDE = 940.0
_NOTE = 18.0
_DESCRIBED = 100
_UNNAMED = {"block": "block", "message": "message", "plain": "lane"}
_ENDINGS = {
    "completed": "ended",
    "response": "finished",
    "interrupted": "interrupted",
    "error": "failed",
    "open": "has not ended",
}


def svg_drawing(scene: Scene) -> str:
    """The scene as an SVG document."""
    sheet = sheet_of(lay_out(scene, METRICS, _WIDE, label=lambda text: cells(text) * 6.2 + 20))
    width = sheet.left + sheet.layout.width + MARGIN
    notes = list(_notes(sheet, int((width - 2 * MARGIN) // METRICS.cell)))
    height = sheet.bottom + (_NOTE * len(notes) + 12 if notes else 0.0) + MARGIN
    size = f'width="{number(width)}" height="{number(height)}"'
    frame = f'width="{number(width - 1)}" height="{number(height - 1)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="rx" role="img" {size} '
            f'viewBox="0 0 {number(width)} {number(height)}">',
            f"<title>{escape(_title(scene))}</title>",
            f"<desc>{escape(_description(scene))}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="page rim" x="0.5" y="0.5" {frame} rx="10"/>',
            *background(sheet),
            *_marks(sheet),
            *_labels(sheet),
            *notes,
            "</svg>",
        ]
    )


def _title(scene: Scene) -> str:
    kinds = [row.kind for row in scene.rows]
    counts = [(kind, kinds.count(kind)) for kind in ("block", "message")]
    parts = [f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts if count]
    return f"A run of {' and '.join(parts) or 'one lane'}, {span_text(scene.end)}"


def _description(scene: Scene) -> str:
    lines = ["Time runs to the right. The lanes:"]
    for row in scene.rows[:_DESCRIBED]:
        name = f"{'  ' * min(row.depth, 10)}{row.label or _UNNAMED[row.kind]}"
        lines.append(f"{name}, {span_text(row.start)} – {span_text(row.end)}, {_ENDINGS[row.ending]}")
    if len(scene.rows) > _DESCRIBED:
        lines.append(f"and {len(scene.rows) - _DESCRIBED} more")
    return "\n".join(lines)


def _marks(sheet: Sheet) -> Iterator[str]:
    for line, y in zip(sheet.layout.lines, sheet.heights, strict=True):
        hue = sheet.hue(line.row.speaker)
        if line.beside is not None:
            yield _beside(sheet, line, y)
        for below, track in enumerate(line.tracks):
            for piece in track:
                placed = replace(
                    piece, place=sheet.x(piece.place), ticks=tuple(sheet.x(tick) for tick in piece.ticks)
                )
                yield piece_mark(placed, y + below * TRACK, sheet.hue(piece.chosen) or hue)
        if line.row.ending != "open":
            title = f"{_ENDINGS[line.row.ending]} at {span_text(line.row.end)}"
            title += f"\n{line.row.error}" if line.row.error else ""
            yield end_mark(line.row.ending, sheet.x(line.end), y, title, hue)


def _beside(sheet: Sheet, line: Line, y: float) -> str:
    beside = line.beside
    assert beside is not None
    if beside.where == "below":
        y += len(line.tracks) * TRACK - 5
    text = clip(beside.text, beside.room // METRICS.cell)
    return text_mark(sheet.x(beside.place), y + 4, text, "muted halo" + " end" * (beside.where == "before"))


def _labels(sheet: Sheet) -> Iterator[str]:
    for row, y in zip(sheet.scene.rows, sheet.heights, strict=True):
        if row.label:
            x = MARGIN + min(INDENT * max(row.depth - 1, 0), sheet.left / 2)
            room = int((sheet.left - x - 22) // METRICS.cell)
            dot = f'<circle class="solid" cx="{number(x + 4)}" cy="{number(y)}" r="4"/>'
            kinds = "label ink block" if row.kind == "block" else "label muted"
            text = text_mark(x + 14, y + 4, clip(row.label, room), kinds)
            yield f'<g class="{sheet.hue(row.speaker)}"><title>{escape(row.label)}</title>{dot}{text}</g>'


def _notes(sheet: Sheet, width: int) -> Iterator[str]:
    y = sheet.bottom + 22
    for note in sheet.scene.notes:
        for text in wrap(note, width):
            yield text_mark(MARGIN, y, text, "bad")
            y += _NOTE
