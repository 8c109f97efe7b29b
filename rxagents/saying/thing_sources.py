"""What is said later, as observables: errors, awaitables, iterables that are pulled."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..engine.bridges import from_async
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.steps import Around, stepped

__all__ = ["Around", "failing", "inside", "pulled_from", "result_of"]

T = TypeVar("T")


def failing(error: Exception) -> Observable[Any]:
    """An observable that fails with the error."""
    return Emitter(lambda sink: sink.on_error(error))


def inside(source: Observable[T], around: Around | None) -> Observable[T]:
    """The source, subscribed within what `around` gives: so the tasks that it makes run in it."""
    if around is None:
        return source

    def start(sink: Sink[T]) -> abc.DisposableBase:
        with around():
            return listen(source, sink.loop, sink.on_next, sink.on_error, sink.on_completed)

    return Emitter(start)


def result_of(thing: Awaitable[Any]) -> Observable[Any]:
    """What an awaitable gives."""

    async def run(emit: Callable[[Any], None]) -> None:
        emit(await thing)

    def start(sink: Sink[Any]) -> abc.DisposableBase:
        return CompositeDisposable(from_async(run).subscribe(sink), Disposable(unawaited))

    def unawaited() -> None:  # left before its first step: Python would warn of it
        if inspect.iscoroutine(thing) and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            thing.close()

    return Emitter(start)


def pulled_from(iterable: Iterable[T], around: Around | None = None) -> Observable[T]:
    """The items of an iterable, each step within what `around` gives; disposing closes a generator."""
    return stepped(lambda: iter(iterable), around or nullcontext)
