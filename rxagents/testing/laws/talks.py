"""Words and Talk: random conversations as data, and how they come to life in a world.

The marks on the lane of a message:
```
a  a token          b  a token as a plain string     .  the empty token       o  a delta of nothing
?  a refusal        ~  a token of reasoning          $  usage                 1  a call of the first tool …
=  what a tool answered
```
On that of a conversation:
```
m  a message        B  a block                       A  a block aside         R  one that replaces
u  the user's word  w  a finished message            C  one that catches stops
s  a state          x  a stop                        X  a stop of the run     T  a transcript
e  a state with a message that enters                d  one that drops a message, and has another
```
The ends are `|` completed, `#` failed, `%` failed with a StopIteration; without one it never ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reactivex import Observable

from ...blocks import Block
from ...saying.ordering import in_turn
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript
from ...values import Completion, FunctionResult, Message, Usage, UserMessage, delta
from .feeds import Feed
from .lane_texts import drawn, steps
from .worlds import World

__all__ = ["Talk", "Words", "described", "played", "token_feed"]

_ENDS = "|#%"
_ENTRIES: dict[str, Any] = {"B": "append", "A": "aside", "R": "replace_last", "C": "append"}
_USAGE = Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3)


@dataclass(frozen=True, slots=True)
class Words:
    """A message: what comes on its lane."""

    lane: str
    queued: bool = True


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation, or what is in a block: its lane, and for each `m`, `B`, `A`, `R`, `C` what is in it."""

    lane: str
    parts: tuple[Words | Talk, ...] = ()
    queued: bool = True


def _split(lane: str) -> tuple[list[tuple[int, str]], tuple[int, str]]:
    marks = steps(lane)
    if marks and marks[-1][1] in _ENDS:
        return marks[:-1], marks[-1]
    return marks, (0, "")


def token_feed(world: World, name: str, lane: str, *, queued: bool = True) -> Feed:
    """The tokens of a message, or of a model's answer, each of them unlike any other."""
    marks, end = _split(lane)
    tokens = [(gap, _token(name, position, mark)) for position, (gap, mark) in enumerate(marks)]
    return Feed(world, name, tokens, end, queued=queued)


def _token(name: str, position: int, mark: str) -> Any:
    text = f"{name}.{position} "
    if mark == "b":
        return text
    if mark == ".":
        return delta("")
    if mark == "o":
        return delta()
    if mark == "?":
        return delta(refusal=text)
    if mark == "~":
        return delta(reasoning=text)
    if mark == "$":
        return Completion(_USAGE, "stop", "model")
    if mark == "=":
        return FunctionResult("tool", text, f"{name}.{position - 1}")
    if mark.isdigit():
        arguments = json.dumps({"input": text}) if mark in "56" else "{}"  # for an agent as a tool
        function = {"arguments": arguments, "name": f"tool{mark}"}
        call = {"id": f"{name}.{position}", "function": function, "type": "function", "index": position}
        return delta(tool_calls=[call])
    return delta(text)


def played(world: World, talk: Talk, *, by_turns: bool = False) -> Observable[Any]:
    """The conversation as a source, with all that begins on it; by turns, each when the last has ended."""
    return _Player(world, by_turns).feed("source", talk)


class _Player:
    def __init__(self, world: World, by_turns: bool) -> None:
        self._world = world
        self._by_turns = by_turns
        self._names = _names()

    def feed(self, name: str, talk: Talk) -> Observable[Any]:
        marks, end = _split(talk.lane)
        parts = iter(talk.parts)
        items = [(gap, self._item(f"{name}.{at}", mark, parts)) for at, (gap, mark) in enumerate(marks)]
        feed = Feed(self._world, name, items, end, queued=talk.queued)
        return in_turn(feed) if self._by_turns else feed

    def _item(self, place: str, mark: str, parts: Iterator[Words | Talk]) -> Any:
        if mark == "u":
            return MessageStream.of(UserMessage(f"{place} "))
        if mark == "w":
            return MessageStream.of(Message(role="assistant", content=f"{place} ", usage=_USAGE))
        if mark == "s":
            variables = {"last": place, place: 1}
            return StateUpdate("state", {"at": place}, variables, _USAGE, (("info", "state", place),))
        if mark in "ed":
            enters = (Message(role="assistant", content=f"{place} ", usage=_USAGE),)
            return StateUpdate("update", messages=enters, drop=1 if mark == "d" else 0)
        if mark in "xX":
            return StateUpdate("stop", stop=place, scope="run" if mark == "X" else "team")
        if mark == "T":
            said = Transcript().with_message(UserMessage(f"{place} "))
            return said.with_message(Message(role="assistant", content=f"{place} "))
        name, part = next(self._names), next(parts)
        if isinstance(part, Words):
            return MessageStream(token_feed(self._world, name, part.lane, queued=part.queued), name=name)
        return Block(name, self.feed(name, part), entry=_ENTRIES[mark], catches_stops=mark == "C")


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"i{number}"


def described(talk: Talk) -> list[tuple[str, str]]:
    """The lanes of a conversation, each with its name."""
    names = _names()
    lines: list[tuple[str, str]] = []

    def describe(name: str, part: Words | Talk) -> None:
        if isinstance(part, Words):
            lines.append((name, part.lane or "(nothing, ever)"))
            return
        marks, end = _split(part.lane)
        parts = iter(part.parts)
        place = len(lines)
        now = 0
        events: list[tuple[float, str]] = []
        for gap, mark in (*marks, end):
            now += gap
            if mark in ("m", *_ENTRIES):
                inner = next(names)
                describe(inner, next(parts))
                mark = inner if mark in "mB" else f"{inner}:{_ENTRIES[mark] if mark != 'C' else 'team'}"
            if mark:
                events.append((now, mark))
        lines.insert(place, (name, drawn(events) or "(nothing, ever)"))

    describe("source", talk)
    return lines
