"""What a test expects of markers: a list, with or without times."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Collection, Sequence
from typing import Any

from reactivex.disposable import CompositeDisposable

from ...engine.inlets import listen
from ...errors import ConfigurationError
from ...places import words
from ..lanes import moment
from .expectations import Reading, Source, checked, subscribed
from .marble_failures import Problem

__all__ = ["MarkerExpectation"]

_TEXTS = ("response", "interrupted")
_MARKS = frozenset("start delta function_result response interrupted state error end result".split())


class MarkerExpectation:
    """What the markers of one observable are expected to be; `marbles.expect_markers` makes it."""

    def __init__(
        self,
        source: Source,
        reading: Reading,
        *,
        only: Collection[str] = (),
        subscribe_at: float = 0.0,
        unsubscribe_at: float | None = None,
        title: str,
    ) -> None:
        self._source = checked(source, title)
        self._reading = reading
        self._only = _marks(only, title)
        self._loop: AbstractEventLoop
        self._title = title
        self._subscribe_at = subscribe_at
        self._unsubscribe_at = unsubscribe_at
        self._expected: list[tuple[Any, ...]] | None = None
        self._came: list[tuple[float, Any]] = []
        self._subscription = CompositeDisposable()
        self._whole = False
        self._completed = False
        self.waiting = ""

    def to_be(self, expected: Sequence[tuple[Any, ...] | str], /) -> None:
        """What is to come, in order; it is compared when the clock has run.

        Args:
            expected: `(mark, content)`, or `(frame, mark, content)` where the time counts. A string as
                the content of a `delta`, `response` or `interrupted` is its text; `...` is anything.
                After a `result`, and where the last entry is `"|"`, it has to complete.
        """
        if self._expected is not None:
            raise ConfigurationError(f"{self._title}: what is expected was said already")
        listed = list(expected)
        self._whole = bool(listed) and (listed[-1] == "|" or "result" in listed[-1][-2:-1])
        if self._whole and listed[-1] == "|":
            listed.pop()
        for entry in listed:
            if not isinstance(entry, tuple) or len(entry) not in (2, 3):
                raise ConfigurationError(
                    f"{self._title}: give (mark, content) or (frame, mark, content), not {entry!r}"
                )
        self._expected = [entry for entry in listed if isinstance(entry, tuple)]

    @property
    def compared(self) -> bool:
        """Whether it was said what is expected."""
        return self._expected is not None

    @property
    def horizon(self) -> float:
        """The time of the last that is drawn."""
        times: list[float] = [
            entry[0] * self._reading.frame for entry in self._expected or () if len(entry) == 3
        ]
        return max([*times, self._unsubscribe_at or 0.0])

    def arm(self, loop: AbstractEventLoop) -> None:
        """Sets the timers for subscribing and unsubscribing."""
        self._loop = loop
        if self._subscribe_at > 0:
            loop.call_at(self._subscribe_at, self._begin, loop)
        if self._unsubscribe_at is not None:
            loop.call_at(self._unsubscribe_at, self.dispose)

    def begin_at_once(self) -> None:
        """Subscribes, if that is to be at frame 0."""
        if self._subscribe_at <= 0:
            self._begin(self._loop)

    def _begin(self, loop: AbstractEventLoop) -> None:
        def end(error: Exception | None = None) -> None:
            self._completed = error is None
            if error is not None:
                note(("#", f"{type(error).__name__}: {words(error)}"))

        def note(marker: Any) -> None:
            if self._only and isinstance(marker, tuple) and marker[0] not in self._only | {"#"}:
                return
            self._came.append((moment(loop.time()), marker))

        self._subscription.add(listen(subscribed(self._source), loop, note, end, end))

    def dispose(self) -> None:
        """Unsubscribes."""
        self._subscription.dispose()

    def seen(self) -> str:
        """What came, in a line, for a test that never looked at it."""
        return f"{self._title}: {len(self._came)} markers came"

    def problem(self) -> Problem | None:
        """What is wrong, when the clock has run."""
        expected = self._expected or []
        for index in range(max(len(expected), len(self._came))):
            if index < min(len(expected), len(self._came)) and self._fits(expected[index], index):
                continue
            return Problem(f"{self._title}: other markers", self._picture(expected, index))
        if self._whole and not self._completed:
            return Problem(f"{self._title}: other markers", self._picture(expected, len(expected)))
        return None

    def _fits(self, expected: tuple[Any, ...], index: int) -> bool:
        at, marker = self._came[index]
        if not isinstance(marker, tuple) or len(marker) != 2:
            return False
        *time, mark, content = expected
        if time and moment(time[0] * self._reading.frame) != at:
            return False
        return bool(mark == marker[0]) and _same(content, str(marker[0]), marker[1])

    def _picture(self, expected: list[tuple[Any, ...]], first: int) -> str:
        lines = [f"  {index}  {self._line(index)}" for index in range(max(first - 3, 0), first)]
        drawn = repr(expected[first]) if first < len(expected) else self._end
        short = first >= len(expected) or isinstance(expected[first][-1], str)
        came = self._line(first, short=short) if first < len(self._came) else "nothing more"
        lines += [f"> {first}  expected  {drawn}", f"> {first}  actual    {came}"]
        if self.waiting and first >= len(self._came):
            lines += ["", f"Nothing can happen any more. Still waiting:\n{self.waiting}"]
        return "\n".join(lines)

    @property
    def _end(self) -> str:
        return "the completion" if self._whole and not self._completed else "nothing more"

    def _line(self, index: int, *, short: bool = True) -> str:
        at, marker = self._came[index]
        return f"{_shown(marker, short)} at frame {at / self._reading.frame:g}"


def _shown(marker: Any, short: bool) -> str:
    """A marker as a test would expect it, in its short form where there is one and it is wanted."""
    if not isinstance(marker, tuple) or len(marker) != 2:
        return repr(marker)
    mark, content = str(marker[0]), marker[1]
    if short and mark in _TEXTS:
        content = content[0]["content"]
    elif short and mark == "delta" and not any(content[key] for key in content if key != "content"):
        content = content["content"]
    return repr((mark, content))


def _marks(only: Collection[str], title: str) -> frozenset[str]:
    if isinstance(only, str) or not _MARKS.issuperset(only):
        raise ConfigurationError(f"{title}: only takes a list of {', '.join(sorted(_MARKS))}, not {only!r}")
    return frozenset(only)


def _same(expected: Any, mark: str, actual: Any) -> bool:
    if expected is ...:
        return True
    if isinstance(expected, str) and mark == "delta":
        return bool(actual.get("content") == expected)
    if isinstance(expected, str) and mark in _TEXTS:
        return bool(actual[0]["content"] == expected)
    return bool(expected == actual)
