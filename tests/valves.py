"""A demand that a test opens and closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reactivex import abc
from reactivex.disposable import Disposable

__all__ = ["Valve"]


class Valve:
    """A Demand that wants more while it is open."""

    def __init__(self) -> None:
        self._open = True
        self._callbacks: list[Callable[[], None]] = []

    @property
    def wanted(self) -> bool:
        return self._open

    @property
    def idle(self) -> bool:
        return False

    @property
    def room(self) -> int:
        return 0

    async def granted(self) -> None:
        opened = asyncio.get_running_loop().create_future()
        with self.watch(lambda: opened.done() or opened.set_result(None)):
            if not self._open:
                await opened

    def watch(self, callback: Callable[[], None], cares: object = None) -> abc.DisposableBase:
        self._callbacks.append(callback)
        return Disposable(lambda: self._callbacks.remove(callback))

    @property
    def watchers(self) -> int:
        """How many are told of what happens."""
        return len(self._callbacks)

    def open(self) -> None:
        self._set(True)

    def close(self) -> None:
        self._set(False)

    def _set(self, wanted: bool) -> None:
        self._open = wanted
        for callback in [*self._callbacks]:
            callback()
