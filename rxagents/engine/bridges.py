"""From asyncio to Rx, and back: coroutines and async iterables as observables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from .demands import until_wanted
from .emitters import Emitter
from .feeds import Feed
from .inlets import OnMany, listen
from .sinks import Sink

__all__ = ["Fed", "fed", "forward", "from_async", "from_async_iterable"]

T = TypeVar("T")


def from_async(run: Callable[[Callable[[T], None]], Awaitable[None]]) -> Emitter[T]:
    """An observable of what a coroutine emits: `run(emit)` is started for each subscription.

    It completes when the coroutine returns and fails with what it raises. Disposing cancels it.
    """
    return fed(lambda sink: run(sink.on_next))


def fed(run: Callable[[Sink[T]], Awaitable[None]]) -> Emitter[T]:
    """As `from_async`, of what emits to a Sink: `on_many` as well, where many items come at once."""
    return Fed(run)


class Fed(Emitter[T]):
    """An observable of what a coroutine emits to a Sink.

    Attributes:
        coroutine: Its function. A stream keeps the grammar of Rx itself, and needs no Sink between.
    """

    def __init__(self, run: Callable[[Any], Awaitable[None]]) -> None:
        super().__init__(partial(_feed, run))  # no method: it would refer to itself, and hold the request
        self.coroutine = run


def _feed(run: Callable[[Any], Awaitable[None]], sink: Sink[Any]) -> abc.DisposableBase:
    return Feed(run, sink.loop, _FedSink(sink))


class _FedSink:
    """A Sink as what a coroutine feeds."""

    __slots__ = ("_accept", "_accept_many", "_complete", "_fail")

    def __init__(self, sink: Sink[Any]) -> None:
        self._accept, self._accept_many = sink.on_next, sink.on_many
        self._fail, self._complete = sink.on_error, sink.on_completed


def from_async_iterable(iterable: AsyncIterable[T]) -> Emitter[T]:
    """The items of an async iterable, pulled one after the other as they are wanted; disposing closes it."""

    async def run(emit: Callable[[T], None]) -> None:
        iterator = aiter(iterable)
        try:
            await until_wanted()
            async for item in iterator:
                emit(item)
                await until_wanted()
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    return from_async(run)


async def forward(
    source: Observable[T], on_next: Callable[[T], object], on_many: OnMany[T] | None = None
) -> None:
    """Hears a source to its end: each item goes to `on_next` as it comes, without a task between.

    What comes at once goes to `on_many`, if there is one; then neither of the two may raise anything.

    Raises what the source fails with, or what `on_next` raises. When the awaiting task is
    cancelled, the subscription is disposed.
    """
    if on_many is not None and isinstance(source, Fed):
        # here and now: neither a task nor an observer of its own stands between
        await source.coroutine(_Told(on_next, on_many))
        return
    loop = asyncio.get_running_loop()
    # the error is its result: a future takes no StopIteration for an exception
    ended: asyncio.Future[Exception | None] = loop.create_future()

    def end(error: Exception | None = None) -> None:
        if not ended.done():
            ended.set_result(error)

    subscription = listen(source, loop, on_next, end, end, on_many=on_many)
    try:
        error = await ended
    finally:
        subscription.dispose()
    if error is not None:
        raise error


class _Told(Generic[T]):
    """What a coroutine emits to, in place of a Sink."""

    __slots__ = ("on_many", "on_next")

    def __init__(self, on_next: Callable[[T], object], on_many: OnMany[T]) -> None:
        self.on_next = on_next
        self.on_many = on_many
