"""Observables whose lock is made when it is asked for.

RxPY gives each observable a lock, for operators that share state with it. Most of ours are read without such
an operator, and there are two for each level of a team.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, TypeVar

from reactivex import Observable

__all__ = ["LateLocked"]

T = TypeVar("T")


class _LateLock:
    """Not a property: what it has made is found before it, in the observable itself."""

    def __get__(self, observable: Any, _: object = None) -> Any:
        # setdefault is atomic: of two threads that ask at once, both get the one lock
        return observable.__dict__.setdefault("lock", RLock())


class LateLocked(Observable[T]):
    """An observable with a `subscribe` of its own, whose `lock` is made when it is first asked for."""

    lock: Any = _LateLock()  # as an annotation says nothing of the instances, Rx finds what it looks for
    _subscribe: Any = None

    def __init__(self) -> None:  # not that of Observable, which would do no more than make the lock
        pass
