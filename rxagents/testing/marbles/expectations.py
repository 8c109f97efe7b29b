"""What a test expects of an observable: a picture, and what it looks like when it is another one."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from functools import partial
from textwrap import dedent, indent
from typing import Any, Protocol

from reactivex import Observable

from ...errors import ConfigurationError
from ..lanes import Lane
from ..language.comparing import difference
from ..language.diagrams import DiagramError, parse
from ..language.pictures import picture
from .bound_lanes import with_lanes
from .marble_failures import Problem
from .observing import Observation

__all__ = ["Expectation", "Reading", "Source", "checked", "subscribed"]

Source = Observable[Any] | Callable[[], Observable[Any]]

# so many events after all that was drawn, and what still comes is left unread
_ENOUGH = 20

_NOBODY = (
    "No lane that is drawn is open, no task waits and no timer is set: what it reads has no end of its own, "
    "such as a Subject or rx.never()."
)


class Reading(Protocol):
    """How the diagrams of a test are read."""

    frame: float

    @property
    def speaks(self) -> bool:
        """Whether somebody in the test speaks in words."""
        ...


class Expectation:
    """What one observable is expected to do; `marbles.expect` makes it.

    Args:
        source: An observable, or a function that gives one, which is called on the clock.
        reading: How diagrams are read.
        subscribe_at: Seconds.
        unsubscribe_at: Seconds; None: at its end, or when nothing can happen any more.
        state: Whether every StateUpdate and Completion is compared.
        words: Whether the picture reads words; by default, as the test speaks.
        title: Where this was written.
    """

    def __init__(
        self,
        source: Source,
        reading: Reading,
        *,
        subscribe_at: float = 0.0,
        unsubscribe_at: float | None = None,
        state: bool = False,
        words: bool | None = None,
        title: str = "expect",
    ) -> None:
        self._source = checked(source, title)
        self._reading = reading
        self._subscribe_at = subscribe_at
        self.unsubscribe_at = unsubscribe_at
        self._state = state
        self._words = words
        self._title = title
        self._diagram: str | None = None
        self._drawn: Lane | None = None
        self._last = 0.0
        self._enough = 0
        self._values: Mapping[str, Any] = {}
        self._error: object = None
        self._other: Expectation | None = None
        self._observation: Observation | None = None
        self._loop: AbstractEventLoop | None = None
        self.waiting = ""

    def to_be(
        self, diagram: str, bound: Mapping[str, Any] = {}, /, *, error: object = None, **values: Any
    ) -> None:
        """What is to come, as a diagram; it is compared when the clock has run.

        Args:
            diagram: See `rxagents.testing.language.diagrams`. A `^` in it is where it is subscribed to.
            bound: What its words stand for, as a mapping.
            error: What a `#` stands for: an exception (its type and message count), or a class.
            values: The same as `bound`, by keyword: any value, a matcher that equals what it matches, or
                a lane of `marbles.cold`, which stands for an observable that does the same.

        Raises:
            DiagramError: The diagram cannot be read.
        """
        self._expect_once()
        self._diagram, self._values, self._error = diagram, {**bound, **values}, error
        self._drawn = self._parsed()
        self._last = self._drawn.last
        self._enough = sum(len(lane.events) for lane in self._drawn.walk()) + _ENOUGH
        if self._drawn.caret is not None:
            self._subscribe_at = self._drawn.caret

    def to_equal(self, other: Source, /) -> None:
        """The same as another observable, which is subscribed to at the same time."""
        self._expect_once()
        self._other = Expectation(
            other,
            self._reading,
            subscribe_at=self._subscribe_at,
            unsubscribe_at=self.unsubscribe_at,
            state=self._state,
        )

    def _expect_once(self) -> None:
        if self.compared:
            raise ConfigurationError(f"{self._title}: what is expected was said already")

    @property
    def compared(self) -> bool:
        """Whether it was said what is expected."""
        return self._diagram is not None or self._other is not None

    @property
    def horizon(self) -> float:
        """The time of the last that is drawn."""
        return max(self._last, self.unsubscribe_at or 0.0)

    def arm(self, loop: AbstractEventLoop) -> None:
        """Sets the timers for subscribing and unsubscribing."""
        self._loop = loop
        if self._subscribe_at > 0:
            loop.call_at(self._subscribe_at, self._begin)
        if self.unsubscribe_at is not None:
            loop.call_at(self.unsubscribe_at, self.dispose)
        if self._other is not None:
            self._other.arm(loop)

    def begin_at_once(self) -> None:
        """Subscribes, if that is to be at frame 0."""
        if self._subscribe_at <= 0:
            self._begin()
        if self._other is not None:
            self._other.begin_at_once()

    def _begin(self) -> None:
        assert self._loop is not None
        self._observation = Observation(
            subscribed(self._source), self._loop, state=self._state, on_event=self._came
        )
        self._observation.begin()

    def _came(self) -> None:
        seen, loop = self._observation, self._loop
        assert seen is not None
        assert loop is not None
        if self._drawn is not None and loop.time() > self._last and seen.count > self._enough:
            loop.call_soon(self.dispose)  # it is wrong already, and may never end

    def dispose(self) -> None:
        """Unsubscribes."""
        if self._observation is not None:
            self._observation.dispose()
        if self._other is not None:
            self._other.dispose()

    def lane(self) -> Lane:
        """What came."""
        return self._observation.lane() if self._observation is not None else Lane()

    def seen(self) -> str:
        """What came, in a line, for a test that never looked at it."""
        return f"{self._title}: {sum(len(lane.events) for lane in self.lane().walk())} events came"

    def problem(self) -> Problem | None:
        """What is wrong, when the clock has run."""
        actual = self.lane()
        expected = self._other.lane() if self._other is not None else self._parsed()
        if difference(expected, actual) is None:
            return None
        text = picture(expected, actual, frame=self._reading.frame, names=self._values)
        text += self._as_written(text) + self._hint(actual)
        if expected.end is not None and actual.end is None:
            still = f"Still waiting:\n{self.waiting}" if self.waiting else _NOBODY
            text += f"\n\nNothing can happen any more. {still}"
        return Problem(f"{self._title}: another picture", text, expected, actual)

    @property
    def _speaks(self) -> bool:
        return self._reading.speaks if self._words is None else self._words

    def _as_written(self, shown: str) -> str:
        """The diagram itself, where the picture had to make room in it."""
        written = [line.strip() for line in (self._diagram or "").splitlines() if line.strip()]
        if all(" ".join(line.split()) in " ".join(shown.split()) for line in written):
            return ""
        return "\n\nAs written:\n" + indent(dedent((self._diagram or "").strip("\n")).rstrip(), "  ")

    def _hint(self, actual: Lane) -> str:
        """Why a word may have been read as characters, or characters as a word."""
        came = [event.value for event in actual.events if isinstance(event.value, str)]
        if not self._speaks and any(len(value) > 1 for value in came):
            return (
                "\n\nOnly hot and cold lanes are drawn, so this was read character by character; "
                "expect(…, words=True) reads words."
            )
        drawn = [event.value for event in (self._drawn or Lane()).events if isinstance(event.value, str)]
        if self._speaks and came and max(map(len, came)) == 1 and any(len(value) > 1 for value in drawn):
            return "\n\nThis was read as words; expect(…, words=False) reads single characters."
        return ""

    def _parsed(self) -> Lane:
        assert self._diagram is not None
        read = partial(parse, self._diagram, self._values, frame=self._reading.frame, error=self._error)
        several = sum(bool(line.strip()) for line in self._diagram.splitlines()) > 1
        if self._speaks or several:
            return with_lanes(read(words=True))
        try:
            return with_lanes(read(words=False))
        except DiagramError as error:
            try:  # marks that only words have
                return with_lanes(read(words=True))
            except DiagramError:
                raise error from None


def checked(source: Source, title: str) -> Source:
    """Refuses what cannot be subscribed to."""
    if not (isinstance(source, Observable) or callable(source)):
        raise ConfigurationError(
            f"{title} takes an observable, or a function that gives one, not {type(source).__name__}"
        )
    return source


def subscribed(source: Source) -> Observable[Any]:
    """The observable, or what the function gives."""
    return source if isinstance(source, Observable) else checked(source(), "what is expected of")  # type: ignore[return-value]
