"""Lanes while the lines of a recording are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...blocks import StateUpdate
from ..lanes import Called, Event, Lane, Returned, moment
from ..marbles.observing import state_mark

__all__ = ["Drawing"]


class Drawing:
    """One lane while its lines are read; `lane()` once all those within it were asked.

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
        self._lane: Lane | None = None

    def open(self, at: float, inner: Drawing) -> None:
        """Another lane begins on this one."""
        self._events.append(_Opened(moment(at), inner))

    def delta(self, at: float, delta: Any) -> None:
        """An increment: its text, and the calls that begin with it."""
        text = delta if isinstance(delta, str) else delta["content"]
        if text:
            self._add(at, "next", str(text))
        for fragment in () if isinstance(delta, str) else delta["tool_calls"] or ():
            self._fragment(at, fragment)

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
        self._add(at, "result", returned)

    def state(self, at: float, kind: str, data: Mapping[str, Any]) -> None:
        """A StateUpdate."""
        self._add(at, "state", state_mark(StateUpdate(kind, data, stop=data.get("stop"))), dict(data))

    def end(self, at: float, how: Any, error: Exception | None, detail: Any) -> None:
        """Its end: `completed`, `interrupted` or `error`."""
        self._add(at, how, error, detail)

    def note(self, **detail: Any) -> None:
        """What became known of it later."""
        self._detail |= {name: value for name, value in detail.items() if value is not None}

    def _add(self, at: float, kind: Any, value: Any = None, detail: Any = None) -> None:
        self._events.append(Event(moment(at), kind, value, detail))

    def lane(self) -> Lane:
        """What it has come to."""
        if self._lane is None:
            events = tuple(event if isinstance(event, Event) else event.event() for event in self._events)
            self._lane = Lane(events, self._name, detail=self._detail)
        return self._lane


class _Opened:
    """A lane that began."""

    def __init__(self, at: float, inner: Drawing) -> None:
        self._at = at
        self._inner = inner

    def event(self) -> Event:
        return Event(self._at, "open", self._inner.lane())


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
