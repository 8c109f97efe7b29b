"""Plans of those who follow a fixed order: sequences, chains, loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...participants import Participant
from ...teams import Chain, Loop, Sequence
from ...transcripts import Transcript
from .casts import named
from .plans import Plan
from .worlds import Planted, World

__all__ = ["Line", "Order", "Rounds"]


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
