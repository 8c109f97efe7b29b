"""Teams whose members speak at the same time, or are cut: what they have in common, and their block."""

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
from ._member_turns import MemberTurn, MemberTurns

__all__ = ["ConcurrentTeam"]


class ConcurrentTeam(Participant):
    """A team that starts, shows and cuts its members' turns. Their stops end it, and go no further."""

    def _block(self, transcript: Transcript) -> Item:
        return _TeamBlock(self.id, partial(self._reply, transcript))

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return Emitter(lambda sink: _TeamBlock(self.id, partial(self._reply, transcript)).subscribe(sink))

    def _reply(self, transcript: Transcript, asking: Turn) -> Observable[Item]:
        # what was heard is paid for, whoever hands it on
        asking.heard, asking.said_before = (transcript,), lambda: reversed(transcript.messages)
        return from_async(lambda emit: self._run(transcript, MemberTurns(asking, emit), emit))

    @abstractmethod
    async def _run(self, transcript: Transcript, turns: MemberTurns, emit: Emit) -> None:
        """Starts the turns, shows what is to be shown, and says how the team has ended."""


class _TeamBlock(TurnBlock):
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
        for turn in self.asks:
            if isinstance(turn, MemberTurn):
                turn.leave()
        super()._abandon()
