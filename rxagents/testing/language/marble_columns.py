"""Finds the columns: one time axis for all lanes, exact, and with as few columns as are readable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...errors import ConfigurationError
from .cells import Cell
from .marks import duration

__all__ = ["Columns", "columns_for"]

_LONG = 24
_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where everything stands.

    Args:
        frame: The seconds of a column.
        axis: The line that every lane is drawn on: dashes, and the time progressions.
        places: For each instant, in microseconds, where in the axis it stands.
    """

    frame: Fraction
    axis: str
    places: Mapping[int, int]

    def draw(self, cells: Sequence[Cell], ended: bool) -> str:
        """Draws a lane; one that has not ended goes on as long as any."""
        parts: list[str] = []
        end = 0
        for cell in cells:
            place = self.places[cell.at]
            parts += self.axis[end:place], cell.text
            end = place + len(cell.text)
        if not ended:
            parts.append(self.axis[end:])
        return "".join(parts) or "-"


@dataclass(slots=True)
class _Step:
    """An instant, and what is drawn there, lane by lane."""

    at: int
    cells: list[tuple[int, Cell]]


def columns_for(lanes: Sequence[Sequence[Cell]], preferred: Fraction) -> Columns:
    """Lays lanes out with the preferred frame, or with the longest of a 1-2-5 series that fits.

    A frame fits if words that follow one another on a lane do not overlap, and if every instant has a
    column: off the grid a time progression leads to it, where no word of any lane is in the way.

    Raises:
        ConfigurationError: Something is before 0 s.
    """
    steps: dict[int, _Step] = {}
    for lane, cells in enumerate(lanes):
        for cell in cells:
            steps.setdefault(cell.at, _Step(cell.at, [])).cells.append((lane, cell))
    ordered = [steps[at] for at in sorted(steps)]
    if ordered and ordered[0].at < 0:
        raise ConfigurationError(f"nothing can be drawn before 0 s, and this is at {ordered[0].at / 10**6} s")
    for frame in _frames(preferred):
        ways = _ways(ordered, frame * 10**6)
        if ways is not None:
            return _drawn(ordered, ways, frame)
    raise AssertionError("a frame that is short enough always fits")


def _frames(preferred: Fraction) -> Iterator[Fraction]:
    yield preferred
    power = Fraction(1)
    while power < preferred:
        power *= 10
    while True:
        for digit in (5, 2, 1):
            if digit * power < preferred:
                yield digit * power
        power /= 10


def _ways(steps: Sequence[_Step], frame: Fraction) -> list[tuple[int, Fraction]] | None:
    """For each instant the columns that lead to it and the wait behind them; None if it does not fit."""
    ways: list[tuple[int, Fraction]] = []
    ends: dict[int, tuple[int, bool]] = {}
    column = reach = 0
    elapsed = Fraction(0)
    for index, step in enumerate(steps):
        rest = step.at - elapsed
        fewest = max(reach - column, 1 if index else 0)
        exact = round(rest / frame)
        on_grid = (
            exact >= (1 if index else 0)
            and abs(exact * frame - rest) < _HALF
            and all(_has_room(ends.get(lane), column + exact, cell) for lane, cell in step.cells)
        )
        if on_grid and (exact <= fewest + _LONG or fewest * frame >= rest):
            columns, wait = exact, Fraction(0)
        elif fewest * frame < rest:
            columns, wait = fewest, rest - fewest * frame
        else:
            return None
        ways.append((columns, wait))
        column += columns
        elapsed += columns * frame + wait
        for lane, cell in step.cells:
            ends[lane] = (column + len(cell.text), cell.is_word)
            reach = max(reach, column + len(cell.text))
    return ways


def _has_room(before: tuple[int, bool] | None, column: int, cell: Cell) -> bool:
    if before is None:
        return True
    end, is_word = before
    return end + (is_word and cell.is_word) <= column


def _drawn(steps: Sequence[_Step], ways: Sequence[tuple[int, Fraction]], frame: Fraction) -> Columns:
    parts: list[str] = []
    places: dict[int, int] = {}
    width = reach = 0
    for step, (columns, wait) in zip(steps, ways, strict=True):
        part = "-" * columns + (f" {duration(wait / 10**6)} " if wait else "")
        parts.append(part)
        width += len(part)
        places[step.at] = width
        reach = max(reach, width + max(len(cell.text) for _, cell in step.cells))
    return Columns(frame, "".join(parts) + "-" * (reach - width), places)
