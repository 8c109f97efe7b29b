"""The kit: draws, expects, runs the clock once, and compares."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

from ...errors import ConfigurationError
from ..clock.virtual_loop import NothingToWaitForError
from ..language.diagrams import parse_subscription
from .expectations import Expectation, Source
from .left_overs import Leftover
from .marble_failures import MarbleFailure, Problem, first_error
from .marble_runs import play_marbles
from .marker_expectations import MarkerExpectation
from .palettes import Palette
from .subscription_expectations import SubscriptionExpectation

__all__ = ["Marbles"]

T = TypeVar("T")


class Marbles(Palette):
    """Draws sources and expectations, and runs them in virtual time.

    The fixture `marbles` of the pytest plugin is one; elsewhere it is a context manager, which runs
    the clock and compares when it is left.

    Args:
        frame: How long a column is, in virtual seconds.

    Attributes:
        errors: After the clock has run: what nobody handled.
    """

    def __init__(self, *, frame: float = 1.0) -> None:
        super().__init__(frame)
        self.errors: list[BaseException] = []
        self._pictures: list[Expectation | MarkerExpectation] = []
        self._subscriptions: list[SubscriptionExpectation] = []
        self._actions: list[tuple[float, Callable[[], object]]] = []
        self._allowed: set[Leftover] = set()
        self._left: dict[Leftover, Problem] = {}

    def expect(
        self,
        source: Source,
        /,
        *,
        unsubscribe_at: float | str | None = None,
        state: bool = False,
        words: bool | None = None,
    ) -> Expectation:
        """Subscribes to an observable at frame 0, to compare what it does with a picture.

        Args:
            source: An observable, or a function that gives one, which is called on the clock.
            unsubscribe_at: A frame, or a diagram with a `!` in it (and maybe a `^`).
            state: Whether every StateUpdate and Completion counts, not only what is made to be shown.
            words: Whether its picture reads words; by default, unless only hot and cold lanes are drawn.
        """
        self._check_open()
        begun, until = self._interval(unsubscribe_at)
        expectation = Expectation(
            source,
            self,
            subscribe_at=begun,
            unsubscribe_at=until,
            state=state,
            words=words,
            title=f"expect at {_caller()}",
        )
        self._pictures.append(expectation)
        return expectation

    def expect_markers(
        self, source: Source, /, *, only: Collection[str] = (), unsubscribe_at: float | str | None = None
    ) -> MarkerExpectation:
        """Subscribes to an observable of markers, such as `workflow.observe(…)`, to compare the list.

        Args:
            source: The observable, or a function that gives it.
            only: The marks that count, by default all.
            unsubscribe_at: As for `expect`.
        """
        self._check_open()
        begun, until = self._interval(unsubscribe_at)
        title = f"expect_markers at {_caller()}"
        self._pictures.append(
            MarkerExpectation(source, self, only=only, subscribe_at=begun, unsubscribe_at=until, title=title)
        )
        return self._pictures[-1]  # type: ignore[return-value]

    def expect_subscriptions(self, source: Any, /) -> SubscriptionExpectation:
        """When a drawn lane or probe is subscribed to, a model asked or a tool called, and until when."""
        self._check_open()
        title = f"expect_subscriptions at {_caller()}"
        self._subscriptions.append(SubscriptionExpectation(source, self, title=title))
        return self._subscriptions[-1]

    def at(self, frame: float, action: Callable[..., object], /, *args: Any) -> None:
        """Calls something at a frame, on the clock; at a tie after hot lanes, before all else.

        A coroutine function is run as a task. What a plain one raises, the run of the clock raises.
        """
        self._check_open()
        self._actions.append((self._seconds("at", frame), partial(action, *args)))

    def allow(self, *kinds: Leftover) -> None:
        """Permits what would otherwise fail the test at its end; see the module's table."""
        for kind in kinds:
            if kind not in get_args(Leftover):
                raise ConfigurationError(f"allow takes {', '.join(get_args(Leftover))}, not {kind!r}")
        self._allowed.update(kinds)

    def flush(self) -> None:
        """Runs the clock, once, until nothing can happen any more. At the end of a test it runs by itself."""
        self._run(None)

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        """Runs the clock with a coroutine on it, from frame 0 on, and gives its result or raises its error.

        Draw everything before; here the clock runs already.

        Raises:
            NothingToWaitForError: It waits for something that can never come.
        """
        try:
            self._check_open()
        except ConfigurationError:
            coroutine.close()
            raise
        task = self._run(coroutine)
        assert task is not None
        return task.result()

    def _run(self, coroutine: Coroutine[Any, Any, T] | None) -> asyncio.Task[T] | None:
        if self.has_run:
            return None
        self.has_run = True
        played = play_marbles(self.sources, self._pictures, self._subscriptions, self._actions, coroutine)
        self.errors = played.errors
        self._left = played.left
        if played.raised:
            raise played.raised[0]
        if played.task is not None and played.task.cancelled() and played.waiting:
            raise NothingToWaitForError(f"nothing can happen any more. Still waiting:\n{played.waiting}")
        return played.task

    def verify(self) -> None:
        """Compares what came with what was drawn.

        Raises:
            MarbleFailure: A picture is another one, or something was left over.
        """
        compared = [drawn for drawn in (*self._pictures, *self._subscriptions) if drawn.compared]
        problems = [Problem("what is drawn cannot be played", words) for words in self.misused]
        problems += [problem for drawn in compared if (problem := drawn.problem()) is not None]
        unread = [drawn for drawn in (*self._pictures, *self._subscriptions) if not drawn.compared]
        if unread:
            self._left["unread"] = Problem(
                "never compared: write .to_be(…) (the way out: marbles.allow('unread'))",
                "\n".join(f"- {drawn.seen()}" for drawn in unread),
            )
        problems += [problem for kind, problem in self._left.items() if kind not in self._allowed]
        if problems:
            raise MarbleFailure(problems) from first_error(problems)

    def close(self) -> None:
        """Lets go of everything without comparing: the test has failed by itself."""
        self.has_run = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.close()
            return
        self.flush()
        self.verify()

    def _interval(self, unsubscribe_at: float | str | None) -> tuple[float, float | None]:
        if unsubscribe_at is None:
            return 0.0, None
        if not isinstance(unsubscribe_at, str):
            return 0.0, self._seconds("unsubscribe_at", unsubscribe_at)
        if "!" not in unsubscribe_at:
            raise ConfigurationError(f"unsubscribe_at: there is no ! in {unsubscribe_at!r} to say when")
        if "^" not in unsubscribe_at:  # alone, a ! is drawn as the end of a lane is
            return 0.0, self._draw(unsubscribe_at.replace("!", "|"), {}, words=False).last
        drawn = parse_subscription(unsubscribe_at, frame=self.frame)
        return drawn.subscribed_at or 0.0, drawn.unsubscribed_at

    def _seconds(self, argument: str, frame: float) -> float:
        if not 0 <= frame < math.inf:
            raise ConfigurationError(f"{argument} is a frame, from 0 on, not {frame!r}")
        return frame * self.frame


def _caller() -> str:
    """Where the test has written this."""
    frame = sys._getframe(2)
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
