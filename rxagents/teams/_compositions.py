"""What the teams in which a stop ends have in common: their block, and that a turn is a coroutine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable
from functools import partial

from reactivex import Observable

from ..blocks import Block
from ..engine.bridges import fed
from ..engine.sinks import Sink
from ..participants import Emit, Participant
from ..transcripts import Item, Transcript

__all__ = ["Composition"]


class Composition(Participant):
    """A team whose members' stops end it, and go no further."""

    def _block(self, transcript: Transcript) -> Item:
        return Block(self.id, self.turn(transcript), catches_stops=True)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return fed(partial(self._run_to, transcript))

    def _run_to(self, transcript: Transcript, sink: Sink[Item]) -> Awaitable[None]:
        return self._run(transcript, sink.on_next)

    @abstractmethod
    async def _run(self, transcript: Transcript, emit: Emit) -> None:
        """Lets the members speak, and emits what they say."""
