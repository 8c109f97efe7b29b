"""The value that JSON comes to, while it is still coming."""

from __future__ import annotations

from typing import Any, Literal

from pydantic_core import to_json

from .json_reading import JsonReader
from .partial_choices import Choice
from .partial_shapes import ABSENT, NOTHING, RAW, Fields, Leaf, Shape

__all__ = ["JsonProgress"]


class _Frame:
    """An object or a list that is open.

    Args:
        shape: What it is made of.
        hidden: If it cannot be shown yet: what to make of it when it is complete, or when it is told apart.
        is_list: Whether it is a list.
    """

    __slots__ = ("entries", "hidden", "key", "shape")

    def __init__(self, shape: Shape, hidden: Shape | None, is_list: bool) -> None:
        self.shape = shape
        self.hidden = hidden
        self.entries: Any = [] if is_list else {}
        self.key: Any = 0 if is_list else None

    def put(self, value: Any) -> bool:
        """Adds a value; whether what is made of it can be seen to be another."""
        if isinstance(self.entries, list):
            self.entries.append(value)
            self.key = len(self.entries)
            return True
        self.entries[self.key] = value
        return value is not ABSENT and (value is not None or not isinstance(self.shape, Fields))

    def made(self, coming: Any = ABSENT) -> Any:
        """Its partial value, together with what is still coming."""
        if coming is ABSENT:
            return self.shape.build(self.entries)
        if isinstance(self.entries, list):
            return self.shape.build([*self.entries, coming])
        return self.shape.build({**self.entries, self.key: coming})

    def show_as(self, shape: Shape) -> None:
        """It has been told apart."""
        self.shape, self.hidden = shape, None
        self.entries = {key: shape.child(key).of(raw) for key, raw in self.entries.items()}


class JsonProgress:
    """A value of a shape, as far as its JSON has come.

    The JSON begins at the first brace (for what is no object also bracket) behind which nothing is wrong;
    words and fences around it are passed by. After a mistake further on, nothing more is shown.

    What a piece of text costs does not grow with the text before it, but with what is open: the fields and
    items of each object and list around, and the length of the string. What has been closed is shared by
    all later values.

    Args:
        shape: Of the value.
        wrapper: For what is no object: the one key of an object that it may stand in.

    Attributes:
        value: What has come; ABSENT: nothing yet.
        is_whole: Whether all of it has come.
    """

    def __init__(self, shape: Shape, wrapper: str | None = None) -> None:
        self._shape = shape
        self._wrapper = wrapper
        self._reader = JsonReader(self, "{" if wrapper is None else "{[")
        self._begin()

    def _begin(self) -> None:
        self.value: Any = ABSENT
        self.is_whole = False
        self._changed = False
        self._stack: list[_Frame] = []
        self._string = ""
        self._string_shape: Shape | None = None
        self._is_cut = False  # whether a string is open that can be shown so
        self._may_be_wrapped = self._wrapper is not None

    def feed(self, text: str) -> bool:
        """Reads on; whether the value has become another one."""
        self._changed = False
        self._reader.read(text)
        if self._changed and not self.is_whole:
            self.value = self._snapshot()
        return self._changed

    def _snapshot(self) -> Any:
        value: Any = self._string if self._is_cut and self._string else ABSENT
        for frame in reversed(self._stack):
            value = ABSENT if frame.hidden is not None else frame.made(value)
        return value

    # What the reader tells.

    def open(self, kind: Literal["object", "array"]) -> None:
        shape = self._child().taking(kind) or NOTHING
        hidden = shape if shape is NOTHING or isinstance(shape, Leaf | Choice) else None
        if hidden is None and self._stack and self._is_seen():
            self._changed = True
        self._may_be_wrapped = self._may_be_wrapped and kind == "object"
        self._stack.append(_Frame(shape if hidden is None else RAW, hidden, is_list=kind == "array"))

    def close(self) -> None:
        frame = self._stack.pop()
        if frame.hidden is None:
            self._put(frame.made(), shown=True)
        else:
            self._put(frame.hidden.of(frame.made()), shown=False)

    def key(self, text: str) -> None:
        if self._may_be_wrapped and text == self._wrapper:
            self._stack.clear()
        else:
            self._stack[-1].key = text
        self._may_be_wrapped = False

    def word(self, text: str) -> None:
        shape = self._child().taking("other")
        self._put(ABSENT if shape is None else shape.scalar(text.encode()), shown=False)

    def open_string(self) -> None:
        self._string = ""
        self._string_shape = self._child().taking("string")
        self._is_cut = bool(self._string_shape and self._string_shape.cuts and self._is_seen())

    def grow_string(self, text: str) -> None:
        self._string += text
        self._changed = self._changed or self._is_cut

    def close_string(self) -> None:
        shape, shown = self._string_shape, self._is_cut and bool(self._string)
        self._is_cut = False
        if shown:
            self._put(self._string, shown=True)
        else:
            self._put(ABSENT if shape is None else shape.scalar(to_json(self._string)), shown=False)

    def forget(self) -> bool:
        if self._changed or self.value is not ABSENT:
            return False
        self._begin()
        return True

    def _child(self) -> Shape:
        return self._stack[-1].shape.child(self._stack[-1].key) if self._stack else self._shape

    def _is_seen(self) -> bool:
        return all(frame.hidden is None for frame in self._stack)

    def _put(self, value: Any, shown: bool) -> None:
        """A value is complete: it is the whole, or part of what is open."""
        if not self._stack:
            self._changed = self._changed or (not shown and value is not ABSENT)
            self.value, self.is_whole = value, True
            return
        frame = self._stack[-1]
        can_be_seen = frame.put(value) and not shown
        if isinstance(frame.hidden, Choice) and isinstance(frame.entries, dict):
            decided = frame.hidden.decided(frame.entries)
            if isinstance(decided, Fields):
                frame.show_as(decided)
                can_be_seen = True
        if can_be_seen and self._is_seen():
            self._changed = True
