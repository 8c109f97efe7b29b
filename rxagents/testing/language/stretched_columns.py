"""Columns for pictures to be read, and not parsed: the frame stays, and what is too long makes room.

```
expected  --Well ----let|
actual    --Well,-let---|        a space in a lane is no time
```
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .cells import Cell
from .marble_columns import Columns, columns_for
from .marks import duration

__all__ = ["stretched_columns"]

_LONG = 24


def stretched_columns(lanes: Sequence[Sequence[Cell]], frame: Fraction) -> Columns:
    """Lays lanes out with a frame, whether or not the words fit.

    Where a word is longer than the time until the next one on its lane, all lanes get spaces there,
    which are no time; long gaps are drawn as a time progression. What happens between two columns
    asks for a shorter frame, as in `columns_for`.
    """
    ticks = frame * 10**6
    if any(cell.at % ticks for cells in lanes for cell in cells):
        return columns_for(lanes, frame)
    instants: dict[int, list[tuple[int, Cell]]] = {}
    for lane, cells in enumerate(lanes):
        for cell in cells:
            instants.setdefault(cell.at, []).append((lane, cell))
    ends: dict[int, tuple[int, bool]] = {}
    places: dict[int, int] = {}
    parts: list[str] = []
    width = reach = elapsed = 0
    for at in sorted(instants):
        here = instants[at]
        frames = int((at - elapsed) / ticks)
        least = max(reach - width, 0)
        if frames > least + _LONG:
            part = "-" * least + f" {duration((frames - least) * frame)} "
        else:
            part = "-" * frames
        room = max(
            (ends[lane][0] + (ends[lane][1] and cell.is_word) for lane, cell in here if lane in ends),
            default=0,
        )
        part += " " * max(room - width - len(part), 0)
        parts.append(part)
        width += len(part)
        places[at] = width
        for lane, cell in here:
            ends[lane] = (width + len(cell.text), cell.is_word)
            reach = max(reach, ends[lane][0])
        elapsed = at
    return Columns(frame, "".join(parts) + "-" * (reach - width), places)
