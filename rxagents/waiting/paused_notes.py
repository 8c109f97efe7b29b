"""What a turn puts into the conversation of the calls that wait in it, so that it can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..tooling.approvals import Approvals
from ..tooling.contexts import TurnState
from ..transcripts import Transcript
from .paused_calls import PausedCall
from .paused_turns import PREFIX, PausedTurn, since_question, void_turns

__all__ = ["PausedNotes"]


class PausedNotes:
    """Keeps in the conversation how far a round has come in which a call waits, or has waited.

    Args:
        agent: The id of the agent whose turn it is.
        stream: The message of the turn.
        heard: What was heard before it.
        state: The conversation as it stands in the midst of the turn.
        show: Emits an item beside the message.
        paused: The turn that this one goes on with.

    Attributes:
        waiting: The calls that wait, by their ids in the message.
        results: What the others of the round have answered.
    """

    def __init__(
        self,
        agent: str,
        stream: MessageStream,
        heard: Transcript,
        state: TurnState,
        show: Callable[[Any], None],
        paused: PausedTurn | None,
    ) -> None:
        self._agent = agent
        self._stream = stream
        self._heard = heard
        self._state = state
        self._show = show
        self._round: dict[str, Any] = {}
        self._written: dict[str, dict[str, Any]] = {}
        self._variable = "" if paused is None else paused.variable
        self.waiting: dict[str, PausedCall] = {}
        self.results: dict[str, str] = {}

    def begin(self, paused: PausedTurn | None, gated: bool) -> None:
        """A round begins.

        Args:
            paused: Where it is the one that is gone on with, how far that had come.
            gated: Whether there may be a call that waits.
        """
        calls = () if paused is None else paused.calls
        self.waiting = {call.id: call for call in calls}
        self._written = {call.id: call.to_dict() for call in calls}
        self.results = {} if paused is None else dict(paused.results)
        self._round = {}
        if gated or self._variable:
            # without results: what they were is kept beside it
            message = self._stream.assembled().model_copy(update={"finish_reason": "interrupted"})
            asked, own = since_question(self._heard, self._agent)
            # made once: a round may hold a thousand calls, and it is put there for each of them
            self._round = PausedTurn(self._agent, message, asked, len(own)).to_dict()
        if self._variable and paused is None:
            self.store()  # what this round is about to run is not run again by whoever goes on with it

    def answered(self, id: str, result: str) -> None:
        """Takes note of what a call has come to."""
        self.results[id] = result
        if self._variable:
            self.store()

    def taken(self, id: str) -> None:
        """Takes note that what was decided about a call is done now."""
        self.waiting.pop(id, None)
        self._written.pop(id, None)
        self.store()

    def waits(self, call: PausedCall, desk: Approvals) -> None:
        """Takes note of a call that waits."""
        if not self._variable:
            variable = self._variable = desk.take_name(PREFIX + self._agent)
            self._stream.on_end(lambda _: desk.give_back(variable))
        self.waiting[call.id] = call
        self._written[call.id] = call.to_dict()
        self.store()

    def store(self) -> None:
        """Puts all that into the conversation."""
        if self._round:
            value = {
                **self._round,
                "calls": [*self._written.values()],
                "results": dict(self.results),
                "variables": self._set(),
            }
            self._show(StateUpdate("variables", variables={self._variable: value}))

    def _set(self) -> dict[str, Any]:
        """The variables that tools have set: they stand behind the message, and come with it."""
        before = self._heard.variables
        now = self._state.variables
        return {name: now[name] for name in now if name not in before or before[name] is not now[name]}

    def void(self) -> Iterable[StateUpdate]:
        """What to say when the turn begins: what of the agent's waits no more, as the user went on."""
        for turn in void_turns(self._heard):
            if turn.agent == self._agent:
                yield StateUpdate("variables", variables={turn.variable: None})
                for call in turn.calls:
                    data = call.pending.to_dict() | {"reason": "the conversation went on"}
                    yield StateUpdate("rejected", data, shown=True)

    def over(self) -> Iterable[StateUpdate]:
        """What to say when the message has ended."""
        cut = self._stream.interrupted or self._stream.error is not None
        if self._variable and (self._stream.is_void or not cut):
            yield StateUpdate("variables", variables={self._variable: None})
