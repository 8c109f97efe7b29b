"""One marble test is played: lanes are armed, pictures subscribed, and the clock runs dry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from ..clock.loop_closing import StubbornTaskError
from .drawn_lanes import HotLane
from .expectations import Expectation
from .left_overs import Leftover, left_over, waits
from .marble_failures import Problem
from .marker_expectations import MarkerExpectation
from .palettes import Drawn
from .subscription_expectations import SubscriptionExpectation
from .virtual_runs import VirtualRun

__all__ = ["Played", "play_marbles"]

T = TypeVar("T")
Action = Callable[[], object]


@dataclass(slots=True)
class Played(Generic[T]):
    """What a run of the clock came to, beside the pictures.

    Attributes:
        task: The coroutine that was run, if any.
        waiting: What was still waiting when nothing could happen any more, in words.
        left: What was left over.
        errors: What nobody handled.
        raised: What actions raised, such as an assertion of the test.
    """

    task: asyncio.Task[T] | None = None
    waiting: str = ""
    left: dict[Leftover, Problem] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    raised: list[BaseException] = field(default_factory=list)


def play_marbles(
    sources: Sequence[Drawn],
    pictures: Sequence[Expectation | MarkerExpectation],
    subscriptions: Sequence[SubscriptionExpectation],
    actions: Sequence[tuple[float, Action]],
    coroutine: Coroutine[Any, Any, T] | None,
) -> Played[T]:
    """Plays a test, until nothing can happen any more; then what has not ended is unsubscribed.

    The order within an instant is that of the arming: first what the pictures draw as subscribed and
    unsubscribed, then hot lanes, then actions, and then all that comes of it.
    """
    played: Played[T] = Played()

    def act(action: Action) -> None:
        try:
            came = action()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # also the outcomes of pytest, such as pytest.skip()
            played.raised.append(error)
            return
        if isawaitable(came):
            # an error of it is one that nobody handled
            run.loop.create_task(_awaited(came))

    def begin() -> None:
        loop = run.loop
        for expectation in pictures:
            expectation.arm(loop)
        for source in sources:
            if isinstance(source, HotLane):
                source.arm(loop)
        for at, action in actions:
            if at > 0:
                loop.call_at(at, act, action)
            else:
                act(action)
        if coroutine is not None:
            played.task = loop.create_task(coroutine)
        for expectation in pictures:
            expectation.begin_at_once()

    horizons = [drawn.horizon for drawn in (*pictures, *subscriptions)]
    horizons += [source.lane.last for source in sources if isinstance(source, HotLane)]
    run = VirtualRun()
    try:
        with run:
            run.run_dry(begin, max(horizons, default=0.0))
            if played.task is not None and played.task.done() and not played.task.cancelled():
                played.task.exception()  # whoever asked for the coroutine hears it
            played.waiting = waits(sources, run)
            for expectation in pictures:
                expectation.waiting = played.waiting
                expectation.dispose()
            run.run_dry(lambda: None, run.now)
            run.gather_errors()
            looked_at = [expectation.source for expectation in subscriptions]
            played.left = left_over(sources, run, looked_at)
    except StubbornTaskError:
        pass  # it was left open, and that has been noted
    finally:
        played.errors = [error for error, _ in run.errors if error is not None]
    return played


async def _awaited(thing: Any) -> None:
    await thing
