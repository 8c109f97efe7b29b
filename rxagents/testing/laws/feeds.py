"""Feed: a source that plays a lane, and counts who comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from reactivex import Observable, abc
from reactivex.scheduler import CurrentThreadScheduler

from .worlds import Planted, PlantedStop, World

__all__ = ["Feed"]


class Feed(Observable[Any]):
    """A source that plays items, and counts who comes and goes.

    Args:
        world: Where it plays.
        name: For the report.
        items: What to emit, each with the seconds to wait before it.
        end: `|` completes, `#` fails, `%` fails with a StopIteration, anything else never ends; with the
            seconds to wait before it.
        queued: Whether what comes at once waits on the trampoline until `subscribe` has returned, as
            with `rx.of`; otherwise it is emitted within, as `rx.create` makes possible.

    Attributes:
        subscribed: When somebody came.
        released: When it was left, or had ended; once for each of them.
    """

    def __init__(
        self,
        world: World,
        name: str,
        items: Iterable[tuple[int, Any]],
        end: tuple[int, str],
        *,
        queued: bool = True,
    ) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.steps: list[tuple[int, str, Any]] = [(gap, "next", item) for gap, item in items]
        self.steps.append((*end, None))
        self.queued = queued
        self.subscribed: list[float] = []
        self.released: list[float] = []
        world.feeds.append(self)

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self.subscribed.append(self.world.now)
        return _Playing(self, observer)


class _Playing(abc.DisposableBase):
    """One subscription of a feed."""

    def __init__(self, feed: Feed, observer: abc.ObserverBase[Any]) -> None:
        self._feed = feed
        self._observer = observer
        self._position = 0
        self._released = False
        self._timer: asyncio.TimerHandle | None = None
        if feed.queued:
            CurrentThreadScheduler.singleton().schedule(lambda *_: self._go_on())
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Plays what is due, and sets a timer for the next that is not."""
        world, steps = self._feed.world, self._feed.steps
        while not self._released and self._position < len(steps):
            gap, kind, item = steps[self._position]
            seconds = world.seconds(gap, self._position + len(self._feed.name))
            self._position += 1
            if seconds:
                self._timer = world.loop.call_later(seconds, self._due, kind, item)
                return
            self._play(kind, item)

    def _due(self, kind: str, item: Any) -> None:
        self._play(kind, item)
        self._go_on()

    def _play(self, kind: str, item: Any) -> None:
        try:
            if kind == "next":
                self._observer.on_next(item)
            elif kind == "|":
                self._release()
                self._observer.on_completed()
            elif kind == "#":
                self._release()
                self._observer.on_error(Planted(f"{self._feed.name} failed"))
            elif kind == "%":
                self._release()
                self._observer.on_error(PlantedStop(f"{self._feed.name} failed"))
        except Exception as error:
            self._feed.world.heard(error)

    def _release(self) -> None:
        if not self._released:
            self._released = True
            self._feed.released.append(self._feed.world.now)

    def dispose(self) -> None:
        """Leaves; nothing that is still to come is played."""
        if self._timer is not None:
            self._timer.cancel()
        self._release()
