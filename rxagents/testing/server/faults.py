"""What can go wrong on the way to a model, to order: answers of a script that only the server knows.

An answer on its way is a list of steps: the events (bytes) and, between them, what the connection
does. A fault is a function on such lists, so faults can be put into each other:
`Paused(2, Dropped(4, "one two three"))`. The `after` of each counts the events that stand before
it; the first event of a reply is the opening one, which carries the role and no text. If there are
fewer events, it comes after the last of them, before the end of the HTTP body. Over the Responses API,
which has many events for one increment, all those of an increment count as one: so a fault comes at the
same place in the answer over both APIs.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from ...errors import ScriptError

__all__ = [
    "Act",
    "Dropped",
    "Endless",
    "Fault",
    "HTTPFault",
    "Malformed",
    "Paused",
    "Raw",
    "Stalled",
    "Step",
    "plan",
]

_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")


class Act(Enum):
    """What the connection does between two events."""

    PAUSE = "pause"
    REPEAT = "repeat"
    STALL = "stall"
    DROP = "drop"
    RESET = "reset"


Step: TypeAlias = bytes | Act


@dataclass(frozen=True, slots=True)
class HTTPFault:
    """An HTTP error instead of an answer, in OpenAI's error JSON.

    Args:
        status: The HTTP status code.
        message: The provider's words.
        headers: Further headers, such as `{"Retry-After": "1"}` (seconds).
        code: The provider's code for it, such as `rate_limit_exceeded`.
        param: The parameter of the request that it is about.
    """

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes as the body, to replay a recorded stream; its events are sent one by one."""

    body: bytes

    def steps(self) -> list[Step]:
        """The body, cut after each event."""
        return [event for event in _EVENT_END.split(self.body) if event]


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """What befalls a reply in the midst of it.

    Args:
        after: How many events come before it; 0 is after the headers. Where the request asked for
            no stream, it is always 0.
        reply: The answer that it befalls, possibly a fault itself.
    """

    after: int
    reply: object

    @abstractmethod
    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        """The steps of the answer, given those before the fault and the rest."""


@dataclass(frozen=True, slots=True)
class Dropped(Fault):
    """The connection is closed after some events, without the end of the HTTP body.

    Args:
        reset: It is reset (TCP RST) instead of closed.
    """

    reset: bool = False

    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        return [*before, Act.RESET if self.reset else Act.DROP]


@dataclass(frozen=True, slots=True)
class Malformed(Fault):
    """Among the events comes one that is no JSON; the others follow.

    Args:
        data: What that event holds.
    """

    data: str = "{not json"

    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        return [*before, f"data: {self.data}\n\n".encode(), *rest]


@dataclass(frozen=True, slots=True)
class Stalled(Fault):
    """After some events nothing comes, until the client leaves or the server stops."""

    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        return [*before, Act.STALL]


@dataclass(frozen=True, slots=True)
class Paused(Fault):
    """After some events nothing comes until `release()` of the server or of the request is called."""

    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        return [*before, Act.PAUSE, *rest]


@dataclass(frozen=True, slots=True)
class Endless(Fault):
    """The last event before it is sent again and again, until `release()` of the server or of the request."""

    def befall(self, before: list[Step], rest: list[Step]) -> list[Step]:
        return [*before, Act.REPEAT, *rest]


def plan(answer: object, render: Callable[[object], list[Step]], *, streaming: bool) -> list[Step]:
    """The steps in which an answer goes over the wire.

    Args:
        answer: What the script said: a reply, possibly within faults.
        render: The steps of what is no fault.
        streaming: Whether the client asked for a stream.

    Raises:
        ScriptError: An HTTPFault stands within another fault, where the headers are sent already.
    """
    if isinstance(answer, Raw):
        return answer.steps()
    if isinstance(answer, HTTPFault):
        raise ScriptError("an HTTPFault comes with the headers; it cannot befall an answer in its midst")
    if not isinstance(answer, Fault):
        return render(answer)
    steps = plan(answer.reply, render, streaming=streaming)
    events = [index for index, step in enumerate(steps) if isinstance(step, bytes)]
    after = answer.after if streaming else 0
    at = events[after] if after < len(events) else len(steps)
    return answer.befall(steps[:at], steps[at:])
