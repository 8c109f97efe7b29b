"""Demand: whether whoever reads wants more, which is what a source asks before it reads its socket on.

A reader that pulls (an iterator) closes its valve when it is a buffer behind; a reader that is pushed to
has no valve, and demands everything. The demand goes down with the subscription, as a context variable:
tasks, and what they subscribe to, inherit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from reactivex import abc

__all__ = ["Demand", "current_demand", "demanded_by"]


class Demand(Protocol):
    """Whether more is wanted. To be asked on the loop of the stream."""

    @property
    def wanted(self) -> bool:
        """Whether a source may go on."""

    async def granted(self) -> None:
        """Waits until more is wanted; returns at once if it is."""

    def watch(self, callback: Callable[[], None]) -> abc.DisposableBase:
        """Calls back, on the loop, each time that `wanted` may have changed, until disposed."""


_demand: ContextVar[Demand | None] = ContextVar("rxagents_demand", default=None)


def current_demand() -> Demand | None:
    """The demand that this code serves; None: all that it can give is wanted."""
    return _demand.get()


@contextmanager
def demanded_by(demand: Demand | None) -> Iterator[None]:
    """What is subscribed to meanwhile, and every task that is made, serves this demand."""
    token = _demand.set(demand)
    try:
        yield
    finally:
        _demand.reset(token)
