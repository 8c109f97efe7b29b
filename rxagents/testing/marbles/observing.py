"""What an observable does, as a Lane: every message and block in it is read as it comes."""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from pydantic_core import to_jsonable_python
from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ...blocks import Block, StateUpdate
from ...inlets import listen
from ...replays import Replay
from ...streams import MessageStream
from ...values import Completion, FunctionResult, Message
from ..lanes import Called, Event, Lane, Returned, moment

__all__ = ["Observation", "Shown", "state_mark"]

_DETAILS = {"choice": "agent_id", "result": "result"}


class Shown(str):
    """What a lane shows of something that was emitted, and that itself: a message by its text."""

    __slots__ = ("item",)

    item: Any

    def __new__(cls, text: str, item: Any) -> Shown:
        shown = super().__new__(cls, text)
        shown.item = item
        return shown


class Observation(CompositeDisposable):
    """Reads one observable, and all that it emits, from `begin()` until it is disposed.

    A delta is drawn as what it says: its text, or the tool call that it begins. One that says nothing
    and, unless `state` is set, a Completion and a StateUpdate that is not made to be shown, are left out.

    Args:
        source: Any observable.
        loop: Whose time it is, and on which to listen; the calling thread runs it.
        state: Whether every StateUpdate and Completion is noted.
        name: Of the lane.
        on_event: Called after each event of this lane or one within it.
    """

    def __init__(
        self,
        source: Observable[Any],
        loop: AbstractEventLoop,
        *,
        state: bool = False,
        name: str = "",
        detail: dict[str, Any] | None = None,
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._source = source
        self._loop = loop
        self._state = state
        self._name = name
        self._detail = detail or {}
        self._on_event = on_event
        self._events: list[Event | _Opened | _Calling] = []
        self._calls: dict[int, _Calling] = {}
        self.ended = False

    def begin(self) -> None:
        """Subscribes."""
        self.add(listen(self._source, self._loop, self._next, self._failed, self._completed))

    def lane(self) -> Lane:
        """What it has come to so far."""
        events = tuple(event if isinstance(event, Event) else event.event() for event in self._events)
        return Lane(events, self._name, detail=self._detail)

    @property
    def count(self) -> int:
        """How many events there are so far, those of the lanes within it included."""
        inner = (event.inner.count for event in self._events if isinstance(event, _Opened))
        return len(self._events) + sum(inner)

    def _note(self, kind: Any, value: Any = None, detail: Any = None) -> None:
        self._add(Event(self._now(), kind, value, detail))

    def _add(self, event: Event | _Opened | _Calling) -> None:
        self._events.append(event)
        self._on_event()

    def _now(self) -> float:
        return moment(self._loop.time())

    def _next(self, item: Any) -> None:
        if isinstance(item, Block):
            self._open(item, item.name, {"id": item.id, "entry": item.entry})
        elif isinstance(item, MessageStream):
            self._open(item, "", {"id": item.id, "role": item.role, "name": item.name})
        elif isinstance(item, Observable):
            self._open(item, "", {})
        elif type(item) is dict and "content" in item and "tool_calls" in item:
            self._delta(item)
        elif isinstance(item, FunctionResult):
            self._calls.clear()
            self._note("result", Returned(item.result, item.name, item.id))
        elif isinstance(item, Message):
            self._note("message", Shown(item.text, item), item.to_dict())
        elif isinstance(item, StateUpdate):
            if item.shown or self._state:
                self._note(
                    "state", Shown(state_mark(item), item), to_jsonable_python(item.to_dict(), fallback=str)
                )
        elif not isinstance(item, Completion) or self._state:
            self._note("next", item)

    def _open(self, source: Observable[Any], name: str, detail: dict[str, Any]) -> None:
        inner = Observation(
            source, self._loop, state=self._state, name=name, detail=detail, on_event=self._on_event
        )
        self._add(_Opened(self._now(), inner))
        self.add(inner)
        inner.begin()  # after it was noted: what is there already comes at once

    def _delta(self, item: dict[str, Any]) -> None:
        if item["content"]:
            self._note("next", item["content"])
        for fragment in item["tool_calls"] or ():
            self._fragment(fragment)
        rest = {key: value for key, value in item.items() if key not in ("content", "tool_calls")}
        if any(value is not None for value in rest.values()):
            self._note("next", {key: value for key, value in rest.items() if value is not None})

    def _fragment(self, fragment: dict[str, Any]) -> None:
        latest = max(self._calls, default=-1)
        index = fragment.get("index")
        if index is None:
            begins = fragment.get("id") and latest >= 0 and fragment["id"] != self._calls[latest].id
            index = latest + 1 if begins or latest < 0 else latest
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Calling(self._now())
            self._add(call)
        function = fragment.get("function") or {}
        call.id = call.id or fragment.get("id") or ""
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def _failed(self, error: Exception) -> None:
        self.ended = True
        self._note("error", error)

    def _completed(self) -> None:
        self.ended = True
        cut = isinstance(self._source, Replay) and self._source.interrupted
        self._note("interrupted" if cut else "completed")


class _Opened:
    """A lane that began."""

    def __init__(self, at: float, inner: Observation) -> None:
        self._at = at
        self.inner = inner

    def event(self) -> Event:
        return Event(self._at, "open", self.inner.lane())


class _Calling:
    """A tool call while its arguments come in pieces."""

    def __init__(self, at: float) -> None:
        self._at = at
        self.id = ""
        self.name = ""
        self.arguments = ""

    def event(self) -> Event:
        arguments: Any = {}
        if self.arguments:
            try:
                arguments = json.loads(self.arguments)
            except ValueError:
                arguments = self.arguments
        if not isinstance(arguments, dict):
            arguments = self.arguments
        return Event(self._at, "call", Called(self.name, arguments, self.id))


def state_mark(update: StateUpdate) -> str:
    """What a lane shows of a StateUpdate: its kind, and the one word that matters."""
    detail = update.stop or update.data.get(_DETAILS.get(update.kind, "detail"))
    return f"{update.kind}:{detail}" if detail else update.kind
