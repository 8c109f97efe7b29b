"""Steps: what an iterator has, emitted as it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable, SerialDisposable

from .demands import Demand, current_demand
from .emitters import Emitter
from .sinks import Sink
from .trampolines import enqueued

__all__ = ["Around", "stepped", "when_wanted"]

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[None]]
_END = object()


def stepped(begin: Callable[[], Iterator[T]], around: Around = nullcontext) -> Emitter[T]:
    """The items of an iterator, all of them at once but for the pauses in which no more is wanted.

    Disposing closes a generator.

    Args:
        begin: Gives the iterator of one subscription.
        around: Gives what surrounds each of its steps.
    """
    return Emitter(lambda sink: _Steps(begin(), sink, around))


def when_wanted(demand: Demand, resume: Callable[[], abc.DisposableBase]) -> abc.DisposableBase:
    """Resumes once more is wanted; what that gives is disposed with the result."""
    resumed = SerialDisposable()

    def changed() -> None:
        if demand.wanted:
            resumed.disposable = resume()  # which ends the watching

    resumed.disposable = demand.watch(changed)
    changed()  # another thread may have taken all before it was watched
    return resumed


class _Steps(abc.DisposableBase):
    def __init__(self, iterator: Iterator[Any], sink: Sink[Any], around: Around) -> None:
        self._iterator = iterator
        self._sink = sink
        self._around = around
        self._demand = current_demand()
        self._context = copy_context()
        self._stepping = False
        self._paused: abc.DisposableBase | None = None
        enqueued(self._go_on)

    def _go_on(self) -> None:
        self._stepping = True
        try:
            while not self._sink.stopped:
                if self._demand is not None and not self._demand.wanted:
                    self._paused = when_wanted(self._demand, self._resume)
                    return
                item = self._step()
                if item is _END:
                    break
                self._sink.on_next(item)
            self._close()
        except Exception as error:
            self._sink.on_error(error)
        else:
            self._sink.on_completed()
        finally:
            self._stepping = False

    def _step(self) -> Any:
        with self._around():
            return next(self._iterator, _END)

    def _resume(self) -> abc.DisposableBase:
        # soon, and as if nothing had been between: this is the reader's call
        handle = asyncio.get_running_loop().call_soon(self._go_on, context=self._context)
        return Disposable(handle.cancel)

    def _close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def dispose(self) -> None:
        if self._paused is not None:
            self._paused.dispose()
        if not self._stepping:  # else the loop there closes it: a generator that runs cannot be closed
            self._close()
