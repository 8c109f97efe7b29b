"""Running the calls of a turn: side by side, the results back in call order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import Any

from ..engine.limits import Limit
from ..engine.loops import dropped, hop, is_on
from ..participants import Emit
from ..streams import MessageStream
from ..tooling.contexts import Context, TurnState
from ..tooling.toolboxes import Toolbox
from ..transcripts import Item
from ..values import FunctionResult, ToolCall, delta
from .early_calls import EarlyCalls
from .gated_calls import GatedCalls

__all__ = ["Calls"]


class Calls:
    """The calls of one turn.

    Args:
        agent: The id of the agent whose turn it is.
        toolbox: Its tools.
        limit: Bounds the threads of its tools that are out at once.
        stream: The message of the turn, which carries progress and results.
        state: The conversation as it stands in the midst of the turn.
        show: Emits an item beside the message, from any thread.
        gate: Where those wait that need approval.
    """

    def __init__(
        self,
        agent: str,
        toolbox: Toolbox,
        limit: Limit,
        stream: MessageStream,
        state: TurnState,
        show: Callable[[Item], None],
        gate: GatedCalls,
    ) -> None:
        self._agent = agent
        self._toolbox = toolbox
        self._limit = limit
        self._stream = stream
        self._state = state
        self._show = show
        self._gate = gate
        self._early: EarlyCalls | None = None

    def early(self, emit: Emit) -> Emit:
        """How to emit what a model says so that each call starts as soon as its arguments are whole."""
        surroundings = copy_context()  # a delta may come in those of the model

        def start(call: ToolCall) -> asyncio.Task[FunctionResult] | None:
            tool = self._toolbox.get(call.function["name"])
            if tool is None or not tool.early or tool.approval:
                return None
            loop = asyncio.get_running_loop()
            return loop.create_task(self._run(call, emit), context=surroundings.copy())

        def emit_and_hear(item: Any) -> None:
            emit(item)
            if not self._stream.ended:
                early.hear(item)

        early = self._early = EarlyCalls(start)
        self._stream.on_end(lambda _: early.cancel())
        return emit_and_hear

    async def answer(self, calls: Iterable[ToolCall], emit: Emit) -> None:
        """Runs the calls of one round side by side; the results go back in call order."""
        begun: list[asyncio.Task[FunctionResult]] = []
        running: list[asyncio.Task[FunctionResult]] = []
        calls = self._gate.begin(calls)
        early, self._early = self._early, None
        for call in calls:
            task = None if early is None else early.taken(call)
            if task is not None:
                begun.append(task)
            running.append(asyncio.ensure_future(self._call(call, emit, task)))
        if early is not None:
            early.cancel()

        def cancel(_: object) -> None:
            for task in (*running, *begun):
                task.cancel()

        # a witness, since the turn itself hears of its end only with the loop's next round, and by
        # then a tool that was about to start would have started
        self._stream.on_end(cancel)
        broken: asyncio.Future[FunctionResult] = asyncio.get_running_loop().create_future()
        for task in running:
            task.add_done_callback(partial(_breaks, broken))
        for task in running:
            # one that fails is not hidden behind one that waits for somebody
            if not task.done():
                await asyncio.wait((task, broken), return_when=asyncio.FIRST_COMPLETED)
            emit((broken if broken.done() else task).result())

    async def _call(
        self, call: ToolCall, emit: Emit, begun: asyncio.Task[FunctionResult] | None
    ) -> FunctionResult:
        """Answers a call of the round; `begun` runs already."""
        admitted = await self._gate.admitted(call)
        if admitted is not call and begun is not None:
            begun.cancel()
            begun = None
        if isinstance(admitted, FunctionResult):
            return admitted
        result = await (self._run(admitted, emit) if begun is None else begun)
        return self._gate.answered(call, result)

    async def _run(self, call: ToolCall, emit: Emit) -> FunctionResult:
        loop = asyncio.get_running_loop()
        answered = False

        def tell(text: str) -> None:
            if not answered:  # what an abandoned thread still says is not shown
                name = call.function.get("name", "")
                emit(delta(progress={"id": call.id, "name": name, "content": text}))

        def progress(text: str) -> None:
            if is_on(loop):
                tell(text)
            else:
                hop(loop, partial(tell, text))  # when the loop is closed, there is nobody to tell

        try:
            return await self._toolbox.answer(
                call,
                context=Context(self._state, progress, self._show),
                limit=self._limit,
                on_dropped=lambda error: dropped(
                    error, f"a tool of agent {self._agent} raised after its run ended"
                ),
            )
        finally:
            answered = True


def _breaks(broken: asyncio.Future[FunctionResult], task: asyncio.Task[FunctionResult]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not broken.done():
        broken.set_exception(error)
