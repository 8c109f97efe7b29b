"""Plans of function agents: `@agent` and `@agent.live`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from reactivex import operators as ops

from ...blocks import Block
from ...engine.emitters import just
from ...functions import agent
from ...participants import Participant
from ...replays import Replay
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript
from .lane_texts import steps
from .plans import Plan
from .talks import Words, token_feed
from .worlds import Planted, World

__all__ = ["Hears", "Replies"]


@dataclass(frozen=True, slots=True)
class Replies:
    """`@agent` of a function.

    Args:
        things: What it replies: `w` a word, `d` a dict, `n` None, `l` a nested list, `s` a state, `c`
            something to await, `e` an error, `m` a message, `b` one in a block, `o` an observable of
            strings, `a` another agent's output; `!` raises.
        parts: For each `m`, `b`, `o` its words, for each `a` its plan.
        how: `r` returns it, `c` is a coroutine function, `g` a generator, `y` an async generator (only there
            does `-` mean a second).
    """

    things: str = "w"
    parts: tuple[Words | Plan, ...] = ()
    how: str = "r"

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        id = f"fn{next(numbers)}"
        reply = _Reply(world, id, self, numbers)
        functions: dict[str, Any] = {
            "r": reply.returned, "c": reply.awaited, "g": reply.yielded, "y": reply.yielded_slowly,
        }  # fmt: skip
        return agent(id=id)(functions[self.how])


class _Later:
    """Something to await that does not mind if nobody does."""

    def __init__(self, world: World, word: str) -> None:
        self._world = world
        self._word = word

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(self._world.seconds(1, 1)).__await__()
        return self._word


class _Reply:
    def __init__(self, world: World, id: str, plan: Replies, numbers: Iterator[int]) -> None:
        self._world = world
        self._id = id
        self._plan = plan
        self._operators = [
            part if isinstance(part, Words) else part.build(world, numbers) for part in plan.parts
        ]
        self._turn = 0

    def _each(self, transcript: Transcript) -> Iterator[tuple[int, Any]]:
        self._turn += 1
        parts = iter(self._operators)
        for position, (gap, mark) in enumerate(steps(self._plan.things)):
            if mark == "!":
                raise Planted(f"{self._id} raised")
            yield gap, self._thing(f"{self._id}/{self._turn}.{position} ", mark, parts, transcript)

    def _thing(self, word: str, mark: str, parts: Iterator[Any], transcript: Transcript) -> Any:
        if mark == "a":
            return next(parts)(just(transcript))
        if mark in "mbo":
            part = next(parts)
            feed = token_feed(self._world, word.strip(), part.lane, queued=part.queued)
            if mark == "o":
                return feed
            message = MessageStream(feed, name=self._id)
            return Block(f"{self._id}-inner", just(message)) if mark == "b" else message
        things: dict[str, Any] = {
            "w": word, "n": None, "l": [word, [None, [word]]], "d": {"content": word},
            "s": StateUpdate("state", {"at": word}, {"said": word}),
            "c": _Later(self._world, word), "e": Planted(f"{self._id} gave an error"),
        }  # fmt: skip
        return things[mark]

    def returned(self, transcript: Transcript) -> Any:
        return [thing for _, thing in self._each(transcript)]

    def awaited(self, transcript: Transcript) -> Any:
        async def answer() -> Any:
            await asyncio.sleep(self._world.seconds(1, 1))
            return self.returned(transcript)

        return self._world.coroutine(answer())

    def yielded(self, transcript: Transcript) -> Iterator[Any]:
        for _, thing in self._each(transcript):
            yield thing

    async def yielded_slowly(self, transcript: Transcript) -> AsyncIterator[Any]:
        for position, (gap, thing) in enumerate(self._each(transcript)):
            await asyncio.sleep(self._world.seconds(gap, position))
            yield thing


def _twin(message: MessageStream) -> MessageStream:
    return MessageStream(message)


@dataclass(frozen=True, slots=True)
class Hears:
    """`@agent.live`: `e` passes messages on, `p` pipes them, `w` answers each, `f` only the first.

    `i` answers without listening, `!` raises, `h` hangs.
    """

    how: str = "e"

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        id = f"live{next(numbers)}"
        how = self.how

        async def each(messages: Replay[MessageStream]) -> AsyncIterator[Any]:
            async for message in messages:
                if how == "e":
                    yield message
                    continue
                said = await message
                yield f"{id} heard {said.text}"
                if how == "f":
                    return

        def at_once(messages: Replay[MessageStream]) -> Any:
            if how == "!":
                raise Planted(f"{id} raised")
            if how == "i":
                return f"{id} "
            return messages.pipe(ops.map(_twin))

        async def hang() -> None:
            await asyncio.get_running_loop().create_future()

        def hanging(messages: Replay[MessageStream]) -> Any:
            return world.coroutine(hang())

        functions: dict[str, Any] = {"h": hanging, "i": at_once, "!": at_once, "p": at_once}
        return agent.live(id=id)(functions.get(how, each))
