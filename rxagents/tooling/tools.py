"""A function that a model may call: its wire form, and its calling."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ..engine.limits import Limit
from ..engine.threads import call_in_thread
from ..errors import ConfigurationError, ToolArgumentsError, ToolFailedError, ToolTimeoutError
from ..places import words
from ..transcripts import Transcript
from .contexts import Context, TurnState
from .docstrings import name_of, origin_of
from .signatures import Signature, fits_as_name
from .tool_results import DONE, encoded, parted

__all__ = ["OnDropped", "Tool"]

OnDropped = Callable[[BaseException], None]


class Tool:
    """A function that a model may call.

    The JSON schema comes from the signature. `Annotated[T, "text"]` or `Annotated[T, Field(...)]`
    describes a parameter; without, the entry of a Google-style `Args:` section does. A parameter
    annotated as `Context` or `Transcript` is not the model's to fill: it gets what the calling agent
    heard, and may change variables through a Context.

    Args:
        function: A function, method, partial, callable object or async generator function, plain or
            async. All its parameters must be passable by name.
        name: By default the function's own, or the class of a callable object.
        description: What the model reads. By default the first paragraph of the docstring.
        timeout: Seconds that a call may take on the loop's time, waiting for a thread included.

    Attributes:
        name: The tool's name.
        description: What the model reads; may be empty.
        parameters: The JSON schema of the arguments. Not to be changed.
        definition: The wire form, as in the `tools` of OpenAI's chat completions. Not to be changed.
        is_async: Whether it is called on the event loop, and not in a thread.
        streams: Whether it is an async generator function.

    Raises:
        ConfigurationError: The name, a parameter or the timeout does not do; the text says which.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"a tool must be callable; {function!r} is a {type(function).__name__}")
        self.function = function
        self.name = name_of(function) if name is None else name
        if not fits_as_name(self.name):
            raise ConfigurationError(
                f"the tool name {self.name!r} does not fit [A-Za-z0-9_-]{{1,64}}; pass another as name=…"
            )
        if timeout is not None and not _is_duration(timeout):
            raise ConfigurationError(
                f"the tool {self.name!r}: timeout must be seconds from 0 on, or None; it is {timeout!r}"
            )
        self.timeout = timeout
        self.streams = inspect.isasyncgenfunction(origin_of(function))
        self._signature = Signature(function, tool=self.name)
        self.description = self._signature.summary if description is None else description
        self.parameters = self._signature.schema
        self.is_async = self._signature.is_async or self.streams
        self.definition: dict[str, Any] = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    async def call(
        self,
        arguments: str,
        *,
        context: Context | None = None,
        limit: Limit | None = None,
        on_dropped: OnDropped | None = None,
    ) -> str:
        """Calls the function and gives its result as text.

        An async function runs on the running loop, any other in a thread (`call_in_thread`); an
        awaitable that a function returns is awaited on the loop. A text is given as it is, anything
        else as JSON: None as `null`, an enum as its value, what JSON does not know as its `str`. What
        an async generator yields is its progress, and the last of it its result. StateUpdates that it
        returns, by themselves or in a tuple, or yields, change the conversation and are no result.

        Args:
            arguments: JSON text, as the model sent it; an empty one counts as `{}`.
            context: The conversation that it is called in; by default an empty one.
            limit: Bounds the threads that are out at once.
            on_dropped: Gets what the function raises after it was cancelled or its thread abandoned.

        Raises:
            ToolArgumentsError: The arguments are no JSON or do not fit; one line for each error.
            ToolTimeoutError: It took longer than `timeout`. A thread is abandoned.
            ToolFailedError: The function raised, or its result cannot be encoded; see `__cause__`.
            asyncio.CancelledError: The calling task was cancelled. A thread is abandoned.
        """
        context = context or Context(TurnState(Transcript()))
        try:
            async with asyncio.timeout(self.timeout):
                return await self._call(arguments, context, limit, on_dropped)
        except TimeoutError as error:
            raise ToolTimeoutError(
                f"the tool {self.name!r} did not answer within {self.timeout:g} s"
            ) from error

    async def _call(
        self, arguments: str, context: Context, limit: Limit | None, on_dropped: OnDropped | None
    ) -> str:
        # Everything that the tool itself raises becomes a ToolError here, within the timeout's scope:
        # so a TimeoutError that leaves the scope can only be ours.
        try:
            values = self._signature.validate(arguments)
        except ToolArgumentsError:
            raise
        except Exception as error:  # a validator of the tool's own types may raise anything
            raise self._failed(error) from error
        for name, kind in self._signature.given.items():
            values[name] = context if kind is Context else context.transcript
        before = _cancel_requests()
        try:
            if self.streams:
                result = await self._last(self.function(**values), context)
            elif self.is_async:
                result = self.function(**values)
            else:
                result = await call_in_thread(
                    lambda: self._run(values, context), limit=limit, on_dropped=on_dropped
                )
            text = self._told(await result if inspect.isawaitable(result) else result, context)
        except (Exception, SystemExit) as error:
            if _cancel_requests() > before:
                if on_dropped is not None:
                    on_dropped(error)
                raise asyncio.CancelledError from error
            raise self._failed(error) from error
        except asyncio.CancelledError as error:
            if _cancel_requests():
                raise
            # Nobody cancelled this task: the tool awaited something that was cancelled.
            raise self._failed(error) from error
        # A tool may catch its cancellation and answer or fail all the same: then who cancelled is obeyed.
        if _cancel_requests() > before:
            raise asyncio.CancelledError
        return text

    def _run(self, values: dict[str, Any], context: Context) -> Any:
        # Encoding belongs into the thread too: results can be large, and iterators run here.
        result = self.function(**values)
        return result if inspect.isawaitable(result) else self._told(result, context)

    async def _last(self, yielded: AsyncGenerator[Any], context: Context) -> Any:
        result: Any = None
        async with aclosing(yielded) as values:
            async for value in values:
                rest, changes = parted(value)
                for change in changes:
                    context.emit(change)
                if changes and rest == DONE:
                    result = rest if result is None else result
                    continue
                context.progress(encoded(rest))
                result = rest
        return result

    @staticmethod
    def _told(result: Any, context: Context) -> str:
        rest, changes = parted(result)
        text = encoded(rest)
        for change in changes:
            context.emit(change)
        return text

    def _failed(self, error: BaseException) -> ToolFailedError:
        return ToolFailedError(f"the tool {self.name!r} failed: {type(error).__name__}: {words(error)}")

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def _cancel_requests() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _is_duration(timeout: object) -> bool:
    return isinstance(timeout, int | float) and timeout >= 0 and math.isfinite(timeout)
