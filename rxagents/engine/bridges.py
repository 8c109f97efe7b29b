"""From asyncio to Rx, and back: coroutines and async iterables as observables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..errors import RunCancelledError
from .demands import until_wanted
from .emitters import Emitter
from .inlets import listen
from .sinks import Sink
from .tasks import keep

__all__ = ["forward", "from_async", "from_async_iterable"]

T = TypeVar("T")


def from_async(run: Callable[[Callable[[T], None]], Awaitable[None]]) -> Emitter[T]:
    """An observable of what a coroutine emits: `run(emit)` is started for each subscription.

    It completes when the coroutine returns and fails with what it raises. Disposing cancels it.
    """

    def start(sink: Sink[T]) -> abc.DisposableBase:
        def ended(task: asyncio.Task[None]) -> None:
            # here and not in the coroutine: a task may be cancelled before its first step
            if not sink.stopped:
                cause = "cancelled" if task.cancelled() else f"ended by {type(task.exception()).__name__}"
                sink.on_error(RunCancelledError(f"the task that fed this stream was {cause}"))

        task = sink.loop.create_task(_drive(run, sink))
        keep(task)
        task.add_done_callback(ended)

        def cancel() -> None:
            task.cancel()

        return Disposable(cancel)

    return Emitter(start)


async def _drive(run: Callable[[Callable[[T], None]], Awaitable[None]], sink: Sink[T]) -> None:
    try:
        await run(sink.on_next)
    except Exception as error:
        sink.on_error(error)
    else:
        sink.on_completed()


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


async def forward(source: Observable[T], on_next: Callable[[T], object]) -> None:
    """Hears a source to its end: each item goes to `on_next` as it comes, without a task between.

    Raises what the source fails with, or what `on_next` raises. When the awaiting task is
    cancelled, the subscription is disposed.
    """
    loop = asyncio.get_running_loop()
    # the error is its result: a future takes no StopIteration for an exception
    ended: asyncio.Future[Exception | None] = loop.create_future()

    def end(error: Exception | None = None) -> None:
        if not ended.done():
            ended.set_result(error)

    subscription = listen(source, loop, on_next, end, end)
    try:
        error = await ended
    finally:
        subscription.dispose()
    if error is not None:
        raise error
