"""Plans of those who take turns: agents, teams, users, function agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from reactivex import Observable

from ...agents import Agent
from ...handing.handoffs import Handoff
from ...llm.requests import LLM, ChatRequest
from ...named_operators import as_agent
from ...participants import Participant
from ...teams import Team
from ...tooling.tools import Tool
from ...transcripts import Transcript
from ...users import User
from .feeds import Feed
from .lane_texts import steps
from .plans import Plan
from .talks import token_feed
from .worlds import Operator, Planted, PlantedStop, World

__all__ = ["Bot", "Crew", "Named", "Person", "named"]


@dataclass(frozen=True, slots=True)
class Bot:
    """An Agent.

    Args:
        answers: The lane of each answer of its model, over and over again; `!`: the model raises.
        tools: A letter for each: `n` answers now, `w` after a second, `t` in a thread; `x` raises, `s` a
            StopIteration, `z` in a thread; `v` never answers.
        max_rounds: As of an Agent.
        update: How its words enter: `r` in place of the last message, `n` not at all, `f` by a function
            that puts them first, `!` by one that raises; else at the end.
        asks: Its agents as tools, `5` and `6` on the lanes of the answers.
        hands: Whom it may hand over to, `7` and `8` there.
        back: Whether those may hand back, `9`.
        sticky: Whether whom it was handed over to goes on in the next turn.
    """

    answers: tuple[str, ...] = ("a|",)
    tools: str = ""
    max_rounds: int = 3
    update: str = ""
    asks: tuple[Plan, ...] = ()
    hands: tuple[Plan, ...] = ()
    back: bool = False
    sticky: bool = True

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        id = f"bot{next(numbers)}"
        tools = [_tool(number, letter) for number, letter in enumerate(self.tools, 1)]
        asked = [named(plan.build(world, numbers), numbers) for plan in self.asks]
        handed = [named(plan.build(world, numbers), numbers) for plan in self.hands]
        bot = Agent(
            id,
            _model(world, id, self.answers),
            tools=[*tools, *(each.as_tool(name=f"tool{n}") for n, each in enumerate(asked, 5))],
            max_rounds=self.max_rounds,
            update_strategy=_UPDATES[self.update],
            handoffs=[Handoff(each, name=f"tool{n}") for n, each in enumerate(handed, 7)],
            max_handoffs=3,
            sticky_handoffs=self.sticky,
        )
        for each in handed if self.back else ():
            if isinstance(each, Agent) and each.toolbox.get("tool9") is None:
                each.register_handoff(Handoff(bot, name="tool9"))
        return bot


def _first(before: Any, said: Any) -> Any:
    return (*said, *before)


def _raises(before: Any, said: Any) -> Any:
    raise Planted("the update strategy failed")


_UPDATES: dict[str, Any] = {"": "append", "r": "replace_last", "n": "none", "f": _first, "!": _raises}


def _model(world: World, id: str, lanes: tuple[str, ...]) -> LLM:
    calls = count()

    def answer(request: ChatRequest) -> Observable[Any]:
        world.requests.append(request)
        number = next(calls)
        lane = lanes[number % len(lanes)]
        if lane == "!":
            raise Planted(f"the model of {id} raised")
        return token_feed(world, f"{id}/{number}", lane)

    return answer


@cache  # making one takes longer than most examples
def _tool(number: int, letter: str) -> Tool:
    def at_once() -> str:
        if letter in "xz":
            raise Planted("the tool failed")
        return f"result {number}"

    async def awaited() -> str:
        if letter == "w":
            await asyncio.sleep(1)
        elif letter == "v":
            await asyncio.get_running_loop().create_future()
        elif letter == "s":
            raise PlantedStop("the tool failed")
        return at_once()

    return Tool(at_once if letter in "tz" else awaited, name=f"tool{number}", description="a tool")


@dataclass(frozen=True, slots=True)
class Crew:
    """A Team.

    Args:
        members: Who is in it; who has no id gets one.
        router: The answers of its model, over and over again: `0` the first member, …, `x` nobody, `#`
            fails, `!` raises; with `-` for a second before it.
        follow: For each member, the digits of those who may follow; None: anybody.
        max_turns: As of a Team.
        stop: How many messages make the stop callback true; 0: there is none, -1: it raises.
    """

    members: tuple[Plan, ...]
    router: str = "0"
    follow: tuple[str, ...] | None = None
    max_turns: int = 2
    stop: int = 0

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        members = [named(plan.build(world, numbers), numbers) for plan in self.members]
        ids = [member.id for member in members]
        follow = None
        if self.follow is not None:
            follow = {
                id: [ids[int(digit) % len(ids)] for digit in digits]
                for id, digits in zip(ids, self.follow, strict=False)
            }
        id = f"crew{next(numbers)}"
        return Team(
            _router(world, id, self.router, ids),
            members,
            id,
            allowed_transitions=follow,
            max_turns=self.max_turns,
            stop_callback=self._stopped if self.stop else None,
        )

    def _stopped(self, transcript: Transcript) -> bool:
        if self.stop < 0:
            raise Planted("the stop callback failed")
        return len(transcript) >= self.stop


def named(operator: Operator, numbers: Iterator[int]) -> Participant:
    """The operator, with an id if it has none."""
    if isinstance(operator, Participant):
        return operator
    return as_agent(f"op{next(numbers)}", operator)


def _router(world: World, id: str, lane: str, ids: list[str]) -> LLM:
    script = steps(lane) or [(0, "0")]
    calls = count()

    def answer(request: ChatRequest) -> Observable[Any]:
        world.requests.append(request)
        number = next(calls)
        gap, mark = script[number % len(script)]
        if mark == "!":
            raise Planted(f"the router of {id} raised")
        chosen = ids[int(mark) % len(ids)] if mark.isdigit() else "nobody"
        text = json.dumps({"agent_id": chosen, "reason": ""})
        end = "#" if mark == "#" else "|"
        return Feed(world, f"{id}/{number}", [(gap, text)], (0, end))

    return answer


@dataclass(frozen=True, slots=True)
class Named:
    """`as_agent` of an operator."""

    plan: Plan

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        return as_agent(f"op{next(numbers)}", self.plan.build(world, numbers))


@dataclass(frozen=True, slots=True)
class Person:
    """A User, unattended without answers; else `n` answers now, `a` after a second, `t` in a thread.

    `e` has left, `!` raises, `i` gives a number, `v` never answers.
    """

    answers: str = ""

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        id = f"user{next(numbers)}"
        if not self.answers:
            return User(id, "unattended")
        turns = count()

        def answered() -> Any:
            turn = next(turns)
            mark = self.answers[turn % len(self.answers)]
            if mark == "e":
                raise EOFError
            if mark == "!":
                raise Planted("the user failed")
            return 1 if mark == "i" else f"{id}/{turn} "

        async def ask(prompt: str) -> Any:
            if self.answers[0] == "a":
                await asyncio.sleep(world.seconds(1, 1))
            elif self.answers[0] == "v":
                await asyncio.get_running_loop().create_future()
            return answered()

        in_thread = self.answers[0] == "t"
        return User(id, interaction_function=(lambda prompt: answered()) if in_thread else ask)
