"""All at once, and yet in order: `concat_eager`, `in_turn` and `whole`."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..engine.emitters import Emitter, just
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.work import defer
from ..replays import Replay
from ..transcripts import Item

__all__ = ["concat_eager", "in_turn", "whole"]

T = TypeVar("T")


def concat_eager(
    sources: Observable[Any], to_source: Callable[[Any], Observable[T] | list[T]] | None = None
) -> Observable[T]:
    """Runs all sources at once and delivers them one after the other, each from its beginning.

    A source that is not yet its turn is kept in a list; the one whose turn it is streams through.
    An error comes in its place in the order. (RxPY's own `concat_all` loses what a hot source emits
    before its turn.)

    Args:
        sources: An observable of observables, or of what `to_source` makes into one.
        to_source: Maps what `sources` emits; a list is a source that has ended already.

    ```
    a          --a--a-------|
    b          -b--b-b|
    together   --a--a-------(bbb|)
    ```
    """

    def start(sink: Sink[T]) -> abc.DisposableBase:
        return _Lanes(sink, sources, to_source or (lambda source: source))

    return Emitter(start)


class _Lanes(abc.DisposableBase):
    """The lanes of one `concat_eager`: the first is live, the others wait."""

    def __init__(
        self, sink: Sink[T], sources: Observable[Any], to_source: Callable[[Any], Observable[T] | list[T]]
    ) -> None:
        self._sink: Sink[Any] = sink
        self._loop: AbstractEventLoop = sink.loop
        self._lanes: deque[_Lane] = deque()
        self._to_source = to_source
        self._outer_done = False
        self._advancing = False
        self._disposed = False
        self._outer = listen(sources, self._loop, self._open, self._outer_failed, self._outer_ended)

    def dispose(self) -> None:
        self._disposed = True
        self._outer.dispose()
        for lane in self._lanes:
            lane.subscription.dispose()

    def _open(self, thing: Any) -> None:
        if self._sink.stopped:
            return
        lane = _Lane()
        self._lanes.append(lane)

        def next_(item: Any) -> None:
            if lane is self._lanes[0] and not lane.waiting and not self._advancing:
                self._sink.on_next(item)
            else:
                lane.waiting.append(item)

        def ended(error: Exception | None = None) -> None:
            lane.done, lane.error = True, error
            if self._lanes and lane is self._lanes[0]:
                self._advance()

        try:
            source = self._to_source(thing)
        except Exception as error:
            ended(error)
            return
        if isinstance(source, list):
            for item in source:
                next_(item)
            ended()
            return
        lane.subscription = listen(source, self._loop, next_, ended, ended)
        if self._disposed:
            lane.subscription.dispose()

    def _outer_failed(self, error: Exception) -> None:
        # in its place: after everything that was there before
        lane = _Lane()
        lane.done, lane.error = True, error
        self._lanes.append(lane)
        self._outer_ended()

    def _outer_ended(self) -> None:
        self._outer_done = True
        if not self._lanes or self._lanes[0].done:
            self._advance()

    def _advance(self) -> None:
        if self._advancing:  # a delivery set this off; the loop that delivers goes on by itself
            return
        self._advancing = True
        try:
            self._deliver()
        finally:
            self._advancing = False

    def _deliver(self) -> None:
        while self._lanes and not self._sink.stopped:
            lane = self._lanes[0]
            while lane.waiting:
                self._sink.on_next(lane.waiting.popleft())
            if not lane.done:
                return
            if lane.error is not None:
                self._sink.on_error(lane.error)
                return
            self._lanes.popleft()
        if self._outer_done:
            self._sink.on_completed()


class _Lane:
    __slots__ = ("done", "error", "subscription", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Any] = deque()
        self.subscription: abc.DisposableBase = Disposable()
        self.done = False
        self.error: Exception | None = None


def in_turn(source: Observable[Item]) -> Observable[Item]:
    """Starts every message and block at once, and emits each when the one before it has ended."""
    return concat_eager(source, lambda item: whole(item) if isinstance(item, Replay) else just(item))


def whole(item: Replay[Any]) -> Observable[Item]:
    """A message or block that is started at once; completes when it has ended."""

    def start(sink: Sink[Item]) -> abc.DisposableBase:
        hold = item.hold()
        sink.on_next(item)
        # deferred: its own readers hear its end before the next one is emitted
        item.on_end(lambda _: defer(sink.on_completed))
        return hold

    return Emitter(start)
