"""Parallel: all at once, on the same conversation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from ..checks import check_number
from ..errors import ConfigurationError
from ..participants import Emit, Participant
from ..transcripts import Transcript
from ._concurrent_teams import ConcurrentTeam
from ._member_turns import MemberTurn, MemberTurns, all_failed, raise_unshown
from ._members import check_members
from ._resuming import from_paused, paused_members, yet_to_speak
from ._turns import result

__all__ = ["Parallel"]


class Parallel(ConcurrentTeam):
    """All members at once, each on the conversation as it was before the team.

    What each of them says enters the conversation as a whole. By `"arrival"` the members' blocks come as
    they begin, and that is their order in the conversation, whoever ends first; the tokens of messages
    that are written at the same time alternate in the markers, where `path` tells them apart. In the
    order of the `"member"`s, all run at once too, but the second is shown, from its beginning, when the
    first has ended. Where two set one variable, the later in that order counts; and an update strategy
    that takes messages away takes those before it in that order.

    The team is `done` when all have ended. When a member asks for a stop, those who speak end what they
    say, nobody else begins, and the team ends (`agent-stop`); a stop of the whole run (`scope="run"`)
    cuts the others. What is cut before it was shown is no part of the conversation; what it took counts.
    Gone on with when it waited for approval, it asks those of whom nothing was shown, and those who waited.

    ```
    source   -q-|
    out      ---(both|)
    both     ---(ann bob)|
    ann      ---m1-------|
    m1       ---Hi----all|
    bob      ---m2---|
    m2       -----Yes|
    ```

    Args:
        id: Its name in the conversation.
        members: Agents, users, teams: whatever is an operator with an id.
        description: What it is good for; the model of a team around it reads it.
        order: `"arrival"`, or the order of the `"member"`s.
        max_concurrent: How many may run at once; the others begin, in the order of the members, when
            one has ended. None: all.
        on_error: `"fail"`: the first failure cuts the others and fails the team. `"keep"`: who fails says
            so in words, as with `errors_as_messages()`, and the others go on; when all have failed, the
            team fails with the first error, whose note names the others.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        members: Iterable[Participant],
        description: str = "",
        *,
        order: Literal["arrival", "member"] = "arrival",
        max_concurrent: int | None = None,
        on_error: Literal["fail", "keep"] = "fail",
    ) -> None:
        super().__init__(id, description)
        what = f"parallel {id}"
        self.members = check_members(what, members)
        if order not in ("arrival", "member"):
            raise ConfigurationError(f"{what}: order is 'arrival' or 'member', not {order!r}")
        if on_error not in ("fail", "keep"):
            raise ConfigurationError(f"{what}: on_error is 'fail' or 'keep', not {on_error!r}")
        if max_concurrent is not None:
            check_number(what, "max_concurrent", max_concurrent, 1)
        self.order = order
        self.max_concurrent = max_concurrent
        self.on_error = on_error

    async def _run(self, transcript: Transcript, turns: MemberTurns, emit: Emit) -> None:
        places = self.max_concurrent or len(self.members)
        waiting = deque(self._who_is_left(transcript, places))
        unshown: deque[MemberTurn] = deque()
        showing: MemberTurn | None = None
        failed: list[MemberTurn] = []
        stopped = False
        while turns.open or turns.over or unshown or (waiting and not stopped):
            # and not before it is known how one has ended that never waited for anything
            while waiting and turns.open < places and not (stopped or turns.over):
                unshown.append(
                    turns.start(MemberTurn(waiting.popleft(), transcript, mends=self.on_error == "keep"))
                )
                if self.order == "arrival":
                    turns.show(unshown.pop())
            while unshown and (showing is None or showing.ended):
                showing = unshown.popleft()
                turns.show(showing)
            if not turns.over:
                if turns.open:
                    await turns.news()
                continue
            turn = turns.over.popleft()
            stop = turn.escaping_stop
            stopped = stopped or stop is not None
            if turn.failure is not None:
                failed.append(turn)
            if turn.error is not None or (stop is not None and stop.scope == "run"):
                turns.cut()
                if turn in unshown:
                    turns.show(turn)
                raise_unshown(turn)
                if turn.error is not None:
                    return  # what was shown of it fails the team
                break
        if len(failed) == len(self.members):
            raise all_failed(f"parallel {self.id}", failed)
        emit(result("agent-stop", ("info", "parallel/stop", self.id)) if stopped else result("done"))

    def _who_is_left(self, transcript: Transcript, places: int) -> list[Participant]:
        """All; of a run that waited for approval, who waited, and of whom nothing was shown."""
        members = list(self.members.values())
        if self.order == "member":
            return from_paused(members, transcript)
        paused = paused_members(members, transcript)
        if not paused:
            return members
        # they begin in their order, so that of those before it nobody is left
        return [*paused, *(yet_to_speak(members, transcript) if places < len(members) else ())]
