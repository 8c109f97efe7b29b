"""A tool whose answers are lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from ...engine.bridges import forward
from ...engine.emitters import Emitter
from ...errors import ConfigurationError, ScriptError
from ...tooling.contexts import Context
from ...tooling.tool_results import encoded
from ...tooling.tools import Tool
from ..lanes import Lane
from .calls import CallList
from .drawn_items import ignored, play, virtual_loop

__all__ = ["MarbleTool"]

_CONTEXT = "marble_context"  # a parameter that no model sees


class MarbleTool(Tool):
    """A tool whose work is drawn; `marbles.tool` makes it.

    The last item of a lane that completes is the result, when it does. Every other item is progress, shown
    at its time. A `#` is what it raises. Cancelling a call cancels its lane.

    Args:
        name: The tool's name.
        lanes: One for all calls, or one for each.
        arguments: The parameters that the model sees, by name, each with its type.
        description: What the model reads.
        options: As of any Tool: its timeout, its retry, …
        on_misuse: Told when a call finds no lane, or comes outside of the clock.

    Attributes:
        arguments: Those of each call, in order.
        calls: When each call began and ended; `calls[0]` may be spoken of before it is made.
    """

    def __init__(
        self,
        name: str,
        lanes: tuple[Lane, ...],
        *,
        arguments: Mapping[str, Any] | None = None,
        description: str = "",
        on_misuse: Callable[[str], None] = ignored,
        **options: Any,
    ) -> None:
        if not lanes:
            raise ConfigurationError(f"the tool {name!r}: draw a lane that ends with its result")
        self.arguments: list[dict[str, Any]] = []
        self.calls = CallList(f"{name}.calls")
        self._lanes = lanes
        self._on_misuse = on_misuse

        async def work(**values: Any) -> Any:
            return await self._work(values.pop(_CONTEXT), values)

        seen = {**(arguments or {}), _CONTEXT: Context}
        work.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(key, Parameter.KEYWORD_ONLY, annotation=of) for key, of in seen.items()]
        )
        super().__init__(work, name=name, description=description, **options)

    @property
    def unused(self) -> int:
        """How many lanes no call has asked for; one lane serves all calls."""
        return max(len(self._lanes) - len(self.calls), 0) if len(self._lanes) > 1 else 0

    async def _work(self, context: Context, values: dict[str, Any]) -> Any:
        loop = virtual_loop(f"the tool {self.name}", self._on_misuse)
        self.arguments.append(values)
        entry = self.calls.begin(loop.time())
        result: Any = None
        left = 0

        def take(item: Any) -> None:
            nonlocal result, left
            left -= 1
            if left:
                context.progress(encoded(item))
            else:
                result = item

        try:
            lane = self._lane()
            # what is drawn last is known to be the last; of one that never completes, nothing is
            completes = lane.end is not None and lane.end.kind == "completed"
            left = len(lane.events) - 1 if completes else 0
            await forward(Emitter(lambda sink: play(lane, sink, loop, loop.time())), take)
        finally:
            entry.end(asyncio.get_running_loop().time())
        return result

    def _lane(self) -> Lane:
        number = len(self.calls)
        if len(self._lanes) == 1:
            return self._lanes[0]
        if number <= len(self._lanes):
            return self._lanes[number - 1]
        words = (
            f"the tool {self.name} has {len(self._lanes)} lanes, and call {number} came; draw another lane"
        )
        self._on_misuse(words)
        raise ScriptError(words)

    def __repr__(self) -> str:
        return self.name
