"""Lanes: what happened, and when, as values. What diagrams are parsed to, tests compare and `draw` draws.

```
out    ---(bot|)       Lane((Event(3.0, "open", bot), Event(3.0, "completed")))
bot    ---m--|         Lane((Event(3.0, "open", m), Event(6.0, "completed")), name="bot")
m      ---Hi-|         Lane((Event(3.0, "next", "Hi"), Event(6.0, "completed")))
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["STATE_WORDS", "Called", "Event", "Kind", "Lane", "Returned", "Shown", "moment", "state_mark"]

Kind = Literal["next", "call", "result", "message", "state", "open", "completed", "error", "interrupted"]


# which of the data of a StateUpdate is the word that a lane shows
STATE_WORDS = {"choice": "agent_id", "handoff": "to", "result": "result"}


def moment(seconds: float) -> float:
    """A time to the tick: a microsecond, as on the virtual clock, so that equal times are equal."""
    return round(seconds, 6)


class Shown(str):
    """What a lane shows of something that was emitted, and that itself: a message by its text."""

    __slots__ = ("item",)

    item: Any

    def __new__(cls, text: str, item: Any) -> Shown:
        shown = super().__new__(cls, text)
        shown.item = item
        return shown


def state_mark(kind: str, data: Mapping[str, Any]) -> str:
    """What a lane shows of a StateUpdate: its kind, and the one word of its data that matters."""
    word = data.get("stop") or data.get(STATE_WORDS.get(kind, "detail"))
    return f"{kind}:{word}" if word else kind


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call that a model asked for.

    Args:
        name: The tool's name.
        arguments: JSON data; a string where they are no JSON object; None in a diagram that leaves
            them open.
        id: The id of the call.
    """

    name: str
    arguments: Mapping[str, Any] | str | None = None
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a tool answered.

    Args:
        text: What the model gets to read.
        name: The tool's name.
        id: The id of the call that this answers.
    """

    text: str
    name: str = field(default="", compare=False)
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Args:
        at: Seconds since the recording began, see `moment`.
        kind: What it is; `value` is then
            `next`: any value; a token of a message or of `text()` is a string,
            `call`: a Called, at the time of its first fragment,
            `result`: a Returned,
            `message`: the text of a finished Message,
            `state`: `kind` or `kind:detail` of a StateUpdate, such as `choice:clerk`,
            `open`: the Lane of an observable that was emitted: a message, a block, any other,
            `completed`, `interrupted`: None,
            `error`: the exception (in a recording that was read from a file, a RecordedError).
        value: See there.
        detail: What else is known, as JSON-able data: of a message, its dict; of a state, all of it.
    """

    at: float
    kind: Kind
    value: Any = None
    detail: Any = field(default=None, compare=False, repr=False)

    @property
    def ends(self) -> bool:
        """Whether nothing can come after it on its lane."""
        return self.kind in ("completed", "error", "interrupted")


@dataclass(frozen=True, slots=True)
class Lane:
    """One observable: its events in the order of time, with the lanes that began on it inside.

    Args:
        events: What happened.
        name: Of a block; messages and all others have none.
        caret: Where a `^` stands in its diagram, in seconds; nothing that is compared.
        detail: What else is known, as JSON-able data: of a message `role` and `name` (its speaker), of
            a block `entry`, of all an `id`.
    """

    events: tuple[Event, ...] = ()
    name: str = ""
    caret: float | None = field(default=None, compare=False)
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes that began on this one, in order."""
        return tuple(event.value for event in self.events if event.kind == "open")

    @property
    def end(self) -> Event | None:
        """Its last event, if it has ended."""
        return self.events[-1] if self.events and self.events[-1].ends else None

    @property
    def last(self) -> float:
        """The time of the last event on it or within it; 0.0 if there is none."""
        return max((event.at for lane in self.walk() for event in lane.events), default=0.0)

    def walk(self) -> Iterator[Lane]:
        """This lane, then those within it, depth first."""
        stack = [self]
        while stack:
            lane = stack.pop()
            yield lane
            stack.extend(reversed(lane.lanes))
