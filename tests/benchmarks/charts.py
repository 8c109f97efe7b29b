"""The results as one SVG: a bar for each contestant, in a panel for each way the tokens come."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from html import escape
from typing import Any, NamedTuple

__all__ = ["chart"]

# what they are called under `rows`, and above the panel
_PANELS = (("burst", "in a burst"), ("paced", "one read per token"))

_SUBTITLE = (
    "CPU µs in the process that reads: median and range of the rounds; × beside the bare openai client"
)

_WIDTH = 860
_MARGIN = 16
_NAMES = 232
_GAP = 14
_LABEL = 106
_TOP = 92
_ROW = 28
_BAR = 14
_TICKS = 4
_LETTER = 7.4  # how wide one is at most, on average: no font is at hand to measure with

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  text { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round; }
  text.title { font-size: 17px; font-weight: 600; }
  text.faint { font-size: 12px; fill: #59636e; }
  text.ours { fill: #0550ae; }
  .page { fill: #ffffff; }
  .grid { stroke: #d1d9e0; }
  .bar { fill: #9aa4af; }
  .bar.ours { fill: #0969da; }
  .spread { stroke: #1f2328; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; stroke: #0d1117; }
    text.faint { fill: #9198a1; }
    text.ours { fill: #79c0ff; }
    .page { fill: #0d1117; }
    .grid { stroke: #3d444d; }
    .bar { fill: #656c76; }
    .bar.ours { fill: #4493f8; }
    .spread { stroke: #f0f6fc; }
  }
"""


class _Row(NamedTuple):
    name: str
    costs: list[list[float]]  # for each panel, a number per round

    @property
    def kind(self) -> str:
        return " ours" if self.name.startswith("rxagents") else ""


class _Scale(NamedTuple):
    """Linear and from zero: a bar half as long is half the cost."""

    high: float
    width: float

    def at(self, value: float) -> float:
        return self.width * value / self.high

    def ticks(self) -> list[float]:
        """Zero and round numbers, as many as have room."""
        exponent = math.floor(math.log10(self.high / _TICKS))
        step = next(size for first in (1, 2, 5, 10) if (size := first * 10.0**exponent) >= self.high / _TICKS)
        return [step * number for number in range(int(self.high / step) + 1)]


def chart(results: dict[str, Any]) -> str:
    """The picture of what a token costs, for the results as they are written to JSON.

    Args:
        results: Has `rows`; of a row its `name` is read, and the numbers of each round in CPU µs a token:
            `burst` and `paced`. A row that has not both is left out: it failed, or is a variant of another.
    """
    rows = _sorted(results["rows"])
    bottom = _TOP + len(rows) * _ROW
    lines = [
        _text(_MARGIN, 30, "What a token costs", "title"),
        _text(_MARGIN, 50, _SUBTITLE, "faint"),
    ]
    panel = (_WIDTH - 2 * _MARGIN - _NAMES - len(_PANELS) * _GAP) / len(_PANELS)
    for at, (_, title) in enumerate(_PANELS):
        left = _MARGIN + _NAMES + _GAP + at * (panel + _GAP)
        lines += _panel(title, [(row, row.costs[at]) for row in rows], left, panel - _LABEL)
    for number, row in enumerate(rows):
        y = _TOP + number * _ROW + _ROW / 2 + 4
        lines.append(_text(_MARGIN + _NAMES, y, _cut(row.name, _NAMES), row.kind.strip(), "end"))
    return _svg(bottom + 30, "What a token costs", lines, "\n".join(map(_told, rows)))


def _panel(title: str, rows: list[tuple[_Row, list[float]]], left: float, width: float) -> list[str]:
    bottom = _TOP + len(rows) * _ROW
    lines = [_text(left, _TOP - 14, title)]
    scale = _Scale(max((value for _, costs in rows for value in costs), default=1.0), width)
    for tick in scale.ticks():
        x = left + scale.at(tick)
        lines.append(_line("grid", x, _TOP - 6, x, bottom))
        lines.append(_text(x, bottom + 16, f"{tick:g}", "faint", "middle"))
    bare = next((costs for row, costs in rows if row.name.startswith("openai, bare")), None)
    for number, (row, costs) in enumerate(rows):
        lines += _bar(row, costs, bare, left, _TOP + number * _ROW, scale)
    return lines


def _sorted(rows: Iterable[dict[str, Any]]) -> list[_Row]:
    """Those that were measured in each way, the cheapest first."""
    read = [
        _Row(row["name"].replace("`", ""), [list(row.get(name) or ()) for name, _ in _PANELS]) for row in rows
    ]
    return sorted((row for row in read if all(row.costs)), key=lambda row: statistics.median(row.costs[0]))


def _bar(
    row: _Row, costs: list[float], bare: list[float] | None, left: float, top: float, scale: _Scale
) -> list[str]:
    middle = top + _ROW / 2
    median = statistics.median(costs)
    least, end, most = (left + scale.at(value) for value in (min(costs), median, max(costs)))
    label = f"{_short(median)} µs"
    if bare is not None:
        label += f" · {_short(median / statistics.median(bare))} ×"
    return [
        f'<rect class="bar{row.kind}" x="{left:.1f}" y="{middle - _BAR / 2:.1f}" '
        f'width="{max(end - left, 1):.1f}" height="{_BAR}" rx="2"/>',
        _line("spread", least, middle, most, middle),
        _line("spread", least, middle - 3, least, middle + 3),
        _line("spread", most, middle - 3, most, middle + 3),
        _text(most + 6, middle + 4, label, row.kind.strip()),
    ]


def _told(row: _Row) -> str:
    said = [
        f"{statistics.median(costs):.3g} µs {title}"
        for (_, title), costs in zip(_PANELS, row.costs, strict=True)
    ]
    return f"{row.name}: {', '.join(said)}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _cut(name: str, width: float) -> str:
    most = int(width / _LETTER)
    return name if len(name) <= most else name[: most - 1].rstrip(" ,") + "…"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _svg(height: float, title: str, lines: list[str], described: str) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(described)}</desc>",
            f"<style>{_STYLE}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            *lines,
            "</svg>\n",
        ]
    )
