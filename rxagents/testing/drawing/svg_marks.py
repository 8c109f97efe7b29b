"""The marks of an SVG drawing: marbles, calls, states and ends, each with its whole story on hover."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

from .glyphs import cells, clip, visible
from .pieces import Metrics, Piece
from .scenes import Ending
from .time_axes import span_text

__all__ = ["METRICS", "end_mark", "number", "piece_mark", "text_mark"]

METRICS = Metrics(
    cell=7.2, pad=16, dot=11, gap=5, close=2, pause=60, cut=40, narrow=420, whole=False
)  # fmt: skip

_HALF = 11


def number(value: float) -> str:
    """A coordinate, to the tenth."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def text_mark(x: float, y: float, text: str, kinds: str) -> str:
    """A text on its base line."""
    return f'<text class="{kinds}" x="{number(x)}" y="{number(y)}">{escape(visible(text))}</text>'


def _group(kinds: str, title: str, *parts: str) -> str:
    return f'<g class="{kinds}"><title>{escape(title)}</title>{"".join(parts)}</g>'


def _box(piece: Piece, y: float, radius: float, kinds: str, half: float = _HALF) -> str:
    place = f'x="{number(piece.place)}" y="{number(y - half)}"'
    size = f'width="{number(piece.width)}" height="{number(2 * half)}"'
    return f'<rect class="{kinds}" {place} {size} rx="{number(min(radius, piece.width / 2))}"/>'


def _centre(piece: Piece) -> float:
    return piece.place + piece.width / 2


def _when(piece: Piece) -> str:
    if piece.until is None:
        return f"{span_text(piece.at)} … no result"
    if piece.until == piece.at:
        return span_text(piece.at)
    return f"{span_text(piece.at)} – {span_text(piece.until)} ({span_text(piece.until - piece.at)})"


def piece_mark(piece: Piece, y: float, hue: str) -> str:
    """A piece, its middle at the height of y.

    Args:
        piece: What to draw.
        y: From the top.
        hue: The class of the colours of who speaks or, of a choice, of who was chosen.
    """
    title = f"{piece.title}\n{_when(piece)}"
    if piece.count > 1:
        title += f", {piece.count} {'tokens' if piece.kind == 'token' else 'events'}"
    return _group(f"marble {piece.kind} {hue}".rstrip(), title, *_PARTS[piece.kind](piece, y))


def _tokens(piece: Piece, y: float) -> list[str]:
    if not piece.shown and piece.width <= METRICS.dot:
        return [_dot(piece, y)]
    parts = [_box(piece, y, _HALF, "tint edge", _HALF if piece.shown else 7)]
    if piece.shown:
        parts.append(text_mark(_centre(piece), y + 4, piece.shown, "word mid"))
    if piece.count > 1:
        parts.append(_beats(piece, y + 7.5 if piece.shown else y))
    return parts


def _beats(piece: Piece, y: float) -> str:
    """A small dot where each token came, as long as one can tell them apart."""
    dots: list[str] = []
    free = piece.place
    for tick in piece.ticks:
        x = tick + METRICS.dot / 2
        if free <= x <= piece.place + piece.width - 4:
            dots.append(f"M{number(x)} {number(y)}h0")
            free = x + 4
    return f'<path class="edge beat" d="{"".join(dots)}"/>'


def _dot(piece: Piece, y: float, kinds: str = "tint edge") -> str:
    return f'<circle class="{kinds}" cx="{number(_centre(piece))}" cy="{number(y)}" r="5"/>'


def _pill(piece: Piece, y: float, form: str, radius: float, box: str, word: str) -> list[str]:
    if not piece.shown:
        return [_dot(piece, y, box)]
    text = form.format(piece.shown)
    return [_box(piece, y, radius, box), text_mark(_centre(piece), y + 4, text, f"{word} mid")]


def _state(piece: Piece, y: float) -> list[str]:
    x = _centre(piece)
    return [f'<path class="tint edge" d="M{number(x)} {number(y - 5.5)}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>']


def _choice(piece: Piece, y: float) -> list[str]:
    if piece.shown:
        return _pill(piece, y, "→ {}", 4, "page edge", "word")
    x = piece.place + 1
    return [f'<path class="solid" d="M{number(x)} {number(y - 5.5)}l9 5.5l-9 5.5z"/>']


def _call(piece: Piece, y: float) -> list[str]:
    parts = [_box(piece, y, 5, "call bound" + (" open" if piece.until is None else ""))]
    room = METRICS.fits(piece.width + 4)
    text = f"{piece.shown} → {piece.answer}" if piece.answer else piece.shown
    if cells(text) > room and cells(piece.shown) + 5 > room:
        text = piece.shown
    if text := clip(text, room):
        parts.append(text_mark(_centre(piece), y + 4, text, "name mid"))
    return parts


def _bundle(piece: Piece, y: float) -> list[str]:
    x = number(_centre(piece))
    plus = f'<path class="edge" d="M{x} {number(y - 2.5)}v5M{number(_centre(piece) - 2.5)} {number(y)}h5"/>'
    return [_dot(piece, y), plus]


_PARTS: dict[str, Callable[[Piece, float], list[str]]] = {
    "token": _tokens,
    "bundle": _bundle,
    "state": _state,
    "choice": _choice,
    "call": _call,
    "value": lambda piece, y: _pill(piece, y, "{}", 4, "tint edge", "word"),
    "message": lambda piece, y: _pill(piece, y, "{}", 2, "tint edge", "word"),
    "result": lambda piece, y: _pill(piece, y, "= {}", 5, "call bound", "name"),
}


def end_mark(ending: Ending, x: float, y: float, title: str, hue: str) -> str:
    """The end of a lane; x is its left edge."""
    middle = x + METRICS.dot / 2
    at = f"{number(middle)} {number(y)}"
    cross = f"M{at}m-3 -3l6 6m0 -6l-6 6"
    kinds = f"ending {hue}".rstrip()
    if ending == "completed":
        return _group(kinds, title, f'<path class="line lane thick" d="M{number(x)} {number(y - 8)}v16"/>')
    disc = f'cx="{number(middle)}" cy="{number(y)}" r="7"'
    if ending == "response":
        check = f'<path class="line on thick" d="M{at}m-3.3 0.2l2.4 2.6l4.2 -5.2"/>'
        return _group(kinds, title, f'<circle class="solid" {disc}/>', check)
    if ending == "interrupted":
        return _group(
            kinds, title, f'<circle class="page edge" {disc}/><path class="line edge" d="{cross}"/>'
        )
    stop = f"M{at}m-3.2 -7.7h6.4l4.5 4.5v6.4l-4.5 4.5h-6.4l-4.5 -4.5v-6.4z"
    return _group(kinds, title, f'<path class="bad" d="{stop}"/><path class="line on thick" d="{cross}"/>')
