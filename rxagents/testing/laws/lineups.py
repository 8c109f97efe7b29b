"""Plans of teams in which no model decides: in a fixed order, side by side, one in place of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from ...participants import Participant
from ...teams import Chain, Loop, Parallel, Race, Sequence, Switch
from ...transcripts import Transcript
from ...values import Message
from .casts import named
from .feeds import Feed
from .lane_texts import steps
from .plans import Plan
from .worlds import Planted, World

__all__ = ["Contest", "Line", "Order", "Relay", "Rounds", "Side"]


@dataclass(frozen=True, slots=True)
class Order:
    """A Sequence, with a system prompt if `prompt` is one."""

    steps: tuple[Plan, ...]
    prompt: str = ""

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        steps = [named(plan.build(world, numbers), numbers) for plan in self.steps]
        return Sequence(f"order{next(numbers)}", steps, system_prompt=self.prompt)


@dataclass(frozen=True, slots=True)
class Line:
    """A Chain, of which all is kept, or only what the last says."""

    steps: tuple[Plan, ...]
    last: bool = False

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        steps = [named(plan.build(world, numbers), numbers) for plan in self.steps]
        return Chain(f"line{next(numbers)}", steps, keep="last" if self.last else "all")


@dataclass(frozen=True, slots=True)
class Rounds:
    """A Loop.

    Args:
        steps: Who is asked in each turn.
        max_turns: As of a Loop.
        until: How many messages are enough; 0: there is no `until`, -1: it raises.
    """

    steps: tuple[Plan, ...]
    max_turns: int = 2
    until: int = 0

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        steps = [named(plan.build(world, numbers), numbers) for plan in self.steps]
        until = self._enough if self.until else None
        return Loop(f"rounds{next(numbers)}", steps, until=until, max_turns=self.max_turns)

    def _enough(self, transcript: Transcript) -> bool:
        if self.until < 0:
            raise Planted("until failed")
        return len(transcript) >= self.until


@dataclass(frozen=True, slots=True)
class Side:
    """A Parallel.

    Args:
        members: Who is in it.
        how: `m` in the order of the members, `k` keeps errors; else by arrival, and fails.
        places: How many may run at once; 0: all.
    """

    members: tuple[Plan, ...]
    how: str = ""
    places: int = 0

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        members = [named(plan.build(world, numbers), numbers) for plan in self.members]
        return Parallel(
            f"side{next(numbers)}",
            members,
            order="member" if "m" in self.how else "arrival",
            on_error="keep" if "k" in self.how else "fail",
            max_concurrent=self.places or None,
        )


@dataclass(frozen=True, slots=True)
class Contest:
    """A Race.

    Args:
        members: Who is in it.
        winner: `t` the first token, `r` the first response; by a function `e` an even one, `n` none, `!`
            raises.
    """

    members: tuple[Plan, ...]
    winner: str = "t"

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        members = [named(plan.build(world, numbers), numbers) for plan in self.members]
        winners: dict[str, Any] = {"t": "first_token", "r": "first_response"}
        return Race(f"race{next(numbers)}", members, winners.get(self.winner, self._will_do))

    def _will_do(self, answer: Message) -> bool:
        if self.winner == "!":
            raise Planted("the winner's function failed")
        return self.winner == "e" and not len(answer.text) % 2


@dataclass(frozen=True, slots=True)
class Relay:
    """A Switch.

    Args:
        members: Who is in it.
        lane: Of the selector: `0` the first member, …, `n` nobody, `x` who is no member; `p`: the reader
            selects the first, within its `on_next`.
        once: Whether the selector is a function, which gives what is first on the lane.
    """

    members: tuple[Plan, ...]
    lane: str = "0|"
    once: bool = False

    def build(self, world: World, numbers: Iterator[int]) -> Participant:
        members = [named(plan.build(world, numbers), numbers) for plan in self.members]
        ids = [member.id for member in members]
        *marks, last = [(gap, mark, _chosen(ids, mark)) for gap, mark in steps(self.lane) or [(0, "n")]]
        selector: Any
        if self.once:
            _, _, first = [*marks, last][0]
            selector = lambda transcript: first  # noqa: E731
        elif self.lane == "p":
            button: rx.Subject[Any] = rx.Subject()
            world.buttons.append(button)
            selector = button.pipe(ops.map(lambda _: ids[0]), ops.start_with(ids[-1]))
        else:
            if last[1] not in "|#%":
                marks, last = [*marks, last], (0, "", None)
            selector = self._feed(world, f"selector{next(numbers)}", marks, last)
        return Switch(f"relay{next(numbers)}", members, selector)

    @staticmethod
    def _feed(world: World, name: str, marks: list[Any], last: Any) -> Observable[Any]:
        items = [(gap, id) for gap, _, id in marks]
        # in a member of a team, each turn subscribes to it anew
        return rx.defer(lambda _: Feed(world, name, items, last[:2]))


def _chosen(ids: list[str], mark: str) -> str | None:
    if mark == "n":
        return None
    return ids[int(mark) % len(ids)] if mark.isdigit() else "nobody"
