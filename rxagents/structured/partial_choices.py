"""What is one of several: told apart while it is still coming."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from .partial_shapes import ABSENT, Fields, Kind, Shape, kind_of

__all__ = ["Choice"]


class Choice(Shape):
    """One of several shapes: told apart by the kind of JSON, objects also by their tags."""

    def __init__(self, variants: list[Shape], annotation: Any) -> None:
        self.variants = variants
        self.annotation = annotation
        self.kinds = frozenset[Kind]().union(*(variant.kinds for variant in variants))

    def taking(self, kind: Kind) -> Shape | None:
        fitting = [each for each in self.variants if kind in each.kinds]
        return fitting[0].taking(kind) if len(fitting) == 1 else self if fitting else None

    def scalar(self, text: bytes) -> Any:
        values = [each.scalar(text) for each in self.variants]
        said = [value for value in values if value is not ABSENT]
        exact = [value for value in said if to_json(value, fallback=str) == text]
        return (exact or said or [ABSENT])[0]

    def decided(self, entries: dict[str, Any]) -> Shape | None:
        """The one shape whose tags an object's entries so far agree with; None while there are several."""
        fitting = [each for each in self.variants if "object" in each.kinds and _may_be(each, entries)]
        return fitting[0].taking("object") if len(fitting) == 1 else None

    def of(self, raw: Any) -> Any:
        if isinstance(raw, dict):
            decided = self.decided(raw)
            return ABSENT if decided is None else decided.of(raw)
        shape = self.taking(kind_of(raw))
        if shape is self:
            return ABSENT if isinstance(raw, list) else self.scalar(to_json(raw))
        return ABSENT if shape is None else shape.of(raw)


def _may_be(shape: Shape, entries: dict[str, Any]) -> bool:
    if not isinstance(shape, Fields):
        return True
    tags = [(entries[key], values) for key, values in shape.tags.items() if key in entries]
    return all(not isinstance(value, dict | list) and value in values for value, values in tags)
