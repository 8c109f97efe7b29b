"""One attempt at a tool's work: its place, its time, its thread, and what it raises."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import AsyncGeneratorType
from typing import Any

from reactivex import Observable

from ..engine.demanded_time import timeout_while_wanted
from ..engine.limits import Limit
from ..engine.threads import call_in_thread
from ..errors import AgentError, ToolError, ToolFailedError, ToolTimeoutError
from ..places import where, words
from ..recording.masks import masked
from .call_limits import CallLimits, Place
from .contexts import Context
from .streamed_results import Steps, drained, heard, is_generator

__all__ = ["Attempts", "OnDropped", "after", "failed", "why"]

OnDropped = Callable[[BaseException], None]


class _Told(Enum):
    TOLD = "told"  # in the thread already


@dataclass(frozen=True, slots=True)
class Attempts:
    """How a tool makes its attempts.

    Args:
        name: The tool's name.
        function: What it calls.
        is_async: Whether on the event loop, and not in a thread.
        timeout: Seconds that an attempt may take, its waiting included.
        places: How many may be made at once.
    """

    name: str
    function: Callable[..., Any]
    is_async: bool
    timeout: float | None
    places: Limit | None

    async def make(
        self,
        values: dict[str, Any],
        context: Context,
        limit: Limit | None,
        on_dropped: OnDropped | None,
        defaults: CallLimits,
    ) -> str:
        """Makes one and gives its result as text; see `Tool.call`.

        Args:
            values: The arguments by name.
            context: The conversation that it is made in.
            limit: Bounds the threads that are out at once.
            on_dropped: Gets what is raised after the end.
            defaults: What counts where the tool says nothing of its own.
        """
        timeout = defaults.timeout if self.timeout is None else self.timeout
        # the tool's first: who waits for that keeps no place from the agent's other tools
        place = Place(self.places, defaults.places)
        try:
            async with timeout_while_wanted(timeout):
                await place.take()
                return await self._made(values, Steps(context), place, limit, on_dropped)
        except TimeoutError as error:
            how = "answer" if place.taken else "begin"
            why = "" if place.taken else ", since as many calls as may run at once were running"
            late = ToolTimeoutError(f"the tool {self.name!r} did not {how} within {timeout:g} s{why}")
            late.began = place.taken
            raise late from error
        finally:
            place.leave()

    async def _made(
        self,
        values: dict[str, Any],
        steps: Steps,
        place: Place,
        limit: Limit | None,
        on_dropped: OnDropped | None,
    ) -> str:
        # Everything that the tool itself raises becomes a ToolError here, within the timeout's scope:
        # so a TimeoutError that leaves the scope can only be ours.
        before = _cancel_requests()

        async def in_thread(work: Callable[[], Any]) -> Any:
            return await call_in_thread(lambda: place.occupied(work), limit=limit, on_dropped=on_dropped)

        try:
            if self.is_async:
                result = self.function(**values)
            else:
                result = await in_thread(lambda: _told(self.function(**values), steps, place))
            if _is_awaited(result):
                result = await result
            if is_generator(result):
                await in_thread(lambda: drained(result, steps, lambda: place.left))
            elif result is not _Told.TOLD and not await heard(result, steps):
                steps.end(result)
        except (Exception, SystemExit) as error:
            if _cancel_requests() > before:
                if on_dropped is not None:
                    on_dropped(error)
                raise asyncio.CancelledError from error
            raise failed(self.name, error) from error
        except asyncio.CancelledError as error:
            if _cancel_requests():
                raise
            # Nobody cancelled this task: the tool awaited something that was cancelled.
            raise failed(self.name, error) from error
        # A tool may catch its cancellation and answer or fail all the same: then who cancelled is obeyed.
        if _cancel_requests() > before:
            raise asyncio.CancelledError
        return steps.text


def failed(tool: str, error: BaseException) -> ToolFailedError:
    """The error of a tool that raised."""
    return ToolFailedError(f"the tool {tool!r} failed: {_said(error, tool)}")


def after(attempt: int, error: ToolFailedError | ToolTimeoutError) -> ToolError:
    """The error of the last attempt, which says so if it was not the first."""
    if attempt > 1:
        error.args = (f"{error} (in attempt {attempt})",)
    return error


def why(error: ToolError) -> str:
    """What went wrong, without saying that it was the tool."""
    cause = error.__cause__
    if isinstance(error, ToolFailedError) and cause is not None:
        return _said(cause)
    return str(error)


def _said(error: BaseException, tool: str = "") -> str:
    """What an error says, and in whom, where that was somebody whom the tool asked."""
    text = words(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {words(error)}"
    places = where(error)
    return masked(f"{text} (in {' > '.join(places)})" if places and places != (tool,) else text)


def _told(result: Any, steps: Steps, place: Place) -> Any:
    # Encoding belongs into the thread too: results can be large, and iterators run here.
    if _is_awaited(result) or isinstance(result, (Observable, AsyncGeneratorType)):
        return result
    if is_generator(result):
        drained(result, steps, lambda: place.left)
    elif not place.left:
        steps.end(result)
    return _Told.TOLD


def _is_awaited(result: object) -> bool:
    # an observable can be awaited as well, for its last item
    return inspect.isawaitable(result) and not isinstance(result, Observable)


def _cancel_requests() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
