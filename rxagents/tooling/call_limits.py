"""What bounds a call: how long, how many at once, how often again, and how long its result may be."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ..checks import check_number, check_seconds
from ..engine.limits import Limit
from ..errors import ConfigurationError, ToolTimeoutError

__all__ = ["CallLimits", "Place", "ToolRetry", "call_limits", "shortened"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What counts for a call where its tool says nothing of its own.

    Args:
        timeout: Seconds that an attempt may take.
        max_result: Characters of a result that the model gets.
        places: How many calls may run at once, whichever tools they are of.
    """

    timeout: float | None = None
    max_result: int | None = None
    places: Limit | None = None


def call_limits(what: str, timeout: float | None, max_result: int | None, n: int | None) -> CallLimits:
    """The limits that an agent was given, checked."""
    return CallLimits(
        None if timeout is None else check_seconds(what, "tool_timeout", timeout, zero=True),
        None if max_result is None else check_number(what, "max_tool_result", max_result, 1),
        None if n is None else Limit(check_number(what, "max_concurrent_tools", n, 1)),
    )


@dataclass(frozen=True, slots=True)
class ToolRetry:
    """How a tool is called again after it raised.

    Give it only to tools that may safely do a thing twice: what an attempt has done before it failed,
    and what it changed in the conversation, stays. Between two attempts the call gives its place to
    others. A progress delta tells of each attempt that failed; the model hears of the last one only.

    Args:
        times: How often it is called again, at the most.
        on: Which exceptions of the tool's own, a class or a tuple of them. Bad arguments never count; what
            took too long does where `ToolTimeoutError` is named.
        delay: Seconds before the second attempt, on the loop's time.
        factor: By how much each delay is longer than the one before it.
        longest: Seconds that no delay exceeds.

    Raises:
        ConfigurationError: One of them does not do; the text says which.
    """

    times: int
    on: type[BaseException] | tuple[type[BaseException], ...] = Exception
    delay: float = 0.0
    factor: float = 2.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        check_number("retry", "times", self.times, 0)
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise ConfigurationError(f"retry: on is {self.on!r}; give an exception class, or a tuple of them")
        check_seconds("retry", "delay", self.delay, zero=True)
        check_seconds("retry", "longest", self.longest, zero=True)
        if not isinstance(self.factor, int | float) or not 1 <= self.factor < math.inf:
            raise ConfigurationError(f"retry: factor is {self.factor!r}; it must be a number, 1 or more")

    def goes_on(self, attempt: int, error: BaseException | None) -> bool:
        """Whether there is another attempt after this one (from 1), which failed so."""
        if attempt > self.times:
            return False
        if isinstance(error, ToolTimeoutError):
            kinds = self.on if isinstance(self.on, tuple) else (self.on,)
            return any(issubclass(kind, ToolTimeoutError) for kind in kinds)
        return isinstance(error, self.on)

    def pause(self, attempt: int) -> float:
        """Seconds between this attempt (from 1) and the next."""
        try:
            return min(self.delay * self.factor ** (attempt - 1), self.longest)
        except OverflowError:
            return self.longest


class Place:
    """What one attempt takes up: a place in each of several limits.

    It is given back when the work has ended: also that of a thread which nobody waits for any more.

    Args:
        limits: In the order in which they are taken, everywhere the same, so that no two calls wait for
            each other.
    """

    def __init__(self, *limits: Limit | None) -> None:
        self._limits = [limit for limit in limits if limit is not None]
        self._held: deque[Limit] = deque()
        # who has the one entry gives the places back: the caller, or the thread while it works
        self._claim: deque[None] = deque([None])
        self.taken = False
        self.left = False

    async def take(self) -> None:
        """Waits for all of them, first come, first served."""
        for limit in self._limits:
            await limit.acquire()
            self._held.append(limit)
        self.taken = True

    def leave(self) -> None:
        """Says that nobody waits any more; what no thread works on is given back at once."""
        self.left = True
        self._give_back()

    def occupied(self, work: Callable[[], T]) -> T | None:
        """Works in a thread, if still wanted; the places stay taken meanwhile."""
        try:
            self._claim.pop()
        except IndexError:
            return None
        try:
            return work()
        finally:
            self._claim.append(None)
            if self.left:
                self._give_back()

    def _give_back(self) -> None:
        try:
            self._claim.pop()
        except IndexError:
            return
        while self._held:
            self._held.pop().release()


def shortened(text: str, most: int | None) -> str:
    """At most so many characters of a text, its beginning and its end, and a note of what was cut.

    The note comes on top of them.
    """
    if most is None or len(text) <= most:
        return text
    ending = most // 3
    broken = ", so that this is no valid JSON" if text.lstrip()[:1] in ("{", "[") else ""
    note = f"[{len(text) - most} of {len(text)} characters are left out here{broken}]"
    return "\n".join(filter(None, (text[: most - ending], note, text[len(text) - ending :])))
