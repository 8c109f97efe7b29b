"""Listening to a model's answer on its way, for whoever writes it down."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

__all__ = ["How", "Notes", "listened"]

How = Literal["completed", "interrupted", "error"]
"""How an answer ended."""


class Notes(Protocol):
    """What is written down of one answer. Only the first end counts."""

    def item(self, item: Any) -> None: ...
    def end(self, how: How, error: Exception | None = None) -> None: ...


def listened(
    answer: Observable[Any],
    notes: Notes,
    observer: abc.ObserverBase[Any],
    scheduler: abc.SchedulerBase | None,
) -> abc.DisposableBase:
    """Subscribes to an answer for an observer; what comes is noted before the observer hears of it."""

    def on_next(item: Any) -> None:
        notes.item(item)
        observer.on_next(item)

    def on_error(error: Exception) -> None:
        notes.end("error", error)
        observer.on_error(error)

    def on_completed() -> None:
        notes.end("completed")
        observer.on_completed()

    inner = SingleAssignmentDisposable()
    # noted before it is cancelled: what cancelling comes to is nothing that was asked for
    disposing = CompositeDisposable(Disposable(lambda: notes.end("interrupted")), inner)
    try:
        inner.disposable = answer.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
    except Exception as error:
        notes.end("error", error)
        raise
    return disposing
