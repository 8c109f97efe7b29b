"""Teams that run their members' turns in heats: what they have in common, and their block."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

from reactivex import Observable

from ..asking.own_turns import Turn, TurnBlock
from ..blocks import Scope
from ..engine.bridges import from_async
from ..engine.emitters import Emitter
from ..participants import Emit, Participant
from ..replays import Replay
from ..transcripts import Item, Transcript
from ._heats import Heat, Heats

__all__ = ["HeatTeam"]


class HeatTeam(Participant):
    """A team that runs its members' turns in heats. Their stops end it, and go no further."""

    def _block(self, transcript: Transcript) -> Item:
        return _HeatBlock(self.id, partial(self._heats, transcript))

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return Emitter(lambda sink: _HeatBlock(self.id, partial(self._heats, transcript)).subscribe(sink))

    def _heats(self, transcript: Transcript, turn: Turn) -> Observable[Item]:
        # what was heard is paid for, whoever hands it on
        turn.heard, turn.said_before = (transcript,), lambda: reversed(transcript)

        async def run(emit: Emit) -> None:
            heats = Heats(turn, emit)
            try:
                await self._run(transcript, heats, emit)
            finally:
                heats.dispose()

        return from_async(run)

    @abstractmethod
    async def _run(self, transcript: Transcript, heats: Heats, emit: Emit) -> None:
        """Starts the heats, shows what is to be shown, and says how the team has ended."""


class _HeatBlock(TurnBlock):
    """The block of such a team: it fails with the first of what it shows that fails."""

    def __init__(self, name: str, reply: partial[Observable[Item]]) -> None:
        super().__init__(name, reply)
        self.catches_stops = True

    def _after_child(self, child: Replay[object]) -> None:
        stop = self.stop
        Scope._after_child(self, child)  # and not of what is unordered: a failure cuts the others at once
        if stop is not None and stop.scope == "run":
            self.stop = stop  # a later one that ends only teams does not take its place

    def _abandon(self) -> None:
        for heat in self.asks:
            if isinstance(heat, Heat):
                heat.leave()
        super()._abandon()
