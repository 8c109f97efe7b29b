"""As they come: what is in no order is delivered as it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reactivex import Observable, abc

from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.trampolines import enqueued
from ..engine.work import defer
from ..replays import Replay
from ..transcripts import Item

__all__ = ["Later", "as_they_come"]


@dataclass(frozen=True, slots=True)
class Later:
    """What is not there yet.

    Args:
        things: What will come.
        delivered: Whether these are items, in the way in which they are to be delivered.
    """

    things: Observable[Any]
    delivered: bool = False


def as_they_come(things: Iterable[Any], parts: Callable[[Any], Iterable[Item | Later]]) -> Observable[Item]:
    """Runs all things at once, and delivers each item as it begins.

    It completes when all that began has ended. It fails, with the first error of what was to come,
    when what had begun until then has ended; nothing begins after it.

    Args:
        things: What is delivered.
        parts: Takes a thing apart: into items, and what is to come later.

    ```
    a     -----m1|
    m1    -----x--y|
    b     -m2|
    m2    -p--------q|
    out   -m2--m1----|
    ```
    """

    def start(sink: Sink[Item]) -> abc.DisposableBase:
        arrivals = _Arrivals(sink, parts)
        # so that the subscription exists before the first item
        enqueued(lambda: arrivals.begin(things))
        return arrivals

    return Emitter(start)


class _Arrivals(abc.DisposableBase):
    """What is on its way, and what has begun."""

    def __init__(self, sink: Sink[Item], parts: Callable[[Any], Iterable[Item | Later]]) -> None:
        self._sink = sink
        self._parts = parts
        self._coming = 1
        self._open = 0
        self._sources: list[abc.DisposableBase] = []
        self._holds: list[abc.DisposableBase] = []
        self._error: Exception | None = None

    def begin(self, things: Iterable[Any]) -> None:
        for thing in things:
            self._meet(thing)
        self._source_ended()

    def dispose(self) -> None:
        self._leave_sources()
        for hold in self._holds:
            hold.dispose()

    def _leave_sources(self) -> None:
        for source in self._sources:
            source.dispose()

    @property
    def _closed(self) -> bool:
        return self._sink.stopped or self._error is not None

    def _meet(self, thing: Any) -> None:
        for part in self._parts(thing):
            if self._closed:
                return
            if isinstance(part, Later):
                self._await(part.things)
            else:
                self._deliver(part)

    def _await(self, things: Observable[Any]) -> None:
        self._coming += 1
        source = listen(things, self._sink.loop, self._meet, self._failed, self._source_ended)
        self._sources.append(source)
        if self._closed:
            source.dispose()

    def _deliver(self, item: Item) -> None:
        if not isinstance(item, Replay):
            self._sink.on_next(item)
            return
        self._open += 1
        self._holds.append(item.hold())
        self._sink.on_next(item)
        # deferred: its own readers hear its end first
        item.on_end(lambda _: defer(self._item_ended))

    def _item_ended(self) -> None:
        self._open -= 1
        self._end_if_done()

    def _source_ended(self) -> None:
        self._coming -= 1
        self._end_if_done()

    def _failed(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._leave_sources()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._open:
            return
        if self._error is not None:
            self._sink.on_error(self._error)
        elif not self._coming:
            self._sink.on_completed()
