"""What an observable does, as a Lane: every message and block in it is read as it comes."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from pydantic_core import to_jsonable_python
from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ...blocks import Block
from ...engine.inlets import listen
from ...replays import Replay
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...values import Completion, FunctionResult, Message
from ..lane_sheets import LaneSheet
from ..lanes import Kind, Lane, Returned, Shown, state_mark

__all__ = ["Observation"]


class Observation(CompositeDisposable):
    """Reads one observable, and all that it emits, from `begin()` until it is disposed.

    Unless `state` is set, a Completion and a StateUpdate that is not made to be shown are left out.

    Args:
        source: Any observable.
        loop: Whose time it is, and on which to listen; the calling thread runs it.
        state: Whether every StateUpdate and Completion is noted.
        sheet: Where to note it.
        on_event: Called after each event of this lane or one within it.
    """

    def __init__(
        self,
        source: Observable[Any],
        loop: AbstractEventLoop,
        *,
        state: bool = False,
        sheet: LaneSheet | None = None,
        on_event: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._source = source
        self._loop = loop
        self._state = state
        self._sheet = sheet or LaneSheet()
        self._on_event = on_event

    def begin(self) -> None:
        """Subscribes."""
        self.add(listen(self._source, self._loop, self._next, self._failed, self._completed))

    def lane(self) -> Lane:
        """What it has come to so far."""
        return self._sheet.lane()

    @property
    def count(self) -> int:
        """How many events there are so far, those of the lanes within it included."""
        return self._sheet.count

    def _next(self, item: Any) -> None:
        now = self._loop.time()
        if isinstance(item, Block):
            self._open(item, LaneSheet(item.name, {"id": item.id, "entry": item.entry}))
        elif isinstance(item, MessageStream):
            self._open(item, LaneSheet("", {"id": item.id, "role": item.role, "name": item.name}))
        elif isinstance(item, Observable):
            self._open(item, LaneSheet())
        elif type(item) is dict and "content" in item and "tool_calls" in item:
            self._sheet.delta(now, item)
            self._on_event()
        elif isinstance(item, FunctionResult):
            self._sheet.result(now, Returned(item.result, item.name, item.id))
            self._on_event()
        elif isinstance(item, Message):
            self._note("message", Shown(item.text, item), item.to_dict())
        elif isinstance(item, StateUpdate):
            if item.shown or self._state:
                data = to_jsonable_python(item.to_dict(), fallback=str)
                self._note("state", Shown(state_mark(item.kind, data), item), data)
        elif not isinstance(item, Completion) or self._state:
            self._note("next", item)

    def _open(self, source: Observable[Any], sheet: LaneSheet) -> None:
        inner = Observation(source, self._loop, state=self._state, sheet=sheet, on_event=self._on_event)
        self._sheet.open(self._loop.time(), sheet)
        self._on_event()
        self.add(inner)
        inner.begin()  # after it was noted: what is there already comes at once

    def _note(self, kind: Kind, value: Any = None, detail: Any = None) -> None:
        self._sheet.add(self._loop.time(), kind, value, detail)
        self._on_event()

    def _failed(self, error: Exception) -> None:
        self._note("error", error)

    def _completed(self) -> None:
        cut = isinstance(self._source, Replay) and self._source.interrupted
        self._note("interrupted" if cut else "completed")
