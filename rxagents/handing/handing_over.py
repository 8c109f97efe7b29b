"""The turn of an agent that may hand over: whoever it hands over to goes on with it, in its own block.

The agent's own messages and the blocks of the others stand side by side in the agent's block, in the order
in which they speak. So however often they hand over to each other, nothing nests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from reactivex import Observable

from ..blocks import Block, Scope
from ..engine.bridges import forward
from ..engine.emitters import just
from ..errors import MaxHandoffsError
from ..participants import Emit, until_ended
from ..replays import Replay
from ..state_updates import StateUpdate
from ..strategies.readings import read
from ..transcripts import Item, Transcript
from ..waiting.paused_turns import paused_agents
from .handoff_trails import trail
from .handoffs import Handed, Handoff

__all__ = ["HandsOver", "Part", "TurnHandedOver"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a turn: what a model says until it has answered or hands over.

    Args:
        told: What its system message says about the handoff; may be empty.
        handed: Called when the part has ended with a handoff; gives what is said of it.
    """

    told: str
    handed: Callable[[Handed], tuple[StateUpdate, ...]]


class HandsOver(Protocol):
    """An agent that may hand over, as its turn sees it."""

    id: str
    max_handoffs: int
    sticky_handoffs: bool

    @property
    def handoffs(self) -> tuple[Handoff, ...]: ...

    def _part(self, transcript: Transcript, part: Part) -> Observable[Item]:
        """Its own part of a turn, cold."""

    def _entered(self, items: Observable[Item], transcript: Transcript) -> Block:
        """The block of its part of another one's turn."""


class TurnHandedOver:
    """One turn of an agent that may hand over.

    Args:
        first: The agent whose turn it is.
        emit: Takes what stands in its block.
    """

    def __init__(self, first: HandsOver, emit: Emit) -> None:
        self._first = first
        self._emit = emit
        self._path: tuple[Handoff, ...] = ()
        self._speaker: Any = first
        self._handed: Handed | None = None

    async def run(self, transcript: Transcript) -> None:
        """Lets speak whoever it was handed over to last, or the agent itself, and so on until an answer."""
        first = self._first
        names = trail.get() or (first.id,)
        if first.sticky_handoffs or paused_agents(transcript):
            self._path = _path_from(first, transcript.variables.get(_variable(first.id)))
        by = self._path[-1] if self._path else None
        told = ""
        while True:
            self._speaker = first if by is None or by.target.id == first.id else by.target
            heard = transcript if by is None else await self._heard(by, transcript)
            self._handed = None
            said = await self._speak(heard, told)
            transcript = transcript.fold_all(said)
            handed: Handed | None = self._handed
            if handed is None or any(map(_stops, said)):
                if not first.sticky_handoffs and self._path:
                    self._emit(self._kept(()))
                return
            by = handed.handoff
            names = (*names, by.target.id)
            if len(names) > first.max_handoffs + 1:
                raise MaxHandoffsError(
                    f"agent {first.id}: the conversation was handed over {len(names) - 1} times in one turn, "
                    f"and nobody answered: {_brief(names)}; raise max_handoffs, or tell them in their system "
                    "messages when to answer"
                )
            trail.set(names)
            told = f"{self._speaker.id} has handed the conversation over to you"
            told += f": {handed.reason}" if handed.reason else "."

    async def _heard(self, by: Handoff, transcript: Transcript) -> Transcript:
        if by.reading_strategy is None:
            return transcript
        reading = await read(by.reading_strategy, transcript)
        if reading.usage:
            self._emit(StateUpdate("usage", usage=reading.usage))
        return transcript.reduced_to(reading.messages)

    async def _speak(self, heard: Transcript, told: str) -> list[Item]:
        said: list[Item] = []

        def show(item: Item) -> None:
            said.append(item)
            self._emit(item)

        speaker, part = self._speaker, Part(told, self._over)
        if speaker is self._first:
            await forward(speaker._part(heard, part), show)
        elif _hands_over(speaker):
            show(speaker._entered(speaker._part(heard, part), heard))
        else:
            await forward(speaker(just(heard)), show)
        for item in said:
            if isinstance(item, Replay):
                await until_ended(item)
        return said

    def _over(self, handed: Handed) -> tuple[StateUpdate, ...]:
        """Takes note of a handoff, in the moment in which who hands over has ended."""
        self._handed = handed
        to = handed.handoff.target.id
        ids = [self._first.id, *(each.target.id for each in self._path)]
        if to in ids:  # back to somebody before
            self._path = self._path[: ids.index(to)]
        else:
            self._path = (*self._path, handed.handoff)
        data = {"from": self._speaker.id, "to": to, "reason": handed.reason}
        told = StateUpdate("handoff", data, log=(("info", "agent/handoff", *data.values()),), shown=True)
        return self._kept(self._path), told

    def _kept(self, path: tuple[Handoff, ...]) -> StateUpdate:
        """Puts it into the conversation who speaks, for the turns to come, or to go on with this one."""
        ids = [each.target.id for each in path] or None
        return StateUpdate("variables", variables={_variable(self._first.id): ids})


def _hands_over(participant: object) -> bool:
    """Whether it leaves what comes after its part to whoever's turn it is."""
    return bool(getattr(participant, "_in_parts", False))


def _stops(item: Item) -> bool:
    if isinstance(item, Scope):
        return item.escaping_stop is not None
    return isinstance(item, StateUpdate) and item.stop is not None


def _variable(id: str) -> str:
    """The context variable that says whom an agent has handed over to, by ids from the first to the last."""
    return f"__handoff:{id}"


def _path_from(first: HandsOver, ids: object) -> tuple[Handoff, ...]:
    """The handoffs that lead to whom it was handed over to; none where they lead nowhere any more."""
    path: list[Handoff] = []
    speaker: Any = first
    for id in ids if isinstance(ids, list) else ():
        found = [each for each in getattr(speaker, "handoffs", ()) if each.target.id == id]
        if not found:
            return ()
        path.append(found[0])
        speaker = found[0].target
    return tuple(path)


def _brief(names: tuple[str, ...]) -> str:
    shown = names if len(names) <= 8 else (*names[:4], "…", *names[-3:])
    return " > ".join(shown)
