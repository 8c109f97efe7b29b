"""What becomes of JSON that is still coming, by the type that it is to be: the shapes of partial values.

A shape says what it makes of each kind of JSON. An object or a list goes to what `taking` gives for it;
strings, numbers and the like are given to `scalar` once they are complete, and what is no value of the
type is ABSENT. A shape of `str` may also be shown cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json

__all__ = [
    "ABSENT",
    "NOTHING",
    "RAW",
    "Entries",
    "Fields",
    "Items",
    "Kind",
    "Leaf",
    "Shape",
    "Text",
    "kind_of",
]

Kind = Literal["object", "array", "string", "other"]
_EVERY: Final = frozenset[Kind](("object", "array", "string", "other"))


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def kind_of(raw: Any) -> Kind:
    """The kind of a JSON value."""
    if isinstance(raw, dict):
        return "object"
    return "array" if isinstance(raw, list) else "string" if isinstance(raw, str) else "other"


class Shape:
    """What is made of the JSON of one value.

    Attributes:
        kinds: The kinds of JSON that it takes.
        annotation: The type of its partial values.
        cuts: Whether a string is shown as far as it has come.
    """

    kinds: frozenset[Kind] = frozenset()
    annotation: Any = Any
    cuts = False

    def taking(self, kind: Kind) -> Shape | None:
        """The shape of a value of this kind; None if there is none."""
        return self if kind in self.kinds else None

    def child(self, key: str | int) -> Shape:
        """The shape of what an object has at a key, or a list at a position."""
        return RAW

    def build(self, entries: dict[str, Any] | list[Any]) -> Any:
        """The partial value of an object or a list, of the partial values in it."""
        return ABSENT

    def scalar(self, text: bytes) -> Any:
        """The value of a complete string, number, boolean or null, of its JSON text."""
        return ABSENT

    def blank(self) -> Any:
        """The partial value of which nothing has come."""
        return None

    def of(self, raw: Any) -> Any:
        """The partial value of JSON data that has come as a whole."""
        shape = self.taking(kind_of(raw))
        if shape is None:
            return ABSENT
        if isinstance(raw, dict):
            return shape.build({key: shape.child(key).of(value) for key, value in raw.items()})
        if isinstance(raw, list):
            return shape.build([shape.child(index).of(item) for index, item in enumerate(raw)])
        return shape.scalar(to_json(raw))


class Leaf(Shape):
    """A value that is shown when it is complete, and of the type."""

    def __init__(self, adapter: TypeAdapter[Any], annotation: Any, kinds: frozenset[Kind] = _EVERY) -> None:
        self._adapter = adapter
        self.annotation = annotation
        self.kinds = kinds

    def scalar(self, text: bytes) -> Any:
        try:
            return self._adapter.validate_json(text)
        except Exception:  # the whole will say what is wrong
            return ABSENT

    def of(self, raw: Any) -> Any:
        try:
            return self.scalar(to_json(raw))
        except ValueError:  # nested too deep
            return ABSENT


class Text(Leaf):
    """A string, shown as far as it has come."""

    cuts = True


class Raw(Shape):
    """Anything, as JSON has it."""

    kinds = _EVERY
    cuts = True

    def build(self, entries: dict[str, Any] | list[Any]) -> Any:
        if isinstance(entries, dict):
            return {key: value for key, value in entries.items() if value is not ABSENT}
        return entries.copy()

    def scalar(self, text: bytes) -> Any:
        return from_json(text)

    def of(self, raw: Any) -> Any:
        return raw


RAW: Final = Raw()


class Items(Shape):
    """A list: of one shape of items, or of one for each position."""

    kinds = frozenset[Kind](("array",))

    def __init__(self, item: Shape | list[Shape]) -> None:
        self._item = item

    def child(self, key: str | int) -> Shape:
        if isinstance(self._item, Shape):
            return self._item
        return self._item[int(key)] if int(key) < len(self._item) else RAW

    def blank(self) -> Any:
        return []

    def build(self, entries: dict[str, Any] | list[Any]) -> Any:
        return [None if item is ABSENT else item for item in entries]  # each stays at its place


class Entries(Shape):
    """A dict with any keys."""

    kinds = frozenset[Kind](("object",))

    def __init__(self, key: Leaf, value: Shape) -> None:
        self._key = key
        self._value = value

    def child(self, key: str | int) -> Shape:
        return self._value

    def build(self, entries: dict[str, Any] | list[Any]) -> Any:
        assert isinstance(entries, dict)
        made = {self._key.of(key): None if value is ABSENT else value for key, value in entries.items()}
        return {key: value for key, value in made.items() if key is not ABSENT}


class Fields(Shape):
    """An object with known keys: a model, a dataclass, a TypedDict.

    Attributes:
        keys: For each key in the JSON: the field's name and its shape. Others are passed by.
        tags: The values that tell it apart from other models, by key.
        make: Its partial value, of the fields that have come.
    """

    kinds = frozenset[Kind](("object",))

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Shape]] = {}
        self.tags: dict[str, frozenset[Any]] = {}
        self.make: Callable[..., Any] = dict
        self.twin: type[BaseModel] | None = None

    def child(self, key: str | int) -> Shape:
        return self.keys[str(key)][1] if key in self.keys else NOTHING

    def blank(self) -> Any:
        return self.make()

    def build(self, entries: dict[str, Any] | list[Any]) -> Any:
        assert isinstance(entries, dict)
        known = [(key, value) for key, value in entries.items() if value is not ABSENT and key in self.keys]
        return self.make(**{self.keys[key][0]: value for key, value in known})


NOTHING: Final = Shape()
