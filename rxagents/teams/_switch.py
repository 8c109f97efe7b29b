"""Switch: one member speaks, until the selector names another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any

from reactivex import Observable

from ..engine.inlets import listen
from ..errors import ConfigurationError, RoutingError
from ..participants import Emit, Participant, until_ended
from ..places import located_as
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Transcript
from ._concurrent_teams import ConcurrentTeam
from ._member_turns import MemberTurn, MemberTurns, raise_unshown
from ._members import check_members
from ._resuming import paused_members
from ._turns import result

__all__ = ["Switch"]

Selector = Callable[[Transcript], Any] | Observable[Any]


class Switch(ConcurrentTeam):
    """One member speaks at a time, and a selector says who; another id takes over in mid-sentence.

    A selector that is a function is asked once, with the conversation; whom it names has one turn, and
    with None nobody has. Put a `Loop` around the team to ask it again.

    One that is an observable of ids, live or not, on any thread, is subscribed to for each turn of the
    team. A new id takes over at once: who speaks is interrupted, in its message and on the wire, and only
    then does the next begin; it hears the conversation with the words that were cut. The id of who speaks
    already changes nothing; when that one has ended, the same id is another turn. None cuts, and nobody
    speaks. Of ids that come in one go the last counts. Between two turns the team waits for the next
    id; when the observable has completed, it ends after the turn that is going on.

    The team ends with `done`, or with `agent-stop` when a member asks for a stop. It fails with a member,
    and with the selector, which cuts who speaks; an id that is no member's is a `RoutingError`.

    ```
    source     -q-|
    selector   ----a------b-|
    out        ---(talk|)
    talk       ----ann----bob|
    ann        ----m1-----~
    m1         -----Once-u~
    bob        -----------m2-|
    m2         ------------No|
    ```

    Args:
        id: Its name in the conversation.
        members: Agents, users, teams: whatever is an operator with an id.
        selector: A function of the Transcript, plain or async, or an observable: of ids of members.
        description: What it is good for; the model of a team around it reads it.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self, id: str, members: Iterable[Participant], selector: Selector, description: str = ""
    ) -> None:
        super().__init__(id, description)
        self.members: Mapping[str, Participant] = check_members(f"switch {id}", members)
        if not (callable(selector) or isinstance(selector, Observable)):
            raise ConfigurationError(
                f"switch {id}: selector is a {type(selector).__name__}; give a function of the Transcript, "
                "or an observable, that gives ids of members"
            )
        self.selector = selector

    async def _run(self, transcript: Transcript, turns: MemberTurns, emit: Emit) -> None:
        succession = _Succession(self.id, self.members, transcript, turns, emit)
        # a run that waited for approval goes on with whom it waited for
        paused = [member.id for member in paused_members(self.members.values(), transcript)]
        if isinstance(self.selector, Observable):
            if paused:
                succession.want(paused[0])
            await succession.follow(self.selector)
            return
        try:
            chosen = paused[0] if paused else self.selector(transcript)
            if isawaitable(chosen):
                chosen = await chosen
            succession.want(chosen)
        except Exception as error:
            error = located_as(error, "selector")
            raise error
        succession.selected()
        await succession.run()


class _Succession:
    """The turns of one run: who speaks, who is wanted next, and whether anybody can be yet."""

    def __init__(
        self,
        team: str,
        members: Mapping[str, Participant],
        transcript: Transcript,
        turns: MemberTurns,
        emit: Emit,
    ) -> None:
        self._team = team
        self._members = members
        self._transcript = transcript
        self._turns = turns
        self._emit = emit
        self._speaking: MemberTurn | None = None
        self._wanted: list[Any] = []  # one at most: the last
        self._all_selected = False
        self._error: Exception | None = None

    async def follow(self, selector: Observable[Any]) -> None:
        """Hears the selector while the turns go on."""
        loop = asyncio.get_running_loop()
        subscription = listen(selector, loop, self.want, self._failed, self.selected)
        try:
            await self.run()
        finally:
            subscription.dispose()

    def want(self, id: Any) -> None:
        """Cuts who speaks, if it is another: the next turn is this one's."""
        if id is not None and not (isinstance(id, str) and id in self._members):
            raise RoutingError(
                f"switch {self._team}: the selector gave {id!r}, who is no member; "
                f"the members are {', '.join(self._members)}"
            )
        speaking = self._speaking
        if speaking is not None and speaking.member.id == id and not speaking.has_said_all:
            return
        self._wanted[:] = [id]
        self._cut()

    def selected(self) -> None:
        """No further id will come."""
        self._all_selected = True
        self._turns.ring()

    def _failed(self, error: Exception) -> None:
        self._error = located_as(error, "selector")
        self._cut()

    def _cut(self) -> None:
        if self._speaking is not None and not self._speaking.has_said_all:
            self._speaking.interrupt()
        self._turns.ring()

    async def run(self) -> None:
        """One turn after the other, until there can be no more."""
        while True:
            turn = self._speaking
            if turn is not None and turn.ended:
                self._speaking = None
                if await self._ended(turn):
                    self._emit(result("agent-stop", ("info", "switch/stop", self._team)))
                    return
            elif turn is not None:
                await self._turns.news()
            elif self._error is not None:
                raise self._error
            elif self._wanted:
                self._begin(self._wanted.pop())
            elif self._all_selected:
                self._emit(result("done"))
                return
            else:
                await self._turns.news()

    def _begin(self, id: str | None) -> None:
        if id is None:
            return
        entry = ("info", "switch/choice", self._team, id)
        self._emit(StateUpdate("choice", {"team": self._team, "agent_id": id}, log=(entry,)))
        self._speaking = self._turns.start(MemberTurn(self._members[id], self._transcript))
        self._turns.show(self._speaking)

    async def _ended(self, turn: MemberTurn) -> bool:
        """Takes in what was said; gives whether it asked for a stop."""
        for item in turn.items:
            if isinstance(item, Replay):
                await until_ended(item)  # what was cut on another loop ends there
        raise_unshown(turn)
        self._transcript = self._transcript.fold_all(turn.items)
        return turn.escaping_stop is not None
