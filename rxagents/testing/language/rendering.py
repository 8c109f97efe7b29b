"""Draws a lane as a diagram that reads back as the same lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..lanes import Lane
from .cells import Speller, cells_of
from .diagrams import parse
from .marble_columns import columns_for
from .marks import frame_of
from .rows import labels_of, rows_of

__all__ = ["Diagram", "render"]


@dataclass(frozen=True, slots=True)
class Diagram:
    """A lane as text.

    Args:
        text: The diagram.
        frame: The seconds of a column.
        values: What is bound in it, by name.
    """

    text: str
    frame: float = 1.0
    values: Mapping[str, Any] = field(default_factory=dict)

    def lane(self) -> Lane:
        """Reads it back."""
        return parse(self.text, self.values, frame=self.frame)

    def __str__(self) -> str:
        return self.text


def render(lane: Lane, *, frame: float | None = None) -> Diagram:
    """Draws a recording, so that `render(lane).lane() == lane`.

    ```
    bot  ---m|
    m    ---Hi|
    ```

    A token is a word, quoted where it must be; any other value is bound as `v1`, `v2`, …, an error as
    `e1`, `e2`, …. Messages are labelled `m1`, `m2`, …, and a single one `m`. Long gaps, and what is
    between two columns, are drawn as a time progression, in the same columns of all lanes.

    Args:
        lane: What happened; no event of it before 0 s, and its times to the microsecond, see `moment`.
        frame: The seconds of a column, if the words fit so; else, and if it is None with 1 s in its
            place, the longest one of 0.5, 0.2, 0.1, … at which they do.

    Raises:
        ConfigurationError: The frame is no positive number, or something is before 0 s.
    """
    preferred = frame_of(1.0 if frame is None else frame)
    rows = rows_of(lane)
    labels = [label for (label,) in labels_of(rows)]
    speller = Speller({label.word for label in labels if label.word})
    lanes = [row.lanes[0] or Lane() for row in rows]
    texts = [
        speller.texts(of, [labels[child] for child in row.children[0]])
        for of, row in zip(lanes, rows, strict=True)
    ]
    cells = [cells_of(of, drawn) for of, drawn in zip(lanes, texts, strict=True)]
    laid = columns_for(cells, preferred)
    drawn = [laid.draw(row, of.end is not None) for of, row in zip(lanes, cells, strict=True)]
    text = _headed([label.head for label in labels], drawn)
    return Diagram(text, float(laid.frame), speller.values)


def _headed(heads: Sequence[str], lanes: Sequence[str]) -> str:
    width = max(map(len, heads))
    margin = width + 2 if width else 0
    return "\n".join((head.ljust(margin) + lane).rstrip() for head, lane in zip(heads, lanes, strict=True))
