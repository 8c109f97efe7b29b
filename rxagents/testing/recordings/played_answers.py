"""Recorded answers, played again: as they came and when they came."""

from __future__ import annotations

from functools import partial
from typing import Any

from reactivex import abc
from reactivex.disposable import MultipleAssignmentDisposable

from ...engine.demands import current_demand
from ...engine.steps import stepped, when_wanted
from ...engine.trampolines import enqueued
from ...errors import ScriptError
from .exchanges import Exchange

__all__ = ["play", "play_at_once"]

# Seconds, as recorded. Whoever cancelled an answer, and cancels it again, does so within that time.
_GRACE = 1.0


def play(
    exchange: Exchange, name: str, observer: abc.ObserverBase[Any], clock: abc.SchedulerBase, speed: float
) -> abc.DisposableBase:
    """Plays an answer in time.

    Args:
        exchange: What was recorded.
        name: Of the recording, for errors.
        observer: Gets the answer, and its end.
        clock: Whose time it is.
        speed: How many times as fast.

    Returns:
        Cancels it.
    """
    pending = MultipleAssignmentDisposable()
    known = exchange.end in ("completed", "error")
    moments = [seconds for seconds, _ in exchange.answer]
    moments.append(exchange.ended if known else exchange.ended + _GRACE)
    due = [round(seconds / speed, 6) for seconds in moments]
    begun = clock.now
    demand = current_demand()

    def arm(index: int) -> None:
        elapsed = (clock.now - begun).total_seconds()
        pending.disposable = clock.schedule_relative(max(0.0, round(due[index] - elapsed, 6)), step, index)

    def step(_: abc.SchedulerBase, state: int | None) -> None:
        index = state or 0
        now = due[index]
        while not pending.is_disposed:
            if demand is not None and not demand.wanted:
                pending.disposable = when_wanted(demand, partial(clock.schedule, step, index))
                return
            if index == len(exchange.answer):
                _finish(exchange, name, observer)
                return
            observer.on_next(exchange.answer[index][1])
            index += 1
            if due[index] > now:
                arm(index)
                return

    arm(0)
    return pending


def play_at_once(exchange: Exchange, name: str, observer: abc.ObserverBase[Any]) -> abc.DisposableBase:
    """Plays an answer as soon as there is somebody who could cancel it; arguments as for `play`."""
    if current_demand() is not None:
        items = stepped(lambda: (item for _, item in exchange.answer))
        return items.subscribe(observer.on_next, observer.on_error, lambda: _finish(exchange, name, observer))
    disposing = MultipleAssignmentDisposable()

    def play() -> None:
        for _, item in exchange.answer:
            if disposing.is_disposed:
                return
            observer.on_next(item)
        if not disposing.is_disposed:
            _finish(exchange, name, observer)

    enqueued(play)
    return disposing


def _finish(exchange: Exchange, name: str, observer: abc.ObserverBase[Any]) -> None:
    if exchange.end == "completed":
        observer.on_completed()
        return
    how = "was cancelled" if exchange.end == "interrupted" else "ends in the recording"
    number = len(exchange.answer)
    cut_off = ScriptError(
        f"replay of {name}: the answer to request {exchange.number} {how} after {number} "
        f"{'increment' if number == 1 else 'increments'}, and what would have followed is not known. "
        "Record it again, to its end"
    )
    observer.on_error(exchange.error or cut_off)
