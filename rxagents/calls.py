"""Running the calls of a turn: side by side, the results back in call order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from .engine.limits import Limit
from .engine.loops import dropped, hop, is_on
from .participants import Emit
from .streams import MessageStream
from .tooling.contexts import Context, TurnState
from .tooling.toolboxes import Toolbox
from .transcripts import Item
from .values import FunctionResult, ToolCall, delta

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
    """

    def __init__(
        self,
        agent: str,
        toolbox: Toolbox,
        limit: Limit,
        stream: MessageStream,
        state: TurnState,
        show: Callable[[Item], None],
    ) -> None:
        self._agent = agent
        self._toolbox = toolbox
        self._limit = limit
        self._stream = stream
        self._state = state
        self._show = show

    async def answer(self, calls: Iterable[ToolCall], emit: Emit) -> None:
        """Runs the calls of one round side by side; the results go back in call order."""
        running = [asyncio.ensure_future(self._call(call, emit)) for call in calls]

        def cancel(_: object) -> None:
            for task in running:
                task.cancel()

        # a witness, since the turn itself hears of its end only with the loop's next round, and by
        # then a tool that was about to start would have started
        self._stream.on_end(cancel)
        for task in running:
            emit(await task)

    async def _call(self, call: ToolCall, emit: Emit) -> FunctionResult:
        loop = asyncio.get_running_loop()

        def progress(text: str) -> None:
            shown = {"id": call.id, "name": call.function.get("name", ""), "content": text}
            tell = partial(emit, delta(progress=shown))
            if is_on(loop):
                tell()
            else:
                hop(loop, tell)  # from a tool's thread; when the loop is closed, there is nobody to tell

        return await self._toolbox.answer(
            call,
            context=Context(self._state, progress, self._show),
            limit=self._limit,
            on_dropped=lambda error: dropped(
                error, f"a tool of agent {self._agent} raised after its run ended"
            ),
        )
