"""Listening to a model's answer on its way, for whoever writes it down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from .requests import LLM, ChatRequest

__all__ = ["How", "Notes", "noted"]

How = Literal["completed", "interrupted", "error"]
"""How an answer ended."""


class Notes(Protocol):
    """What is written down of one answer. Only the first end counts."""

    def item(self, item: Any) -> None: ...
    def end(self, how: How, error: Exception | None = None) -> None: ...


def noted(
    llm: LLM, request: ChatRequest, begin: Callable[[abc.SchedulerBase | None], Notes | None]
) -> Observable[Any]:
    """Asks a model, and has each subscription's answer noted.

    Args:
        llm: The model.
        request: What to ask.
        begin: Begins the notes of one answer, with the scheduler of its subscription; None: none are taken.

    Raises:
        Exception: What the model raises; that is noted as well.
    """
    try:
        answer = llm(request)
    except Exception as error:
        notes = begin(None)
        if notes is not None:
            notes.end("error", error)
        raise
    if not isinstance(answer, Observable):
        return answer  # whoever asks says best what is wrong with it

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        notes = begin(scheduler)
        if notes is None:
            return answer.subscribe(observer, scheduler=scheduler)
        return _listened(answer, notes, observer, scheduler)

    return rx.create(subscribe)


def _listened(
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
