"""Race: all are asked, one is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from inspect import isawaitable
from typing import Any, Literal

from reactivex import Observable

from ..engine.listenings import Listening
from ..errors import ConfigurationError, RaceError
from ..participants import Emit, Participant
from ..places import located_as
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Transcript
from ..values import Message
from ..walks import last_message, message_streams
from ._concurrent_teams import ConcurrentTeam
from ._member_turns import MemberTurn, MemberTurns, all_failed, in_words, raise_unshown
from ._members import check_members
from ._resuming import paused_members
from ._turns import result

__all__ = ["Race"]

Winner = Literal["first_token", "first_response"] | Callable[[Message], Any]


class Race(ConcurrentTeam):
    """All members are asked at once, and the first to reach the line is the one who is heard.

    The winner's turn is shown from its beginning, live. The others are cut, on the wire too, at that
    moment; nothing of them is shown or enters the conversation, but what they took counts as usage.

    Who fails before there is a winner, or ends without reaching the line, is out, and the others go on;
    who failed stands in the log. When all have failed, the team fails with the first error, whose note
    names the others; when nobody is left for another reason, with a `RaceError`. When the winner fails,
    the team does. A winner that asks for a stop ends the team (`agent-stop`); else it is `done`. One who
    waits for approval before there is a winner is still in the race, which then cannot stop to wait for it
    (`on_waiting="stop"`), since nothing of it is in the conversation.

    ```
    source   -q-|
    slow     ----Well|
    fast     --Me-me|
    out      ---(both|)
    both     -----quick|
    quick    -----m----|
    m        -----Me-me|
    ```

    Args:
        id: Its name in the conversation.
        members: Agents, users, teams: whatever is an operator with an id.
        winner: Where the line is. `"first_token"`: the first who says something or calls a tool; to think
            is not enough. `"first_response"`: the first whose turn has ended with an answer that is not empty
            and was not cut. A function of the finished Message, plain or async: the first answer for which
            it is true; answers are judged one after the other, in the order in which they are complete.
        description: What it is good for; the model of a team around it reads it.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        members: Iterable[Participant],
        winner: Winner = "first_token",
        description: str = "",
    ) -> None:
        super().__init__(id, description)
        self.members = check_members(f"race {id}", members)
        if winner not in ("first_token", "first_response") and not callable(winner):
            raise ConfigurationError(
                f"race {id}: winner is {winner!r}; give 'first_token', 'first_response', or a function of "
                "the finished Message"
            )
        self.winner = winner

    async def _run(self, transcript: Transcript, turns: MemberTurns, emit: Emit) -> None:
        line = _Line(turns)
        try:
            # a run that waited for approval goes on with whom it waited for: that one had won
            for member in paused_members(self.members.values(), transcript) or self.members.values():
                if line.winner is None:  # one that never waits for anything has won before the next begins
                    turn = turns.start(MemberTurn(member, transcript))
                    if self.winner == "first_token":
                        line.watch(turn)
            out = await self._decided(line, turns)
        finally:
            line.dispose()
        failed = [turn for turn, _ in out if turn.error is not None]
        entries: list[tuple[str, ...]] = [
            ("error", "race/failed", self.id, turn.member.id, in_words(turn)) for turn in failed
        ]
        winner = line.winner
        if winner is None:
            emit(StateUpdate("choice", {"team": self.id, "agent_id": None}, log=tuple(entries)))
            raise self._nobody(out, failed)
        entries.append(("info", "race/won", self.id, winner.member.id))
        emit(StateUpdate("choice", {"team": self.id, "agent_id": winner.member.id}, log=tuple(entries)))
        turns.show(winner)
        while not winner.ended:
            await turns.news()
        raise_unshown(winner)
        stopped = winner.escaping_stop is not None
        emit(result("agent-stop", ("info", "race/stop", self.id)) if stopped else result("done"))

    async def _decided(self, line: _Line, turns: MemberTurns) -> list[tuple[MemberTurn, str]]:
        """Waits until somebody has won, or nobody can; gives who is out, and why."""
        out: list[tuple[MemberTurn, str]] = []
        while line.winner is None and (turns.open or turns.over):
            if not turns.over:
                await turns.news()
                continue
            turn = turns.over.popleft()
            why = await self._why_out(turn)
            if why:
                out.append((turn, why))
            else:
                line.crossed(turn)
        return out

    async def _why_out(self, turn: MemberTurn) -> str:
        """Why one whose turn has ended has not won; empty if it has."""
        if turn.error is not None:
            return in_words(turn)
        if self.winner == "first_token":
            return "said nothing"
        answer = last_message(turn.items, inputs=True)  # that of a User is one too
        if answer is None:
            return "gave no answer"
        if not callable(self.winner):
            if answer.finish_reason == "interrupted":
                return "was cut"
            said = answer.content or answer.refusal or answer.tool_calls
            return "" if said else "gave no answer"
        try:
            accepted = self.winner(answer)
            if isawaitable(accepted):
                accepted = await accepted
            return "" if accepted else "its answer will not do"
        except Exception as error:
            error = located_as(error, "winner")
            raise error

    def _nobody(self, out: list[tuple[MemberTurn, str]], failed: list[MemberTurn]) -> Exception:
        if failed and len(failed) == len(out):
            return all_failed(f"race {self.id}", failed)
        told = "; ".join(f"{turn.member.id}: {why}" for turn, why in out)
        error = RaceError(f"race {self.id}: nobody has won: {told}")
        if failed:
            error.__cause__ = failed[0].error
        return error


class _Line:
    """The line: the first to cross it wins, and the others are cut in the same breath."""

    def __init__(self, turns: MemberTurns) -> None:
        self.winner: MemberTurn | None = None
        self._turns = turns
        self._watching = Listening()

    def crossed(self, turn: MemberTurn) -> None:
        """This one has crossed it, and has won if no other has."""
        if self.winner is None:
            self.winner = turn
            self._turns.cut(but=turn)
            self._turns.ring()

    def watch(self, turn: MemberTurn) -> None:
        """Its first words cross the line."""
        spoken = message_streams(turn, inputs=True, aside=True)
        self._listen(spoken, lambda stream: self._read(stream, turn))

    def _read(self, stream: MessageStream, turn: MemberTurn) -> None:
        def look(token: Any) -> None:
            if self.winner is None and isinstance(token, dict) and any(map(token.get, _SAYING)):
                self.crossed(turn)

        self._listen(stream, look)

    def _listen(self, source: Observable[Any], look: Callable[[Any], None]) -> None:
        self._watching.listen(source, asyncio.get_running_loop(), look, _ignore, _ignore)

    def dispose(self) -> None:
        """Looks no longer."""
        self._watching.dispose()


# not `reasoning_content` and the like: who thinks has not spoken
_SAYING = ("content", "content_parts", "refusal", "tool_calls")


def _ignore(_: object = None) -> None:
    pass
