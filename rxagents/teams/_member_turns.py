"""Turns of members that run whether or not they are shown, and that can be cut.

A team whose members speak at the same time, or are cut in mid-sentence, starts each of their turns by
itself. What it shows of one enters the conversation; of what it does not show, only the cost does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from dataclasses import replace

from reactivex import Observable

from ..asking.asked import Asked
from ..asking.own_turns import Turn
from ..engine.emitters import Emitter, just
from ..engine.inlets import listen
from ..mended_blocks import described, mended
from ..participants import Emit, Participant, turn_block
from ..places import words
from ..recording.masks import masked
from ..replays import Replay
from ..state_updates import StateUpdate
from ..tooling.approvals import current_approvals
from ..transcripts import Item, Transcript

__all__ = ["MemberTurn", "MemberTurns", "all_failed", "in_words", "raise_unshown"]


class MemberTurn(Asked):
    """One turn of a member, from its start to its end or its cut.

    Args:
        member: Whose turn it is.
        transcript: What it hears.
        mends: Whether what fails in it says so in words and does not fail it.

    Attributes:
        member: Whose turn it is.
        told: The errors that it has said in words.
    """

    def __init__(self, member: Participant, transcript: Transcript, *, mends: bool = False) -> None:
        self.member = member
        self.told: list[Exception] = []
        # within: what a member's operator raises when it is called is its failure
        source: Observable[Item] = Emitter(lambda sink: _begun(member, transcript).subscribe(sink))
        super().__init__(mended(source, self._describe) if mends else source, nullcontext)

    @property
    def failure(self) -> Exception | None:
        """What went wrong first, in words or not."""
        return self.told[0] if self.told else self.error

    @property
    def has_said_all(self) -> bool:
        """Whether it has ended, be it that those who read it are just hearing so."""
        return self.ended or (self._source_done and all(child.ended for child in self._open))

    def leave(self) -> None:
        """Lets go of what it holds: who still reads a message of it may read on."""
        self._on_loop(self._abandon)

    def _describe(self, error: Exception) -> str:
        self.told.append(error)
        return described(error)

    def _settle(self) -> None:
        super()._settle()
        self._unheard = False  # the team looks at it


def _begun(member: Participant, transcript: Transcript) -> Observable[Item]:
    block = turn_block(member, transcript)
    return member(just(transcript)) if block is None else just(block)


class MemberTurns:
    """The turns of the members, in one turn of their team.

    Args:
        asking: The turn of the team, in which they run: it counts what they take and is not shown.
        emit: Takes what is shown.

    Attributes:
        open: How many are going on.
        over: Those that have ended, in that order; who has looked at one takes it out.
    """

    def __init__(self, asking: Turn, emit: Emit) -> None:
        self.open = 0
        self.over: deque[MemberTurn] = deque()
        self._asking = asking
        self._emit = emit
        self._bell = asyncio.Event()

    def start(self, turn: MemberTurn) -> MemberTurn:
        """Begins a turn, unless the team's own was left meanwhile, maybe by who was just told of a choice."""
        self.open += 1
        turn.on_end(self._ended)
        if self._asking.ended:
            turn.interrupt()
        else:
            self._asking.add(turn)
            turn.begin()
        return turn

    def show(self, turn: MemberTurn) -> None:
        """Emits what is said in it, from its beginning, and from now on as it comes."""
        if turn.ended:  # at once, whatever else waits to be subscribed to
            for item in turn.items:
                self._pass(item)
            return
        listen(turn, asyncio.get_running_loop(), self._pass, _ignore, _ignore)
        for desk in current_approvals.get():
            desk.look()

    def cut(self, *, but: MemberTurn | None = None) -> None:
        """Interrupts all that are open, and with them what is asked for on the wire."""
        for turn in [*self._asking.asks]:
            if turn is not but:
                turn.interrupt()

    def ring(self) -> None:
        """Says that there is news."""
        self._bell.set()

    async def news(self) -> None:
        """Waits until there is some: one has ended, or somebody rang."""
        await self._bell.wait()
        self._bell.clear()

    def _ended(self, turn: MemberTurn) -> None:
        self.open -= 1
        self.over.append(turn)
        self.ring()

    def _pass(self, item: Item) -> None:
        if isinstance(item, StateUpdate) and item.stop is not None and item.scope == "team":
            item = replace(item, stop=None)  # consumed here; what it brings beside the stop stays
        self._emit(item)


def raise_unshown(turn: MemberTurn) -> None:
    """Raises what a turn that was shown has failed with, unless it stands in what was shown.

    That fails the team's block by itself, in its place.
    """
    shown = any(isinstance(item, Replay) and item.error is not None for item in turn.items)
    if turn.error is not None and not shown:
        raise turn.error


def all_failed(what: str, failed: list[MemberTurn]) -> Exception:
    """What a team fails with when all its members have: the first error; a note names the others."""
    first, *others = failed
    assert first.failure is not None
    told = "; ".join(f"{turn.member.id}: {in_words(turn)}" for turn in others)
    note = f"{what}: {first.member.id} failed, and so did all others: {told}"
    if others and note not in getattr(first.failure, "__notes__", ()):
        first.failure.add_note(note)
    return first.failure


def in_words(turn: MemberTurn) -> str:
    """What a turn failed with, without what looks like a key."""
    error = turn.failure
    return "" if error is None else f"{type(error).__name__}: {masked(words(error))}"


def _ignore(_: object = None) -> None:
    pass
