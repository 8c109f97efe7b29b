"""The ticks of a time axis, and how times are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .time_maps import TimeMap

__all__ = ["Tick", "span_text", "ticks_of", "time_text"]

_SMALL = tuple(digit * 10.0**power for power in range(-7, 1) for digit in (1, 2, 5))
_LARGE = (10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
_DAYS = tuple(digit * 86400.0 * 10**power for power in range(12) for digit in (1, 2, 5))
_MOST = 200
_CROWDED = 0.2


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis and what stands there."""

    place: float
    text: str


def ticks_of(times: TimeMap, room: Callable[[str], float], right: float) -> tuple[Tick, ...]:
    """Ticks at round times, as close as their labels allow, none within a silence that was cut short.

    Behind such a silence there is one where things go on, if no round time is near.

    Args:
        times: What stands where.
        room: How wide a label is, with the distance to the next.
        right: Where the axis ends.
    """
    first, last = times.moments[0], times.moments[-1]
    if last == first:
        return (Tick(0.0, time_text(first, 1.0, abs(first))),)
    most = max(abs(first), abs(last))
    starts = [0, *(index + 1 for index in times.breaks)]
    ends = [*times.breaks, len(times.moments) - 1]
    drawn = [(times.moments[start], times.moments[end]) for start, end in zip(starts, ends, strict=True)]
    for step in (*_SMALL, *_LARGE, *_DAYS):
        if math.fsum(end - start for start, end in drawn) / step > _MOST:
            continue
        parts = [
            [Tick(times.between(at), time_text(at, step, most)) for at in _multiples(step, start, end)]
            for start, end in drawn
        ]
        # a part that begins too close behind another one is no reason for fewer ticks
        fit = sum(len(_spaced(part, room, math.inf)) for part in parts)
        ticks = [tick for part in parts for tick in part]
        if fit >= (1 - _CROWDED) * len(ticks):
            break
    kept = _spaced(ticks, room, right)
    for index in times.breaks:
        # no round time: one more digit tells it from its neighbours
        again = Tick(times.places[index + 1], time_text(times.moments[index + 1], step / 10, most))
        together = sorted([*kept, again], key=lambda tick: tick.place)
        if len(_spaced(together, room, right)) == len(together):
            kept = together
    return tuple(kept)


def _multiples(step: float, first: float, last: float) -> Iterator[float]:
    for number in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1):
        yield min(max(number * step, first), last)


def _spaced(ticks: list[Tick], room: Callable[[str], float], right: float) -> list[Tick]:
    kept: list[Tick] = []
    free = -math.inf
    for tick in ticks:
        if tick.place >= free and tick.place + room(tick.text) <= right + room(""):
            kept.append(tick)
            free = tick.place + room(tick.text)
    return kept


def time_text(at: float, step: float, most: float) -> str:
    """A time as it stands on an axis: `250 ms`, `1.5 s`, `2m 30s`.

    Args:
        at: In seconds.
        step: The seconds between two ticks.
        most: The longest time that stands there, so that all have one unit.
    """
    if most >= 60:
        return _minutes(at, step)
    units = (("s", 1.0), ("ms", 1e-3))
    fit = (unit for unit in units if step >= unit[1] / 10 or (most >= unit[1] and step >= unit[1] / 100))
    name, length = next(fit, ("µs", 1e-6))
    return f"{_decimal(at / length, step / length)} {name}"


def _decimal(number: float, step: float) -> str:
    places = min(max(0, -math.floor(math.log10(step) + 1e-9)), 3)
    text = f"{number:.{places}f}"
    text = text.rstrip("0").rstrip(".") if places else text
    return "0" if text == "-0" else text


def _minutes(at: float, step: float) -> str:
    total = float(_decimal(abs(at), step))
    hours, rest = divmod(total, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{hours:.0f}h"] if hours else []
    if minutes or (hours and seconds):
        parts.append(f"{minutes:.0f}m")
    if seconds or not parts:
        parts.append(f"{_decimal(seconds, step)}s")
    return "-" * (at < 0) + " ".join(parts)


def span_text(seconds: float) -> str:
    """How long something took, to two digits."""
    if seconds <= 0:
        return "0 s"
    if seconds >= 3600:
        return time_text(60.0 * round(seconds / 60), 60.0, seconds)
    step = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return time_text(seconds, min(step, 1.0), seconds)
