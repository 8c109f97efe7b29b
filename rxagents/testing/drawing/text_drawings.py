"""Drawings for a terminal: lanes of box-drawing characters, as wide as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .glyphs import cells, clip, split_cells, wrap
from .layouts import Layout, Line, lay_out
from .pieces import Metrics, Piece
from .scenes import Ending, Scene

__all__ = ["text_drawing"]

_METRICS = Metrics(cell=1, pad=0, dot=1, gap=1, close=0, pause=8, cut=8, narrow=40, whole=True)

_NEAR = 8

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│─╯╮┤─╰╭├─┴┬┼"
_ENDS: dict[Ending, str] = {"completed": "|", "response": "✓", "interrupted": "✕", "error": "✖", "open": "⋯"}
_DOTS = {"value": "•", "message": "▪", "choice": "▸", "state": "◇", "result": "=", "bundle": "⊕"}
_FORMS = {"choice": "▸{}", "result": "={}", "message": "[{}]"}


def text_drawing(scene: Scene, width: int) -> str:
    """The scene in lines of at most `width` columns."""
    labels = [_indent(row.depth) + cells(row.label) + 2 for row in scene.rows if row.label]
    gutter = min(max(labels, default=0), width // 3)
    layout = lay_out(scene, _METRICS, width - gutter, label=lambda text: cells(text) + 2)
    canvas = _Canvas(width - gutter)
    heads: list[str] = []
    ys: list[int] = []
    for line in layout.lines:
        ys.append(len(heads))
        indent = min(_indent(line.row.depth), gutter // 2)
        heads.append(" " * indent + clip(line.row.label, max(gutter - indent - 1, 0)))
        heads.extend("" for _ in line.tracks[1:])
        if line.beside is not None and line.beside.where == "below":
            heads.append("")
    for line, y in zip(layout.lines, ys, strict=True):
        _draw_lane(canvas, line, y, ys, layout)
    for line, y in zip(layout.lines, ys, strict=True):
        _draw_pieces(canvas, line, y)
    lines = [*(" " * gutter + text for text in _axis(layout, width - gutter))]
    lines += [head + " " * (gutter - cells(head)) + canvas.line(y) for y, head in enumerate(heads)]
    lines += [""] * bool(scene.notes) + [text for note in scene.notes for text in wrap(note, width)]
    return "\n".join(line.rstrip() for line in lines)


def _indent(depth: int) -> int:
    return max(2 * (depth - 1), 0)


class _Canvas:
    """Cells with lines, and texts on top of them."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._arms: dict[tuple[int, int], int] = {}
        self._texts: dict[tuple[int, int], str] = {}
        self._passed: set[tuple[int, int]] = set()
        self._cut: set[int] = set()

    def arm(self, x: int, y: int, arms: int) -> None:
        self._arms[x, y] = self._arms.get((x, y), 0) | arms

    def across(self, start: int, end: int, y: int) -> None:
        for x in range(start, end):
            self.arm(x, y, _RIGHT)
            self.arm(x + 1, y, _LEFT)

    def down(self, x: int, start: int, end: int) -> None:
        self.arm(x, start, _DOWN)
        self.arm(x, end, _UP)
        first = start + 1 if end - start <= _NEAR else end - 2
        self._passed.update((x, y) for y in range(first, end))

    def cut(self, start: int, end: int) -> None:
        self._cut.update(range(start, end))

    def write(self, x: int, y: int, text: str) -> None:
        for offset, cell in enumerate(split_cells(text)):
            self._texts[x + offset, y] = cell

    def line(self, y: int) -> str:
        return "".join(self._cell(x, y) for x in range(self._width))

    def _cell(self, x: int, y: int) -> str:
        text = self._texts.get((x, y))
        if text is not None:
            return text
        arms = self._arms.get((x, y), 0)
        if (x, y) in self._passed and not arms & (_LEFT | _RIGHT):
            arms |= _UP | _DOWN
            if arms == _UP | _DOWN:
                return "┊"
        return "╌" if arms == _LEFT | _RIGHT and x in self._cut else _LINES[arms]


def _draw_lane(canvas: _Canvas, line: Line, y: int, ys: Sequence[int], layout: Layout) -> None:
    for silence in layout.breaks:
        canvas.cut(int(silence.start) + 1, int(silence.end))
    canvas.across(int(line.start), int(line.end) - (line.row.ending == "open"), y)
    if line.row.parent is not None:
        canvas.down(int(line.start), ys[line.row.parent], y)


def _draw_pieces(canvas: _Canvas, line: Line, y: int) -> None:
    if line.beside is not None:
        text = clip(line.beside.text, line.beside.room)
        place = int(line.beside.place) - (cells(text) if line.beside.where == "before" else 0)
        canvas.write(place, y + (len(line.tracks) if line.beside.where == "below" else 0), text)
    for below, track in enumerate(line.tracks):
        for piece in track:
            for x, text in _written(piece):
                canvas.write(x, y + below, text)
    canvas.write(int(line.end) - (line.row.ending == "open"), y, _ENDS[line.row.ending])


def _written(piece: Piece) -> Iterator[tuple[int, str]]:
    place = int(piece.place)
    if piece.kind == "call":
        yield place, _call(piece)
    elif piece.kind == "token" and not piece.shown:
        for tick in piece.ticks:
            yield int(tick), "•"
    elif piece.shown:
        yield place, _FORMS.get(piece.kind, "{}").format(piece.shown)
    else:
        yield place, _DOTS[piece.kind]


def _call(piece: Piece) -> str:
    """`[name ═══ answer]` in as many columns as the call took; without a result it stays open."""
    width = int(piece.width)
    if width < 4:
        return "═" * width
    close = "═" if piece.until is None else "]"
    name = clip(piece.shown, width - 2)
    left = width - 2 - cells(name)
    if left < 2:
        return f"[{name}{'═' * left}{close}"
    answer = clip(piece.answer, left - 4) if left > 5 else ""
    bar = left - 1 - (cells(answer) + 1 if answer else 0)
    return f"[{name} {'═' * bar}{' ' + answer if answer else ''}{close}"


def _axis(layout: Layout, width: int) -> tuple[str, str]:
    labels, ruler = [" "] * width, [" "] * width
    last = max(int(line.end) - (line.row.ending == "open") for line in layout.lines)
    for x in range(min(last + 1, width)):
        ruler[x] = "─"
    for silence in layout.breaks:
        start, end = int(silence.start) + 1, int(silence.end)
        text = f"╱ {silence.text} ╱"
        text = text if cells(text) <= end - start else text.replace(" ", "")
        text = text if cells(text) <= end - start else "╱╱"
        text = text[: end - start]
        at = start + (end - start - len(text)) // 2
        ruler[at : at + len(text)] = text
    for tick in layout.ticks:
        at = int(tick.place)
        ruler[at] = "┴"
        labels[at : at + len(tick.text)] = tick.text
    return "".join(labels)[:width], "".join(ruler)
