"""The calls of a turn that need approval: they wait at the desk, while the others run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pydantic_core import to_jsonable_python

from ..errors import ApprovalError, ToolError
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..tooling.approvals import Approvals, current_approvals, wait_at
from ..tooling.contexts import TurnState
from ..tooling.pending_calls import Approve, Decision, PendingCall, Reject, needed
from ..tooling.toolboxes import Toolbox
from ..tooling.tools import Tool
from ..transcripts import Transcript
from ..values import FunctionResult, ToolCall
from ..waiting.paused_calls import PausedCall
from ..waiting.paused_notes import PausedNotes
from ..waiting.paused_turns import PausedTurn

__all__ = ["GatedCalls"]

_CUT = (
    "Error: the call was interrupted, and what it came to is not known.\n"
    "Its work may be half done. Call it again only if that does no harm, or go on without it."
)
_REJECTED = "It was not run. Do not call it again like that; go on without it."


class GatedCalls:
    """Where the calls of one turn wait for approval.

    Args:
        agent: The id of the agent whose turn it is.
        toolbox: Its tools.
        stream: The message of the turn.
        heard: What was heard before it.
        state: The conversation as it stands in the midst of the turn.
        show: Emits an item beside the message.
        approvals: The desk of the agent itself; that of the run is found where there is one.
        paused: The turn that this one goes on with.
    """

    def __init__(
        self,
        agent: str,
        toolbox: Toolbox,
        stream: MessageStream,
        heard: Transcript,
        state: TurnState,
        show: Callable[[Any], None],
        approvals: Approvals | None,
        paused: PausedTurn | None,
    ) -> None:
        self._agent = agent
        self._toolbox = toolbox
        self._stream = stream
        self._show = show
        self._own = approvals
        self._next = paused
        self._paused: PausedTurn | None = None
        self._notes = PausedNotes(agent, stream, heard, state, show, paused)
        self._changed: dict[str, str] = {}
        self._open: frozenset[str] = frozenset()
        self._left: frozenset[str] = frozenset()

    def begin(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """A round begins, with these calls."""
        calls = tuple(calls)
        self._paused, self._next = self._next, None
        self._open = frozenset(call.id for call in calls)
        self._notes.begin(self._paused, any(map(self._tool, calls)))
        return calls

    async def admitted(self, call: ToolCall) -> ToolCall | FunctionResult:
        """What to run, as soon as it may be; or what it came to, if it is not to be run.

        Raises:
            ApprovalError: There is nobody to approve it.
            Exception: What somebody raised who was asked.
        """
        if self._paused is not None:
            return await self._resumed(call, self._paused)
        tool = self._tool(call)
        if tool is None:
            return call
        try:
            arguments = tool.shown(call.function.get("arguments", ""))
        except ToolError:
            return call  # the tool itself says what is wrong with them
        pending = PendingCall(call.id, tool.name, self._agent, arguments)
        try:
            if not await needed(tool.approval, pending):
                return call
        except ToolError as error:
            return self._told(call, f"Error: {error}\nIt was not run. Go on without it.")
        return await self._decided(call, PausedCall(pending, call.id), self._desks(pending), stored=False)

    def answered(self, call: ToolCall, result: FunctionResult) -> FunctionResult:
        """A call has been run; gives what to tell the model."""
        if call.id in self._changed:
            note = f"(It was approved with other arguments: {self._changed.pop(call.id)})\n"
            result = FunctionResult(result.name, note + result.result, result.id)
        return self._note(result)

    def void(self) -> Iterable[StateUpdate]:
        """What to say when the turn begins: what of the agent's waits no more, as the user went on."""
        return self._notes.void()

    def over(self) -> Iterable[StateUpdate]:
        """What to say when the message has ended."""
        return self._notes.over()

    async def _resumed(self, call: ToolCall, paused: PausedTurn) -> ToolCall | FunctionResult:
        if call.id in paused.results:
            return self._told(call, paused.results[call.id])
        waiting = next((waiting for waiting in paused.calls if waiting.id == call.id), None)
        if waiting is None:
            return self._told(call, _CUT)
        if waiting.decision is None:
            return await self._decided(call, waiting, self._desks(waiting.pending), stored=True)
        self._notes.taken(call.id)  # before it is run, which must not be done twice
        return self._taken(call, waiting.pending, waiting.decision)

    async def _decided(
        self, call: ToolCall, waiting: PausedCall, desks: list[Approvals], *, stored: bool
    ) -> ToolCall | FunctionResult:
        """What comes of a call, when somebody has decided."""
        notes = self._notes
        waiter, held = wait_at(desks, waiting.pending, lambda: self._leave(call, desks), stored=stored)
        held.callback(self._gone, call, desks)
        waiting = replace(waiting, pending=waiter.call)
        notes.waits(waiting, desks[-1])

        def cut(_: object) -> None:
            # now, so that who decides from here on decides for another run
            held.close()
            if notes.waiting.get(call.id) is waiting and isinstance(waiter.settled, Approve | Reject):
                notes.waits(replace(waiting, decision=waiter.settled), desks[-1])

        self._stream.on_end(cut)
        with held:
            # whoever hears of it may decide it there and then
            self._show(StateUpdate("approval", waiter.call.to_dict(), shown=True))
            for desk in desks:
                if not self._stream.ended:
                    desk.consult(waiter, held)
            waiter.has_asked()
            decision = await waiter.decision()
            notes.taken(call.id)
        return self._taken(call, waiter.call, decision)

    def _gone(self, call: ToolCall, desks: list[Approvals]) -> None:
        self._left -= {call.id}
        desks[-1].stalls(self._stream, False)

    def _taken(self, call: ToolCall, pending: PendingCall, decision: Decision) -> ToolCall | FunctionResult:
        data = pending.to_dict()
        if isinstance(decision, Reject):
            self._show(StateUpdate("rejected", data | {"reason": decision.reason}, shown=True))
            why = f": {decision.reason}" if decision.reason else "."
            return self._told(call, f"The call was rejected{why}\n{_REJECTED}")
        if decision.arguments is None:
            self._show(StateUpdate("approved", data, shown=True))
            return call
        arguments = to_jsonable_python(dict(decision.arguments), fallback=str)
        self._show(StateUpdate("approved", data | {"arguments": arguments}, shown=True))
        text = self._changed[call.id] = json.dumps(arguments, ensure_ascii=False)
        return call.model_copy(update={"function": {**call.function, "arguments": text}})

    def _told(self, call: ToolCall, text: str) -> FunctionResult:
        return self._note(FunctionResult(call.function.get("name", ""), text, call.id))

    def _note(self, result: FunctionResult) -> FunctionResult:
        self._notes.answered(result.id, result.result)
        if self._left:
            self._look(self._desks())
        return result

    def _leave(self, call: ToolCall, desks: list[Approvals]) -> None:
        if not self._stream.ended:
            self._left |= {call.id}
            self._look(desks)

    def _look(self, desks: list[Approvals]) -> None:
        """Says whether there is nothing left to do but to wait."""
        stalled = bool(self._left) and self._open <= {*self._left, *self._notes.results}
        desks[-1].stalls(self._stream, stalled)

    def _tool(self, call: ToolCall) -> Tool | None:
        """The tool of a call, if there are calls of it that need approval."""
        tool = self._toolbox.get(call.function.get("name", ""))
        return tool if tool is not None and tool.approval else None

    def _desks(self, pending: PendingCall | None = None) -> list[Approvals]:
        """Where a call can wait: at the agent's own desk, and at those of the run, the last its session's."""
        own = () if self._own is None else (self._own,)
        desks = dict.fromkeys((*own, *current_approvals.get()))
        if pending is not None and not desks:
            raise ApprovalError(
                f"the tool {pending.tool!r} of agent {self._agent} needs approval, and there is nobody to "
                "give it: ask the agent through a Workflow, or give it approvals=…"
            )
        return list(desks)
