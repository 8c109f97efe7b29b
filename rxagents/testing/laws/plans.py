"""Plans: operators as data, and how they are built in a world. Here: those that pass messages on, and views.

What a plan is made of is short text, so that an example that breaks a law can be read, shrunk and kept:
`Pipe((Maps("u"), Until("--s|"), View("text")))`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from ... import operators
from ...engine.emitters import Emitter
from ...engine.schedulers import LoopScheduler
from .feeds import Feed
from .lane_texts import steps
from .worlds import Make, Operator, Planted, World

__all__ = ["Maps", "Pipe", "Plan", "Reads", "Shares", "Takes", "Transforms", "Until", "View", "made"]


class Plan(Protocol):
    """An operator as data."""

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        """The operator, with its sources and models in that world.

        Args:
            world: Where it runs.
            numbers: For the ids of agents, so that no two have the same.
        """


def made(plan: Plan) -> Make:
    """How a plan comes into a world."""
    return lambda world: plan.build(world, count(1))


@dataclass(frozen=True, slots=True)
class Pipe:
    """One operator after the other."""

    plans: tuple[Plan, ...] = ()

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        built = [plan.build(world, numbers) for plan in self.plans]
        return lambda source: source.pipe(*built)


@dataclass(frozen=True, slots=True)
class Maps:
    """`map_tokens`: `u` in upper case, `d` drops some, `!` raises for a third token."""

    how: str = "u"

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        return operators.map_tokens(getattr(self, _MAPS[self.how]))

    @staticmethod
    def _upper(token: str) -> str:
        return token.upper()

    @staticmethod
    def _some(token: str) -> str | None:
        return None if ".1 " in token else token

    @staticmethod
    def _raises(token: str) -> str:
        if ".2 " in token:
            raise Planted("map_tokens failed")
        return token


_MAPS = {"u": "_upper", "d": "_some", "!": "_raises"}


@dataclass(frozen=True, slots=True)
class Transforms:
    """`transform`: `p` passes tokens, `2` joins pairs, `s` sleeps, `f` returns early, `!` raises late."""

    how: str = "p"

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        how = self.how

        async def written(tokens: AsyncIterator[str]) -> AsyncIterator[str]:
            kept = ""
            async for token in tokens:
                kept += token
                if how == "s":
                    await asyncio.sleep(world.seconds(1, len(kept)))
                if how == "2" and kept == token:
                    continue
                yield kept
                kept = ""
                if how == "f":
                    return
                if how == "!":
                    raise Planted("transform failed")
            yield kept

        return operators.transform(written)


@dataclass(frozen=True, slots=True)
class Reads:
    """`reading`: `l` the last two, `k` the first and the last, `b` what fits a budget; `!` raises."""

    how: str = "l"

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        return _READS[self.how]()


def _raising(_: Any) -> Any:
    raise Planted("the reading strategy failed")


_READS: dict[str, Callable[[], Operator]] = {
    "l": lambda: operators.last_n(2),
    "k": lambda: operators.top_k_last_n(1, 1),
    "b": lambda: operators.token_budget(20),
    "!": lambda: operators.reading(_raising),
}


@dataclass(frozen=True, slots=True)
class Shares:
    """`shared`."""

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        def operator(source: Observable[Any]) -> Observable[Any]:
            run = operators.shared()(source)
            world.owned.append(run)
            return run

        return operator


@dataclass(frozen=True, slots=True)
class Until:
    """`until`, with a signal on this lane; `p`: pressed by the reader, within its `on_next`."""

    lane: str = "--s|"

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        if self.lane == "p":
            button: rx.Subject[Any] = rx.Subject()
            world.buttons.append(button)
            return operators.until(button)
        *marks, last = steps(self.lane) or [(0, "")]
        if last[1] not in "|#%":
            marks, last = [*marks, last], (0, "")
        name = f"signal{next(numbers)}"
        # in a member of a team, each turn subscribes to it anew
        return operators.until(rx.defer(lambda _: Feed(world, name, marks, last)))


@dataclass(frozen=True, slots=True)
class Takes:
    """`take(n)` of reactivex: it leaves its source in the middle of a delivery."""

    number: int = 1

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        def operator(source: Observable[Any]) -> Observable[Any]:
            some = source.pipe(ops.take(self.number))
            # with a guard of our own: stock operators go on to call a subscriber that has raised
            return Emitter(lambda sink: some.subscribe(sink, scheduler=LoopScheduler(sink.loop)))

        return operator


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at in the end; the options are `i` inputs, `a` asides, `s` state, `o` by arrival."""

    name: str = "text"
    options: str = ""

    def build(self, world: World, numbers: Iterator[int]) -> Operator:
        of: Callable[..., Operator] = getattr(operators, self.name)
        if self.name in ("answer", "transcript"):
            return of()
        options: dict[str, Any] = {"inputs": "i" in self.options}
        if self.name == "markers":
            options["state"] = "s" in self.options
        else:
            options["aside"] = "a" in self.options
        if self.name in ("text", "deltas"):
            options["order"] = "arrival" if "o" in self.options else "message"
        return of(**options)
