"""latest, sampled: views of something live that must not lag behind it, at the price of what is left out."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import TimerHandle
from collections.abc import Callable
from math import floor
from typing import Any, TypeVar

from reactivex import Observable, abc

from ..checks import check_seconds
from ..engine.demands import demanded_by
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink

__all__ = ["LiveView", "latest", "sampled"]

T = TypeVar("T")


def latest() -> Callable[[Observable[T]], Observable[T]]:
    """Only the newest item counts: what came while the reader was busy is left out, but for the last of it.

    For anything that is read by an iterator, such as `async for state in partials.pipe(latest())`; who
    subscribes is never behind, and is told everything. The source is read at full speed. Completes, or
    fails, with the source, after the newest item. Here the reader is busy for five frames with each.

    ```
    source   a-b-c-d-e------|
    latest   a----c----e----|
    ```
    """
    return lambda source: Emitter(lambda sink: _Latest(sink, source))


def sampled(seconds: float) -> Callable[[Observable[T]], Observable[T]]:
    """The newest item each so many seconds, if there is a new one; for an iterator not before it asks for it.

    The source is read at full speed. Completes, or fails, with the source, after the newest item. Here
    each five frames.

    ```
    source    a-b-c-d-e------|
    sampled   -----c----e----|
    ```

    Args:
        seconds: On the time of the loop, from the subscription on.

    Raises:
        ConfigurationError: That is no time above 0.
    """
    check_seconds("sampled", "seconds", seconds)
    return lambda source: Emitter(lambda sink: _Sampled(sink, source, seconds))


class LiveView(abc.DisposableBase):
    """What hears everything, and hands something on when its reader wants it.

    Args:
        sink: The reader.
        source: What is heard.
    """

    def __init__(self, sink: Sink[Any], source: Observable[Any]) -> None:
        self._sink = sink
        self._watching = None if sink.demand is None else sink.demand.watch(self._reader_changed)
        self._source = listen(source, sink.loop, self.take, self._fail, self._complete, everything=True)

    @property
    def _is_awaited(self) -> bool:
        """Whether the reader waits for the next item; one that is told is never behind."""
        return self._sink.demand is None or self._sink.demand.idle

    @abstractmethod
    def take(self, item: Any) -> None:
        """Takes what comes."""

    @abstractmethod
    def hand_on(self) -> None:
        """Hands on what the reader waits for, if there is anything."""

    @abstractmethod
    def hand_on_all(self) -> None:
        """Hands on all that is left, as nothing more comes."""

    def _reader_changed(self) -> None:
        if self._is_awaited:
            # called by the reader, but who listens behind here does so for him all the same
            with demanded_by(self._sink.demand):
                self.hand_on()

    def _fail(self, error: Exception) -> None:
        self.hand_on_all()
        self._sink.on_error(error)

    def _complete(self) -> None:
        self.hand_on_all()
        self._sink.on_completed()

    def dispose(self) -> None:
        if self._watching is not None:
            self._watching.dispose()
        self._source.dispose()


class _Latest(LiveView):
    _newest: tuple[Any, ...] = ()

    def take(self, item: Any) -> None:
        self._newest = (item,)
        if self._is_awaited:
            self.hand_on()

    def hand_on(self) -> None:
        newest, self._newest = self._newest, ()
        for item in newest:
            self._sink.on_next(item)

    hand_on_all = hand_on


class _Sampled(_Latest):
    _timer: TimerHandle | None = None
    _is_time = False

    def __init__(self, sink: Sink[Any], source: Observable[Any], seconds: float) -> None:
        self._seconds = seconds
        self._begun = sink.loop.time()
        super().__init__(sink, source)

    def take(self, item: Any) -> None:
        self._newest = (item,)
        if self._timer is None and not self._is_time:
            loop = self._sink.loop
            # a timer may come a tick too early, and then stands for the time that is coming
            passed = floor((loop.time() - self._begun) / self._seconds + 1e-6)
            self._timer = loop.call_at(self._begun + (passed + 1) * self._seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._is_time = True
        if self._is_awaited:
            self.hand_on()

    def hand_on(self) -> None:
        if self._is_time:
            self._is_time = False
            super().hand_on()

    def hand_on_all(self) -> None:
        super().hand_on()

    def dispose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().dispose()
