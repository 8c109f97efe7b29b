"""Hearing an observable from a plain thread, as a test does."""

from __future__ import annotations

import threading
from typing import Any

import reactivex as rx

__all__ = ["heard"]

WAIT = 10.0


def heard(observable: rx.Observable[Any]) -> list[Any]:
    """What an observable emits, from this thread; its error as the last entry."""
    got: list[Any] = []
    ended = threading.Event()

    def fail(error: Exception) -> None:
        got.append(error)
        ended.set()

    observable.subscribe(got.append, fail, ended.set)
    assert ended.wait(WAIT)
    return got
