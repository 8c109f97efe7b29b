"""The output of a response as it grows: the Deltas that its events make, item by item.

The service says everything two or three times: in increments, when a part is done, and when its item
is done. What the increments have left out (some services send none) is taken from what says it last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from ..values import Delta, delta
from .event_json import checked

__all__ = ["OutputItems", "index_of", "place_of"]

_Emit: TypeAlias = Callable[[Delta], None]
_Place: TypeAlias = int | str

# A part of an item: the item's place, the list that the part stands in, its index there.
_Part: TypeAlias = tuple[_Place, str, int]


def place_of(event: dict[str, Any]) -> _Place:
    """The place in the output of the item that an event is of; where the event lacks it, the item's id."""
    index = event.get("output_index")
    if index.__class__ is int:
        return index
    item = event.get("item")
    return str(event.get("item_id") or (item.get("id") if isinstance(item, dict) else ""))


def index_of(event: dict[str, Any], key: str) -> int:
    """The index of the part that an event is of; where the event lacks it, 0."""
    index = event.get(key)
    return index if index.__class__ is int else 0


class OutputItems:
    """What has been said of each item of a response's output.

    Attributes:
        calls: How many functions are called.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._kinds: dict[_Place, str] = {}
        self._ended: set[_Place] = set()
        self._call_indices: dict[_Place, int] = {}
        self._phased: set[_Place] = set()
        # How many characters were said of each text, and how many annotations were made to it.
        self._said: dict[_Part, int] = {}
        self._annotated: dict[_Part, int] = {}
        self._thought: _Part | None = None

    def text(self, key: str, part: _Part, text: str, emit: _Emit) -> None:
        """Emits an increment of a text.

        Args:
            key: `content`, `refusal` or `reasoning`.
            part: Which text.
            text: What it adds.
            emit: Gets the Delta.
        """
        before = self._said.get(part, 0)
        self._said[part] = before + len(text)
        if key == "content":
            emit({"content": text, "function_call": None, "refusal": None, "tool_calls": None})
        elif key == "refusal":
            emit(delta(refusal=text))
        else:
            # the parts of a summary are paragraphs
            apart = not before and self._thought is not None
            self._thought = part
            emit(delta(reasoning=f"\n\n{text}" if apart else text))

    def whole_text(self, key: str, part: _Part, text: str | None, emit: _Emit) -> None:
        """Emits what the increments have left out of a text."""
        if text and (rest := text[self._said.get(part, 0) :]):
            self.text(key, part, rest, emit)

    def annotation(self, part: _Part, annotation: Any, emit: _Emit) -> None:
        """Emits an annotation of a text, as it was sent."""
        self._annotated[part] = self._annotated.get(part, 0) + 1
        emit(delta(annotations=[annotation]))

    def arguments(self, place: _Place, text: str | None, emit: _Emit) -> None:
        """Emits a piece of the arguments of a function call; those of an unknown call wait for its end."""
        if text and place in self._call_indices:
            part = (place, "arguments", 0)
            self._said[part] = self._said.get(part, 0) + len(text)
            emit(delta(tool_calls=[_fragment(self._call_indices[place], text)]))

    def whole_arguments(self, place: _Place, text: str | None, emit: _Emit) -> None:
        """Emits what the pieces have left out of the arguments of a function call."""
        self.arguments(place, (text or "")[self._said.get((place, "arguments", 0), 0) :], emit)

    def event(self, place: _Place, event: dict[str, Any], emit: _Emit) -> None:
        """Emits an event of a built-in tool, as it was sent, under the type of its item."""
        # where the item is unknown: `response.web_search_call.searching`
        name = self._kinds.get(place) or str(event.get("type")).split(".")[1]
        emit(_extra({name: event}))

    def added(self, place: _Place, item: dict[str, Any], data: bytes, emit: _Emit) -> None:
        """Takes an item that begins."""
        kind = self._kind(place, item, data)
        if kind == "function_call":
            self._begin_call(place, item, data, emit)
        elif kind == "message":
            self._take_phase(place, item, data, emit)
        elif kind != "reasoning":
            emit(_extra({kind: item}))

    def done(self, place: _Place, item: dict[str, Any], data: bytes, emit: _Emit) -> None:
        """Takes an item that has ended, whether it was heard before or not."""
        self._ended.add(place)
        kind = self._kind(place, item, data)
        if kind == "function_call":
            if place not in self._call_indices:
                self._begin_call(place, item, data, emit)
            self.whole_arguments(place, _text(item, "arguments", data), emit)
        elif kind == "message":
            self._take_phase(place, item, data, emit)
            for index, part in _parts(item, "content", data):
                self._part_done((place, "content", index), part, data, emit)
        elif kind == "reasoning":
            for group in ("summary", "content"):
                for index, part in _parts(item, group, data):
                    self.whole_text("reasoning", (place, group, index), _text(part, "text", data), emit)
            if item.get("encrypted_content") or item.get("content"):
                emit(delta(output_items=[item]))
        else:
            emit(_extra({kind: item, "output_items": [item]}))

    def finish(self, output: list[Any], data: bytes, emit: _Emit) -> None:
        """Takes the whole output, for items that were not heard of or have not ended.

        Some services leave gaps between the places of the items. Then the output tells nothing of which
        is which, and what was heard must do.
        """
        places = range(len(output))
        kinds = [item.get("type") if isinstance(item, dict) else None for item in output]
        if all(place in places and kinds[cast(int, place)] == kind for place, kind in self._kinds.items()):
            for place, item in enumerate(output):
                if place not in self._ended and isinstance(item, dict):
                    self.done(place, item, data, emit)

    def _kind(self, place: _Place, item: dict[str, Any], data: bytes) -> str:
        kind = _text(item, "type", data) or "message"
        self._kinds[place] = kind
        return kind

    def _begin_call(self, place: _Place, item: dict[str, Any], data: bytes, emit: _Emit) -> None:
        index = self._call_indices[place] = self.calls
        self.calls += 1
        arguments = _text(item, "arguments", data) or ""
        self._said[place, "arguments", 0] = len(arguments)
        call_id = _text(item, "call_id", data) or _text(item, "id", data)
        emit(delta(tool_calls=[_fragment(index, arguments, call_id, _text(item, "name", data), "function")]))

    def _take_phase(self, place: _Place, item: dict[str, Any], data: bytes, emit: _Emit) -> None:
        if place not in self._phased and (phase := _text(item, "phase", data)):
            self._phased.add(place)
            emit(delta(phases=[phase]))

    def _part_done(self, at: _Part, part: dict[str, Any], data: bytes, emit: _Emit) -> None:
        self.whole_text("content", at, _text(part, "text", data), emit)
        self.whole_text("refusal", at, _text(part, "refusal", data), emit)
        annotations = checked(list, part.get("annotations"), "annotations of a text", data) or []
        for annotation in annotations[self._annotated.get(at, 0) :]:
            self.annotation(at, annotation, emit)


def _parts(item: dict[str, Any], group: str, data: bytes) -> list[tuple[int, dict[str, Any]]]:
    parts = checked(list, item.get(group), f"{group} of an item", data) or []
    return [(index, part) for index, part in enumerate(parts) if isinstance(part, dict)]


def _text(item: dict[str, Any], key: str, data: bytes) -> str | None:
    return checked(str, item.get(key), f"{key} of an item", data)


def _extra(keys: dict[str, Any]) -> Delta:
    return cast(Delta, {**delta(), **keys})


def _fragment(
    index: int, arguments: str, call_id: str | None = None, name: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    return {
        "id": call_id,
        "function": {"arguments": arguments, "name": name},
        "type": kind,
        "index": index,
    }
