"""Early calls: a call that starts as soon as its arguments are whole, while the model still speaks.

A model writes the arguments of a call as one JSON object, in pieces. Once that object is closed, nothing
but white space can follow it, whoever the provider: so the call can start.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from ..engine.loops import dropped
from ..values import FunctionResult, ToolCall

__all__ = ["EarlyCalls"]

_OUTSIDE = re.compile(r'[{}\[\]"]')
_INSIDE = re.compile(r'["\\]')

Task = asyncio.Task[FunctionResult]


class EarlyCalls:
    """The calls of one answer of a model that were started before it had ended.

    A call without an id, and one without arguments, is not started early.

    Args:
        start: Starts a call, or gives None where it is to wait for the whole answer.
    """

    def __init__(self, start: Callable[[ToolCall], Task | None]) -> None:
        self._start = start
        self._written: dict[int, _Written] = {}
        self._latest = -1

    def hear(self, item: Any) -> None:
        """Hears what the model says; a `restart` makes void what it said before, and the calls in it."""
        if type(item) is not dict:
            return
        if item.get("restart") is not None:
            self.cancel()
        calls = item.get("tool_calls")
        if calls.__class__ in (list, tuple):
            for fragment in calls:
                if isinstance(fragment, dict):
                    self._fragment(fragment)

    def taken(self, call: ToolCall) -> Task | None:
        """The task of a call, as the whole answer has it; None if it was not started, or differs."""
        for written in self._written.values():
            task = written.task
            if task is not None and written.is_(call):
                written.task = None
                return task
        return None

    def cancel(self) -> None:
        """Cancels the calls that nobody has taken; what they came to is dropped."""
        written, self._written, self._latest = self._written, {}, -1
        for call in written.values():
            call.discard()

    def _fragment(self, fragment: dict[str, Any]) -> None:
        # the same rules as in `assembly`; what is malformed fails the message, and is passed over here
        index, call_id = fragment.get("index"), fragment.get("id")
        if not isinstance(index, int):
            latest = self._written.get(self._latest)
            begins = latest is None or (call_id and call_id != latest.id)
            index = self._latest + 1 if begins else self._latest
        self._latest = index
        call = self._written.setdefault(index, _Written())
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        if call.add(call_id, function.get("name"), function.get("arguments")):
            call.task = self._start(call.call)


class _Written:
    """A call while it is written."""

    def __init__(self) -> None:
        self.id = ""
        self.task: Task | None = None
        self._name = ""
        self._pieces: list[str] = []
        self._depth = 0
        self._in_text = False
        self._escaped = False
        self._closed = False

    @property
    def call(self) -> ToolCall:
        """What it is so far."""
        return ToolCall(id=self.id, function={"arguments": "".join(self._pieces), "name": self._name})

    def is_(self, call: ToolCall) -> bool:
        """Whether the whole answer says the same of it; white space may have followed."""
        mine = self.call
        return (mine.id, mine.function["name"], mine.function["arguments"].strip()) == (
            call.id,
            call.function.get("name"),
            call.function.get("arguments", "").strip(),
        )

    def add(self, call_id: object, name: object, piece: object) -> bool:
        """Adds a fragment; whether the call is whole by it and can start."""
        self.id = self.id or (call_id if isinstance(call_id, str) else "")
        name = name if isinstance(name, str) else ""
        piece = piece if isinstance(piece, str) else ""
        self._name += name
        self._pieces.append(piece)
        if self._closed:
            if name or piece.strip():
                self.discard()  # it was not whole after all: it starts anew with the whole answer
            return False
        self._closed = self._closes(piece)
        return self._closed and bool(self.id and self._name) and _is_object("".join(self._pieces))

    def discard(self) -> None:
        """Cancels it, if it was started."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            task.add_done_callback(partial(_drop, self._name))

    def _closes(self, piece: str) -> bool:
        """Whether a brace of this piece closes the outermost one."""
        at = 1 if self._escaped and piece else 0
        self._escaped = self._escaped and not piece
        while (mark := (_INSIDE if self._in_text else _OUTSIDE).search(piece, at)) is not None:
            at = mark.end()
            match mark[0]:
                case '"':
                    self._in_text = not self._in_text
                case "\\":
                    self._escaped = at == len(piece)
                    at += 1
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth <= 0:
                        return True
        return False


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _drop(name: str, task: Task) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        dropped(error, f"an early call of the tool {name} failed after it had become void")
