"""A lane while it is written: token by token, call by call, with the lanes that begin on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .lanes import Called, Event, Kind, Lane, Returned, moment

__all__ = ["LaneSheet"]


class LaneSheet:
    """One lane while it is written.

    A delta is noted as what it says: its text, the tool call that it begins, and whatever else it carries;
    one that says nothing is left out.

    Args:
        name: Of a block.
        detail: What else is known of it.
    """

    def __init__(self, name: str = "", detail: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._detail = dict(detail or {})
        self._events: list[Event | _Opened | _Calling] = []
        self._calls: dict[int, _Calling] = {}
        self._latest = -1

    def open(self, at: float, inner: LaneSheet) -> None:
        """Another lane begins on this one."""
        self._events.append(_Opened(moment(at), inner))

    def delta(self, at: float, delta: Mapping[str, Any] | str) -> None:
        """An increment of a message."""
        if isinstance(delta, str):
            delta = {"content": delta}
        if delta.get("content"):
            self.add(at, "next", delta["content"])
        for fragment in delta.get("tool_calls") or ():
            self._fragment(at, fragment)
        rest = {key: value for key, value in delta.items() if key not in ("content", "tool_calls")}
        said = {key: value for key, value in rest.items() if value is not None}
        if "restart" in said:
            self._calls.clear()  # those that were about to be made are void
        if said:
            self.add(at, "next", said)

    def _fragment(self, at: float, fragment: Mapping[str, Any]) -> None:
        index = fragment.get("index")
        if index is None:
            latest = self._calls.get(self._latest)
            begins = latest is None or (fragment.get("id") and fragment["id"] != latest.id)
            index = self._latest + 1 if begins else self._latest
        self._latest = index
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Calling(moment(at))
            self._events.append(call)
        function = fragment.get("function") or {}
        call.id = call.id or fragment.get("id") or ""
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def result(self, at: float, returned: Returned) -> None:
        """What a tool answered; the calls that come after it are another round's."""
        self._calls.clear()
        self._latest = -1
        self.add(at, "result", returned)

    def note(self, **detail: Any) -> None:
        """What became known of it later."""
        self._detail |= {name: value for name, value in detail.items() if value is not None}

    def add(self, at: float, kind: Kind, value: Any = None, detail: Any = None) -> None:
        """Anything else that happens on it, its end for one."""
        self._events.append(Event(moment(at), kind, value, detail))

    def lane(self) -> Lane:
        """What it has come to so far."""
        # the innermost first, and no recursion: a thousand nested blocks are more than Python's stack
        sheets = self._sheets()
        lanes: dict[LaneSheet, Lane] = {}
        for sheet in reversed(sheets):
            events = (event.event(lanes) if isinstance(event, _Opened) else event for event in sheet._events)
            whole = tuple(event.event() if isinstance(event, _Calling) else event for event in events)
            lanes[sheet] = Lane(whole, sheet._name, detail=sheet._detail)
        return lanes[self]

    def _sheets(self) -> list[LaneSheet]:
        sheets = [self]
        for sheet in sheets:
            sheets += [event.inner for event in sheet._events if isinstance(event, _Opened)]
        return sheets

    @property
    def count(self) -> int:
        """How many events there are so far, those of the lanes within it included."""
        return sum(len(sheet._events) for sheet in self._sheets())


class _Opened:
    """A lane that began."""

    def __init__(self, at: float, inner: LaneSheet) -> None:
        self._at = at
        self.inner = inner

    def event(self, lanes: Mapping[LaneSheet, Lane]) -> Event:
        return Event(self._at, "open", lanes[self.inner])


class _Calling:
    """A tool call, whose arguments come in pieces."""

    def __init__(self, at: float) -> None:
        self._at = at
        self.id = ""
        self.name = ""
        self.arguments = ""

    def event(self) -> Event:
        try:
            arguments = json.loads(self.arguments or "{}")
        except ValueError:
            arguments = None
        whole = arguments if isinstance(arguments, dict) else self.arguments
        return Event(self._at, "call", Called(self.name, whole, self.id))
