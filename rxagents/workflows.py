"""Workflow: one conversation with an agent or a team, a run at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable

from .async_items import AsyncItems
from .bridges import forward, from_async
from .conversations import Conversation, held
from .errors import BlockingCallError, ConfigurationError, WorkflowBusyError
from .flatten import say
from .loops import current_loop, is_on, shared_loop
from .operators import Marker
from .participants import Emit, until_ended
from .replays import Replay
from .runs import Run, RunResult
from .sinks import Emitter, Sink, just
from .sync_items import SyncItems
from .tasks import cancelled_tasks_ended
from .transcripts import Item, Transcript
from .values import SystemMessage

__all__ = ["Workflow"]

_log = logging.getLogger("rxagents.workflow")

# Seconds; what was left ends within milliseconds, unless its loop is blocked.
_PATIENCE = 1.0


class Workflow:
    """A conversation with an agent, a team, or any operator on conversations, kept from run to run.

    `start` begins a run; `run`, `run_stream`, `arun`, `arun_stream` and `observe` are views of one.
    None of them raises for what goes wrong within a run: that is its `error` marker and its result.

    A run that was left (disposed, or its iterator closed or dropped) has ended when anything else is
    asked of the workflow from the thread that left it: the next run may begin at once.

    ```
    input     q
    observe   -(start delta)-delta-(response end result|)
    ```

    Args:
        askable: Whom to ask.
        conversation: To go on with; by default a new one.
        system_prompt: The first message of a new conversation.
    """

    def __init__(
        self,
        askable: Callable[[Observable[Item]], Observable[Item]],
        conversation: Conversation | None = None,
        system_prompt: str = "",
    ) -> None:
        if not callable(askable):
            raise ConfigurationError(
                f"a workflow asks an agent, a team or an operator, not {type(askable).__name__}"
            )
        self.askable = askable
        self.system_prompt = system_prompt
        self._conversation = held(conversation)
        self._current: Run | None = None
        self._starting = threading.Lock()

    @property
    def conversation(self) -> Conversation:
        """What was said so far; while a run is going on, with all messages that have ended."""
        self._end_what_was_left()
        return self._conversation

    @conversation.setter
    def conversation(self, conversation: Conversation) -> None:
        self._end_what_was_left()
        with self._starting:
            self._check_idle()
            self._conversation = held(conversation)

    def start(self, input: Any) -> Run:
        """Begins a run: on the running loop of this thread, else on the shared one.

        Args:
            input: Anything that `say` takes.

        Raises:
            InputError: The input is no message.
            WorkflowBusyError: A run is still going on.
        """
        run = self._new_run(say(input), current_loop())
        run.begin()
        return run

    def run(self, input: Any) -> RunResult:
        """Runs to the end, blocking this thread; on the shared loop, so that it works in a notebook.

        Ctrl-C disposes the run.

        Raises:
            BlockingCallError: Called on the shared loop itself.
            InputError, WorkflowBusyError: As `start`.
        """
        loop = _blockable("run", "await workflow.arun(…)")
        run = self._new_run(say(input), loop)
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

    def run_stream(self, input: Any, *, state: bool = False) -> SyncItems[Marker]:
        """The markers of a run, for a plain `for` loop; the run begins with the first step.

        Closing the iterator, breaking out and dropping it, and Ctrl-C dispose the run.

        Raises:
            BlockingCallError: Called on the shared loop itself.
            InputError: The input is no message.
            WorkflowBusyError: At the first step, if a run is still going on.
        """
        loop = _blockable("run_stream", "async for … in workflow.arun_stream(…)")
        self._end_what_was_left()
        seat = _Seat()
        return SyncItems(self._observed(input, state, seat), loop, seat.leave)

    async def arun(self, input: Any) -> RunResult:
        """Runs to the end on the running loop; cancelling the task disposes the run."""
        run = self.start(input)
        try:
            return await run
        except asyncio.CancelledError:
            run.dispose()
            await cancelled_tasks_ended()
            raise

    def arun_stream(self, input: Any, *, state: bool = False) -> AsyncItems[Marker]:
        """The markers of a run, for `async for`; also an async context manager that closes it.

        It begins with the first step; closing, dropping, cancelling and leaving it dispose the run.
        """
        seat = _Seat()
        return AsyncItems(self._observed(input, state, seat), seat.leave)

    def observe(self, input: Any, *, state: bool = False) -> Observable[Marker]:
        """The markers of a run, as an observable; each subscription is a new run, and disposes it."""
        return self._observed(input, state, _Seat())

    def _observed(self, input: Any, state: bool, seat: _Seat) -> Observable[Marker]:
        said = say(input)

        def start(sink: Sink[Marker]) -> CompositeDisposable:
            run = self._new_run(said, sink.loop)
            run.read_by(lambda: seat.left or sink.stopped)
            markers = run.markers(state=state).subscribe(sink)
            return CompositeDisposable(Disposable(run.dispose), markers)

        return Emitter(start)

    def restart(self) -> None:
        """Forgets the conversation and begins a new one.

        Raises:
            WorkflowBusyError: A run is still going on.
        """
        self.conversation = Conversation()

    def _new_run(self, said: Observable[Item], loop: asyncio.AbstractEventLoop) -> Run:
        self._end_what_was_left()
        with self._starting:
            self._check_idle()
            conversation = self._conversation
            if self.system_prompt and not len(conversation):
                conversation.append(SystemMessage(self.system_prompt))
            run = Run(from_async(lambda emit: self._converse(said, run, emit)), conversation)
            run.bind(loop)  # before another thread can see it
            run.on_end(self._ended)
            self._current = run
            _log.debug("%r: a run begins after %d messages", self.askable, len(conversation))
            return run

    def _ended(self, run: Run) -> None:
        _log.debug("%r: the run ended: %s", self.askable, run.result)
        if self._current is run:
            self._current = None

    def _end_what_was_left(self) -> None:
        run = self._current
        if run is not None:
            run.end_if_left(_PATIENCE)

    def _check_idle(self) -> None:
        if self._current is not None and self._current.going_on:
            raise WorkflowBusyError(
                "this workflow is in the middle of a run; let it end, dispose it, or make another "
                "workflow with workflow.conversation.fork()"
            )

    async def _converse(self, said: Observable[Item], run: Run, emit: Emit) -> None:
        inputs: list[Item] = []

        def put_in(item: Item) -> None:
            inputs.append(item)
            emit(item)

        await forward(said, put_in)
        for item in inputs:
            if isinstance(item, Replay):
                await until_ended(item)
        run.asked()
        await forward(_operated(self.askable, run.transcript), emit)


class _Seat:
    """Whoever reads a run through an iterator. That he has left is known at once, in every thread."""

    left = False

    def leave(self) -> None:
        self.left = True


def _operated(askable: Callable[[Observable[Item]], Any], transcript: Transcript) -> Observable[Item]:
    output = askable(just(transcript))
    if not isinstance(output, Observable):
        raise ConfigurationError(
            f"{askable!r} gave {type(output).__name__} and no observable; a workflow asks an agent, a team, "
            "or an operator such as `lambda source: source.pipe(a, b)`"
        )
    return output


def _blockable(name: str, instead: str) -> asyncio.AbstractEventLoop:
    loop = shared_loop()
    if is_on(loop):
        raise BlockingCallError(
            f"{name} would block the very loop that it waits for; here it takes `{instead}`"
        )
    return loop
