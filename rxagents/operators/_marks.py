"""What a workflow's output is made of: marks, and what they are about."""

from __future__ import annotations

from typing import Any

__all__ = ["Mark", "Marker"]


class Mark(str):
    """The first half of a marker: a string that knows where it stands.

    Made once for each block or message and kind, so that no token pays for it.

    Attributes:
        path: The names of the blocks around, from the outside in.
        id: The id of the block or message that it is about; empty for the run itself.
    """

    __slots__ = ("id", "path")

    path: tuple[str, ...]
    id: str

    def __new__(cls, kind: str, path: tuple[str, ...] = (), id: str = "") -> Mark:
        mark = super().__new__(cls, kind)
        mark.path = path
        mark.id = id
        return mark


Marker = tuple[Mark, Any]
"""What a workflow's output is made of; unpacks as `mark, content`. The content is JSON-able."""
