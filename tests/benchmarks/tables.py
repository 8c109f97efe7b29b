"""What a run measured, as a table, as lines about the targets, and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from typing import Any

from .growth import Law
from .rounds import Bench, Row
from .targets import Target, at

__all__ = ["results", "table", "told"]

_HEADS = (
    "",
    "burst",
    "a read each",
    "history",
    "streams: wall (CPU)",
    "p99 lag",
    "KiB each",
    "closed after break",
    "first token",
    "p99",
    "cold",
    "its CPU",
)
_UNITS = ("", "µs a token", "µs a token", "ms", "s", "ms", "", "ms", "ms", "ms", "ms", "ms")


def table(bench: Bench) -> str:
    """The rows, medians first, least and most in brackets."""
    rows = [_HEADS, _UNITS, *(_cells(row) for row in bench.rows.values() if row.streams or row.failures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join(
        "  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))).rstrip() for row in rows
    )


def _cells(row: Row) -> tuple[str, ...]:
    def of_streams(what: str, form: str) -> str:
        values = [each[what] for each in row.streams if each[what] is not None]
        return format(statistics.median(values), form) if values else "–"

    lost = max((each["lost"] for each in row.streams), default=0)
    left = {"closed": _spread(row.broken), "garbage": "when garbage", "never": "never"}[row.left]
    return (
        row.name,
        _spread(row.burst),
        _spread(row.paced),
        _spread(row.history),
        f"{of_streams('wall', '.2f')} ({of_streams('cpu', '.2f')})" + (f", {lost} lost" if lost else ""),
        of_streams("lag_p99", ".1f"),
        of_streams("kib", ".0f"),
        left,
        f"{at(row.first, 0.5):.2f}" if row.first else "–",
        f"{at(row.first, 0.99):.2f}" if row.first else "–",
        f"{statistics.median(row.cold):.0f}" if row.cold else "–",
        f"{statistics.median(row.short):.2f}" if row.short else "–",
    )


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    digits = 1 if statistics.median(values) >= 10 else 2
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def told(target: Target) -> str:
    """A line: what it came to, whether that is held, what the issue asks for."""
    sign = "≥" if target.least else "≤"
    unit = f" {target.unit}" if target.unit else ""
    value = "not measured" if target.value is None else f"{target.value:.2f}{unit}"
    verdict = "held" if target.held else "MISSED"
    if target.held and not target.within(target.issue):
        verdict = "held, short of the issue's"
    return (
        f"  {target.number}  {target.what:54} {value:>18}  {verdict} "
        f"({sign} {target.held_to:g}; the issue: {sign} {target.issue:g})"
    )


def results(bench: Bench, grown: Sequence[Law], found: Sequence[Target], *, brief: bool) -> dict[str, Any]:
    """All of it, for JSON and the chart."""
    sizes = bench.sizes
    return {
        "quick": brief,
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "sizes": sizes._asdict(),
        "server": bench.server,
        "rows": [_as_json(row, sizes.stream_tokens * sizes.stream_gap / 1e6) for row in bench.rows.values()],
        "laws": [law._asdict() | {"held": law.held} for law in grown],
        "targets": [
            {**target._asdict(), "held": target.held, "as_the_issue": target.within(target.issue)}
            for target in found
        ],
    }


def _as_json(row: Row, ideal: float) -> dict[str, Any]:
    def all_of(what: str) -> list[float]:
        return [each[what] for each in row.streams]

    streams = {what: all_of(what) for what in ("wall", "cpu", "lag_p50", "lag_p99", "kib", "lost", "busy")}
    return {
        "name": row.name,
        "burst": row.burst,
        "padded": row.padded or None,
        "paced": row.paced,
        "history": row.history,
        "streams": {"ideal": ideal, **streams} if row.streams else None,
        "many": row.many,
        "left": row.broken or None,
        "left_how": row.left,
        "cancelled": row.cancelled or None,
        "first_token": {
            "p50": at(row.first, 0.5),
            "p99": at(row.first, 0.99),
            "cpu": row.short,
            "cold": statistics.median(row.cold) if row.cold else None,
            "import": statistics.median(row.importing) if row.importing else None,
        }
        if row.first
        else None,
        "failures": row.failures,
    }
