"""draw: a recording as a picture, in Unicode for a terminal and as SVG for a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from ...errors import ConfigurationError
from ..lanes import Lane
from ..recordings.recorded_files import read_recording
from .scenes import scene_of
from .svg_drawings import svg_drawing
from .text_drawings import text_drawing

__all__ = ["Drawing", "draw", "suffix_of"]

_NARROWEST = 40


class _HasLane(Protocol):
    @property
    def lane(self) -> Lane: ...


Drawable: TypeAlias = Lane | str | os.PathLike[str] | _HasLane


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a run, twice.

    `print(drawing)` prints the text; a notebook shows the SVG.

    Args:
        text: Lines of Unicode for a terminal.
        svg: An SVG document that needs nothing else: no script, no font, no other file. It follows
            the reader's choice of light or dark, and tells everything in full on hover.
    """

    text: str
    svg: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the one or the other, in UTF-8.

        Args:
            path: Ends in `.svg` or `.txt`.

        Raises:
            ConfigurationError: The path ends otherwise, or cannot be written to.
        """
        content = self.svg if suffix_of(path) == ".svg" else self.text
        try:
            Path(path).write_text(f"{content}\n", encoding="utf-8", newline="\n")
        except OSError as error:
            raise ConfigurationError(f"{os.fspath(path)} cannot be written: {error.strerror}") from error

    def __str__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str:
        return self.svg


def suffix_of(path: str | os.PathLike[str]) -> str:
    """What kind of file a drawing is to be.

    Raises:
        ConfigurationError: Neither `.svg` nor `.txt`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".svg", ".txt"):
        raise ConfigurationError(
            f"{os.fspath(path)}: a drawing is saved as .svg or as .txt, not {suffix or 'neither'}"
        )
    return suffix


def draw(recording: Drawable, *, width: int = 100) -> Drawing:
    """Draws a run as marbles: time to the right, one lane for each block and each message.

    ```
           0 s  1 s    2 s    3 s    4 s     5 s   6 s
           ┴────┴──────┴──────┴──────┴───────┴─────┴
           ╭───────────────────────────────────────|
    clerk  ├───────────────────────────────────────|
           ╰────Let─me─see─[get_order ══ 214]──────✓
    ```

    A lane is joined to the one on which it began. Tokens are words, or dots where there is no room;
    what the dots say then stands beside. `[name ══ answer]` is a tool call from call to result (two at
    once are stacked), `▸name` whom a router chose, `◇` another state, `⊕` several things at once.
    Lanes end as `|` completed, `✓` a finished message, `✕` interrupted, `✖` failed (what with stands
    below), `⋯` not at all. A long silence is cut short, at `╱╱`. The SVG shows the same.

    The same recording always gives the same drawing.

    Args:
        recording: A Lane, the path of a recording, or what has a `lane`, such as a Recording.
        width: How many columns the text may take, 40 or more; the SVG has a width of its own.

    Raises:
        ConfigurationError: It is none of these, there is no such file or it is no recording, or the
            width is less than 40.
    """
    if width < _NARROWEST:
        raise ConfigurationError(f"draw(width={width!r}): a drawing takes {_NARROWEST} columns or more")
    scene = scene_of(_lane_of(recording))
    return Drawing(text_drawing(scene, width), svg_drawing(scene))


def _lane_of(recording: Drawable) -> Lane:
    if isinstance(recording, (str, os.PathLike)):
        return read_recording(recording).lane
    lane = recording if isinstance(recording, Lane) else getattr(recording, "lane", None)
    if not isinstance(lane, Lane):
        raise ConfigurationError(
            f"draw takes a Lane, the path of a recording, or what has a lane, not {type(recording).__name__}"
        )
    return lane
