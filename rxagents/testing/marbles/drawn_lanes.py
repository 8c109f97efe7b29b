"""Lanes that emit: what a diagram draws, as an observable in virtual time."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from reactivex import abc
from reactivex.disposable import Disposable

from ...engine.emitters import Emitter
from ...engine.sinks import Sink
from ..lanes import Event, Lane
from .drawn_items import DrawnItems, ignored, play, virtual_loop
from .subscription_logs import SubscriptionLog

__all__ = ["ColdLane", "HotLane"]


class _Logged(Emitter[Any]):
    """A drawn lane that knows who listened, and when.

    Attributes:
        subscriptions: When each subscription began and ended, in seconds.
    """

    def __init__(self, lane: Lane, title: str, on_misuse: Callable[[str], None] = ignored) -> None:
        super().__init__(self._play)
        self.lane = lane
        self.title = title
        self._on_misuse = on_misuse
        self.subscriptions = SubscriptionLog()

    def subscribe(
        self,
        on_next: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribes, in virtual time; the scheduler is not asked.

        Raises:
            ConfigurationError: The clock does not run here.
        """
        virtual_loop(self.title, self._on_misuse)
        return super().subscribe(on_next, on_error, on_completed)

    def _play(self, sink: Sink[Any]) -> Disposable:
        loop = sink.loop
        entry = self.subscriptions.begin(loop.time())
        stop = self._listen(sink, loop)

        def let_go() -> None:
            entry.end(loop.time())
            stop()

        return Disposable(let_go)

    def _listen(self, sink: Sink[Any], loop: AbstractEventLoop) -> Callable[[], None]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.title


class ColdLane(_Logged):
    """A lane that begins anew with each subscription: frame 0 is when it is subscribed to."""

    def _listen(self, sink: Sink[Any], loop: AbstractEventLoop) -> Callable[[], None]:
        return play(self.lane, sink, loop, loop.time())


class HotLane(_Logged):
    """A lane that runs whether or not somebody listens: frame 0 is when the clock starts."""

    def __init__(self, lane: Lane, title: str, on_misuse: Callable[[str], None] = ignored) -> None:
        zero = lane.caret or 0.0
        events = tuple(replace(event, at=event.at - zero) for event in lane.events)
        super().__init__(replace(lane, events=events), title, on_misuse)
        self._zero = zero
        self._listeners: dict[Sink[Any], None] = {}
        self._end: Event | None = None

    def arm(self, loop: AbstractEventLoop) -> None:
        """Sets a timer for each event; to be called before anybody subscribes, so that it wins ties."""
        # what is drawn in front of the ^ was over before the clock started
        events = tuple(event for event in self.lane.events if event.at >= 0 or event.ends)
        emitted = DrawnItems(loop.time() - self._zero)
        for event in events:
            loop.call_at(loop.time() + max(event.at, 0.0), self._emit, event, emitted)

    def _emit(self, event: Event, emitted: DrawnItems) -> None:
        if event.ends:
            self._end = event
        for sink in list(self._listeners):
            if sink in self._listeners:  # one that is told may make another one leave
                emitted.tell(sink, event)

    def _listen(self, sink: Sink[Any], loop: AbstractEventLoop) -> Callable[[], None]:
        if self._end is not None:
            DrawnItems(0.0).tell(sink, self._end)
            return _nothing
        self._listeners[sink] = None
        return partial(self._listeners.pop, sink, None)


def _nothing() -> None:
    pass
