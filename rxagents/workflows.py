"""Workflow: one conversation with an agent or a team, a run at a time."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, Literal

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from .blocking import blockable_loop
from .conversations import Conversation
from .conversing import Askable, checked
from .engine.async_items import AsyncItems
from .engine.demands import BUFFER
from .engine.emitters import Emitter
from .engine.loops import current_loop
from .engine.sinks import Sink
from .engine.sync_items import SyncItems
from .engine.tasks import cancelled_tasks_ended
from .errors import ConfigurationError
from .histories.protocol import History
from .keeping import Keeping
from .message_callbacks import OnMessage
from .operators import Marker
from .recorders import Recorder
from .recording.redaction import Redact
from .runs import Run, RunResult
from .saying.flatten import say
from .seats import Seat
from .sessions import Session
from .tooling.approvals import Approvals, approvals_of
from .tooling.deciders import Decider
from .waiting.deciding import Deciding

__all__ = ["Workflow"]


class Workflow(Deciding):
    """A conversation with an agent, a team, or any operator on conversations, kept from run to run.

    `start` begins a run; `run`, `run_stream`, `arun`, `arun_stream` and `observe` are views of one.
    None of them raises for what goes wrong within a run: that is its `error` marker and its result.

    A run that was left (disposed, or its iterator closed or dropped) has ended when anything else is
    asked of the workflow from the thread that left it: the next run may begin at once.

    ```
    llm       ------Hello---|
    observe   start-delta---(response end result|)
    ```

    Args:
        askable: Whom to ask.
        conversation: To go on with; by default a new one.
        system_prompt: The first message of a new conversation.
        history: Where the conversation is stored as it comes, and gone on with; see `rxagents.histories`.
        on_message: Called with each message that is complete; see `Conversation.on_message`.
        approvals: Who decides tool calls that need approval, beside `approve` and `reject`: a function of
            the PendingCall, an observable of decisions, or an Approvals; see there.
        on_waiting: What a run does when all that is open in it waits for approval: `"wait"`, so that
            `run` blocks until another thread decides, or `"stop"`: it ends with the result `waiting`, to be
            gone on with by `run()` when that was decided. An observable is not waited for. What waits inside
            a tool, an ask, or before the next in a pipe is not stored, and keeps the run waiting.

    Raises:
        ConfigurationError, HistoryError: An argument is of no use, or the history cannot be read.
    """

    def __init__(
        self,
        askable: Askable,
        conversation: Conversation | None = None,
        system_prompt: str = "",
        *,
        history: History | None = None,
        on_message: OnMessage | None = None,
        approvals: Approvals | Decider | None = None,
        on_waiting: Literal["wait", "stop"] = "wait",
    ) -> None:
        desk = approvals_of("workflow", approvals)
        if on_waiting not in ("wait", "stop"):
            raise ConfigurationError(f"workflow: on_waiting is 'wait' or 'stop', not {on_waiting!r}")
        kept = Keeping(conversation, history, on_message)
        self._session = Session(checked(askable), kept, system_prompt, desk, on_waiting == "stop")

    @property
    def askable(self) -> Askable:
        """Whom it asks; another one may be set between two runs."""
        return self._session.askable

    @askable.setter
    def askable(self, askable: Askable) -> None:
        self._session.askable = checked(askable)

    @property
    def system_prompt(self) -> str:
        """The first message of a new conversation."""
        return self._session.system_prompt

    @property
    def conversation(self) -> Conversation:
        """What was said so far; while a run is going on, with all messages that have ended."""
        return self._session.conversation

    @conversation.setter
    def conversation(self, conversation: Conversation) -> None:
        self._session.conversation = conversation

    def start(self, input: Any = None, *, keep_running: bool = True) -> Run:
        """Begins a run: on the running loop of this thread, else on the shared one.

        Args:
            input: Anything that `say` takes. Without, who is asked begins, or goes on with what was said: so
                a run that was interrupted, or whose process was killed, is gone on with.
            keep_running: Whether it runs on when nobody reads it, and at full speed however slow its readers
                are. If not, the fastest reader decides how far it goes, and the last one that leaves ends it.

        Raises:
            HistoryError: What is stored cannot be read, or could not be written.
            InputError: The input is no message.
            WorkflowBusyError: A run is still going on.
        """
        run = self._session.begin(say(input), current_loop())
        run.begin(keep_running=keep_running)
        return run

    def run(self, input: Any = None) -> RunResult:
        """Runs to the end, blocking this thread; on the shared loop, so that it works in a notebook.

        Ctrl-C disposes the run.

        Raises:
            BlockingCallError: Called on the shared loop itself.
            HistoryError, InputError, WorkflowBusyError: As `start`.
        """
        loop = blockable_loop("run", "await workflow.arun(…)")
        run = self._session.begin(say(input), loop)
        ended = threading.Event()
        run.on_end(lambda _: ended.set())
        run.begin()
        try:
            ended.wait()
        except BaseException:
            run.dispose()
            raise
        assert run.result is not None
        return run.result

    def run_stream(
        self, input: Any = None, *, state: bool = False, buffer: int = BUFFER, keep_running: bool = False
    ) -> SyncItems[Marker]:
        """The markers of a run, for a plain `for` loop; the run begins with the first step.

        Closing the iterator, breaking out and dropping it, and Ctrl-C dispose the run.

        Args:
            input, state, buffer, keep_running: As for `arun_stream`.

        Raises:
            BlockingCallError: Called on the shared loop itself.
            ConfigurationError: The buffer is no number from 1 on.
            InputError: The input is no message.
            WorkflowBusyError: At the first step, if a run is still going on.
        """
        loop = blockable_loop("run_stream", "async for … in workflow.arun_stream(…)")
        self._session.end_what_was_left()
        seat = Seat()
        markers = self._observed(input, state, seat, keep_running)
        return SyncItems(markers, loop, seat.leave, buffer=buffer)

    async def arun(self, input: Any = None) -> RunResult:
        """Runs to the end on the running loop; cancelling the task disposes the run."""
        run = self.start(input)
        try:
            return await run
        except asyncio.CancelledError:
            run.dispose()
            await cancelled_tasks_ended()
            raise

    def arun_stream(
        self, input: Any = None, *, state: bool = False, buffer: int = BUFFER, keep_running: bool = False
    ) -> AsyncItems[Marker]:
        """The markers of a run, for `async for`; also an async context manager that closes it.

        It begins with the first step; closing, dropping, cancelling and leaving it dispose the run. It
        pulls: when its reader is a buffer behind, the models' answers are not read any further.

        Args:
            input: As for `start`.
            state: Show every StateUpdate, not only those that are made to be shown.
            buffer: How many markers the reader may be behind.
            keep_running: The run waits for no reader, and runs on when he has left.

        Raises:
            ConfigurationError: The buffer is no number from 1 on.
        """
        seat = Seat()
        return AsyncItems(self._observed(input, state, seat, keep_running), seat.leave, buffer=buffer)

    def observe(
        self, input: Any = None, *, state: bool = False, keep_running: bool = False
    ) -> Observable[Marker]:
        """The markers of a run, as an observable; each subscription is a new run, and disposes it."""
        return self._observed(input, state, Seat(), keep_running)

    def _observed(self, input: Any, state: bool, seat: Seat, keep_running: bool) -> Observable[Marker]:
        said = say(input)

        def start(sink: Sink[Marker]) -> abc.DisposableBase:
            run = self._session.begin(said, sink.loop)
            if keep_running:
                run.begin()
                return run.write(sink, state)
            run.read_by(lambda: seat.left or sink.stopped)
            markers = run.write(sink, state)
            return CompositeDisposable(Disposable(run.dispose), markers)

        return Emitter(start)

    def restart(self) -> None:
        """Forgets the conversation, in its history too, and begins a new one.

        Raises:
            WorkflowBusyError: A run is still going on.
        """
        self.conversation = Conversation()

    def record(self, path: str | os.PathLike[str], *, redact: Redact | None = None) -> Recorder:
        """Writes each run that begins from now on to a file, with what its models were asked.

        Blocks, messages token by token, tool results, state, and the requests of all its models, as they
        come; see `rxagents.recording.journals`, and `rxagents.recording.redaction` for what is left out.
        `rxagents.testing.replay` answers from it for the whole team. It changes nothing in a run.

        Args:
            path: Of the file, which is begun anew with the first run.
            redact: Takes out more: called with the JSON-able body of each request, and with each other
                message as a body of its own, it returns what to write. What models say stays.

        Returns:
            A context manager that ends the recording: `with workflow.record("run.jsonl"):`.

        Raises:
            ConfigurationError: Nothing can be written there.
        """
        return self._session.record(path, redact)
