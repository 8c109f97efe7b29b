"""A function that a model may call: its wire form, and its calling."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..checks import check_number, check_seconds
from ..engine.limits import Limit
from ..errors import ConfigurationError, ToolArgumentsError, ToolFailedError, ToolTimeoutError
from ..transcripts import Transcript
from .attempts import Attempts, OnDropped, after, failed, why
from .call_limits import CallLimits, ToolRetry, shortened
from .contexts import Context, TurnState
from .docstrings import name_of, origin_of
from .pending_calls import Approval, check_approval
from .signatures import Signature, fits_as_name

__all__ = ["Tool"]


class Tool:
    """A function that a model may call.

    The JSON schema comes from the signature. `Annotated[T, "text"]` or `Annotated[T, Field(...)]`
    describes a parameter; without, the entry of a Google-style `Args:` section does. A parameter
    annotated as `Context` or `Transcript` is not the model's to fill: it gets what the calling agent
    heard, and may change variables through a Context.

    A tool may stream: as a generator function, async or not, or by giving an observable. Each thing that
    it yields or emits is shown as progress when it comes, and the last one is the result; so is what a
    generator returns, if that is not None, and that is not shown. The messages of a conversation
    (`return other.ask(task)`) are shown token by token, and the result is the text of the last one.

    Args:
        function: A function, method, partial, callable object or generator function, plain or async. All
            its parameters must be passable by name.
        name: By default the function's own, or the class of a callable object.
        description: What the model reads. By default the first paragraph of the docstring.
        timeout: Seconds that an attempt may take on the loop's time, waiting for its place and for a thread
            included; it stands still while a reader pauses. A call that the model made waits no longer, but a
            blocking function runs on.
        max_concurrent: How many of its calls may run at once, for all the agents that have this Tool, on
            all loops; first come, first served. An abandoned thread counts until it has ended.
        retry: How often it is called again after it raised, or a ToolRetry that says more.
        max_result: Characters of a result or an error that the model gets, with a note of how many were
            cut. Progress is for no model, and never cut.
        early: Whether it may start before the model has ended, where the agent has `early_calls`. Not for
            what must not be done if the model then fails, or takes back what it said.
        approval: Whether a call waits until somebody approves it: True, or a function of the PendingCall,
            plain (called on the loop) or async; if it raises, the model is told, and the call is not run.

    Attributes:
        name: The tool's name.
        description: What the model reads; may be empty.
        parameters: The JSON schema of the arguments. Not to be changed.
        definition: The wire form, as in the `tools` of OpenAI's chat completions. Not to be changed.
        is_async: Whether it is called on the event loop, and not in a thread.
        streams: Whether it is a generator function, async or not.

    Raises:
        ConfigurationError: The name, a parameter or a limit does not do; the text says which.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        max_concurrent: int | None = None,
        retry: int | ToolRetry = 0,
        max_result: int | None = None,
        early: bool = True,
        approval: Approval = False,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"a tool must be callable; {function!r} is a {type(function).__name__}")
        self.function = function
        self.name = name_of(function) if name is None else name
        if not fits_as_name(self.name):
            raise ConfigurationError(
                f"the tool name {self.name!r} does not fit [A-Za-z0-9_-]{{1,64}}; pass another as name=…"
            )
        what = f"the tool {self.name!r}"
        self.timeout = None if timeout is None else check_seconds(what, "timeout", timeout, zero=True)
        self.max_result = None if max_result is None else check_number(what, "max_result", max_result, 1)
        self.approval = check_approval(self.name, approval)
        self.retry = retry if isinstance(retry, ToolRetry) else ToolRetry(retry)
        places = (
            None if max_concurrent is None else Limit(check_number(what, "max_concurrent", max_concurrent, 1))
        )
        self.early = early
        origin = origin_of(function)
        yields_async = inspect.isasyncgenfunction(origin)
        self.streams = yields_async or inspect.isgeneratorfunction(origin)
        self._signature = Signature(function, tool=self.name)
        self.description = self._signature.summary if description is None else description
        self.parameters = self._signature.schema
        self.is_async = self._signature.is_async or yields_async
        self._attempts = Attempts(self.name, function, self.is_async, timeout, places)
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
        defaults: CallLimits | None = None,
    ) -> str:
        """Calls the function and gives its result as text.

        An async function runs on the running loop, any other in a thread (`call_in_thread`); an
        awaitable that a function returns is awaited on the loop, and an observable heard there. A text is
        given as it is, a Message as its text, anything else as JSON: None as `null`, an enum as its value,
        what JSON does not know as its `str`. StateUpdates that it returns, by themselves or in a tuple, or
        yields, change the conversation and are no result.

        Args:
            arguments: JSON text, as the model sent it; an empty one counts as `{}`.
            context: The conversation that it is called in; by default an empty one.
            limit: Bounds the threads that are out at once.
            on_dropped: Gets what the function raises after it was cancelled or its thread abandoned.
            defaults: What counts where the tool says nothing of its own.

        Raises:
            ToolArgumentsError: The arguments are no JSON or do not fit; one line for each error.
            ToolTimeoutError: It took longer than `timeout`. A thread is abandoned.
            ToolFailedError: The function raised, or its result cannot be encoded; see `__cause__`.
            asyncio.CancelledError: The calling task was cancelled. A thread is abandoned.
        """
        context = context or Context(TurnState(Transcript()))
        defaults = defaults or CallLimits()
        attempt = 1
        while True:
            values = self._values(arguments, context)  # anew, since a function may change what it gets
            try:
                text = await self._attempts.make(values, context, limit, on_dropped, defaults)
                return shortened(text, self.most(defaults))
            except (ToolFailedError, ToolTimeoutError) as error:
                cause = error if isinstance(error, ToolTimeoutError) else error.__cause__
                if not self.retry.goes_on(attempt, cause):
                    raise after(attempt, error) from error.__cause__
                pause = self.retry.pause(attempt)
                then = f"in {pause:g} s" if pause else "now"
                context.progress(f"attempt {attempt} failed: {why(error)}; again {then}")
            await asyncio.sleep(pause)
            attempt += 1

    def shown(self, arguments: str) -> dict[str, Any]:
        """The arguments of a call as JSON data, with their defaults, for a person to read.

        Raises:
            ToolError: They are no JSON or do not fit.
        """
        try:
            return self._signature.shown(arguments)
        except ToolArgumentsError:
            raise
        except Exception as error:
            raise failed(self.name, error) from error

    def most(self, defaults: CallLimits) -> int | None:
        """Characters of a result that the model gets."""
        return defaults.max_result if self.max_result is None else self.max_result

    def _values(self, arguments: str, context: Context) -> dict[str, Any]:
        try:
            values = self._signature.validate(arguments)
        except ToolArgumentsError:
            raise
        except Exception as error:  # a validator of the tool's own types may raise anything
            raise failed(self.name, error) from error
        for name, kind in self._signature.given.items():
            values[name] = context if kind is Context else context.transcript
        return values

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"
