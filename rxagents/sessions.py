"""Session: what a workflow keeps, which is one conversation with one partner, a run at a time."""

from __future__ import annotations

import logging
import os
import threading
from asyncio import AbstractEventLoop

from reactivex import Observable

from .conversations import Conversation
from .conversing import Askable, converse
from .engine.bridges import from_async
from .errors import WorkflowBusyError
from .keeping import Keeping
from .participants import Emit
from .recorders import Recorder
from .recording.redaction import Redact
from .runs import Run
from .tooling.approvals import Approvals, current_approvals, not_gone_on, not_waiting
from .tooling.pending_calls import Decision, PendingCall
from .transcripts import Item
from .values import SystemMessage
from .waiting.paused_turns import PausedTurn, decided_turns, lost_turns, waiting_calls
from .waiting.standstills import Standstill

__all__ = ["Session"]

_log = logging.getLogger("rxagents.workflow")

# Seconds; what was left ends within milliseconds, unless its loop is blocked.
_PATIENCE = 1.0


class Session:
    """One conversation with one partner, a run at a time.

    A run that was left (disposed, or its iterator closed or dropped) has ended when anything else is
    asked of the session from the thread that left it.

    Args:
        askable: Whom to ask.
        kept: Where the conversation is kept.
        system_prompt: The first message of a new conversation.
        desk: Where calls wait that need approval, beside the desk that it has itself.
        stops: Whether a run ends when there is nothing left to do but to wait for approval.
    """

    def __init__(
        self, askable: Askable, kept: Keeping, system_prompt: str, desk: Approvals | None, stops: bool
    ) -> None:
        self.askable = askable
        self.system_prompt = system_prompt
        self._kept = kept
        self._current: Run | None = None
        self._starting = threading.Lock()
        self._recorders: dict[Recorder, None] = {}
        self._desk = Approvals()  # what is decided in this session is about no call of another
        self._desks = (self._desk,) if desk is None else (desk, self._desk)
        self._stops = stops

    @property
    def conversation(self) -> Conversation:
        """What was said so far; while a run is going on, with all messages that have ended."""
        self.end_what_was_left()
        return self._kept.conversation

    @conversation.setter
    def conversation(self, conversation: Conversation) -> None:
        self.end_what_was_left()
        with self._starting:
            self._check_idle()
            self._kept.replace(conversation)

    def begin(self, said: Observable[Item], loop: AbstractEventLoop) -> Run:
        """A new run, which starts with its first reader or its `begin`.

        Args:
            said: The inputs.
            loop: Where it runs.

        Raises:
            HistoryError: What is stored cannot be read.
            WorkflowBusyError: A run is still going on.
        """
        self.end_what_was_left()
        with self._starting:
            self._check_idle()
            conversation = self._kept.refresh()
            before = conversation.transcript
            if self.system_prompt and not before:
                conversation.append(SystemMessage(self.system_prompt))
            for turn in lost_turns(before):
                conversation.append(turn.message)
                if turn.variables:
                    conversation.update(turn.variables)
            run = Run(from_async(lambda emit: self._converse(said, run, emit)), conversation)
            run.bind(loop)  # before another thread can see it
            run.on_end(self._ended)
            self._current = run
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("%r: a run begins after %d messages", self.askable, len(conversation))
            return run

    @property
    def waiting(self) -> tuple[PendingCall, ...]:
        """The calls that wait for approval."""
        transcript = self.conversation.transcript
        calls = {call.call_id: call for call in (self._desk.waiting if self._going_on else ())}
        for _, call in waiting_calls(transcript):
            if not (self._going_on and self._desk.has_decided(call.pending.call_id)):
                calls.setdefault(call.pending.call_id, call.pending)
        return tuple(calls.values())

    def decide(self, decision: Decision) -> None:
        """Decides a call that waits, or that a later run is to go on with.

        Raises:
            ApprovalError: No such call waits.
            HistoryError: What is stored cannot be read.
        """
        if self._going_on and self._desk.decides(decision):
            return
        self.end_what_was_left()
        with self._starting:
            if not self._going_on:
                self._kept.refresh()
                if self._store(decision):
                    return
            elif self._turn_of(decision) is not None and self._desk.decides(decision, ahead=True):
                return  # its agent has not come to it yet
        raise not_waiting(decision.call_id, self.waiting)

    def _store(self, decision: Decision) -> bool:
        """Keeps a decision in the conversation, if a call waits there that it is about."""
        turn = self._turn_of(decision)
        if turn is not None:
            self._kept.conversation.follow(turn.decided(decision).stored())
        return turn is not None

    def _turn_of(self, decision: Decision) -> PausedTurn | None:
        """The turn in the conversation in which the call waits that was decided."""
        for turn, call in waiting_calls(self._kept.conversation.transcript):
            if call.pending.call_id == decision.call_id:
                return turn
        return None

    def end_what_was_left(self) -> None:
        """Ends the run, if whoever read it has left."""
        run = self._current
        if run is not None:
            run.end_if_left(_PATIENCE)

    def record(self, path: str | os.PathLike[str], redact: Redact | None) -> Recorder:
        """Writes each run that begins from now on to a file, until the recorder is disposed."""
        recorder = Recorder(path, redact=redact, on_dispose=self._recorders.pop)
        self._recorders[recorder] = None
        return recorder

    def _ended(self, run: Run) -> None:
        _log.debug("%r: the run ended: %s", self.askable, run.result)
        for decision in self._desk.take_ahead():  # its agent did not come to it; the next run may
            self._store(decision)
        if self._current is run:
            self._current = None

    @property
    def _going_on(self) -> bool:
        return self._current is not None and self._current.going_on

    def _check_idle(self) -> None:
        if self._going_on:
            raise WorkflowBusyError(
                "this workflow is in the middle of a run; let it end, dispose it, or make another "
                "workflow with workflow.conversation.fork()"
            )

    async def _converse(self, said: Observable[Item], run: Run, emit: Emit) -> None:
        for recorder in tuple(self._recorders):
            recorder.follow(run, self.askable)
        current_approvals.set(self._desks)
        if self._stops:
            Standstill(run, self._desk)
        decided = decided_turns(run.transcript)
        await converse(self.askable, said, run, emit)
        if decided:  # what was decided is not to be lost without a word
            await run.said()
            for turn in decided_turns(run.transcript):
                if turn in decided:
                    raise not_gone_on(turn.agent, [call.pending for call in turn.calls if call.decision])
