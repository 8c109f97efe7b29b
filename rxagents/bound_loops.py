"""LoopBound: what belongs to one event loop, and does there what it is told from anywhere."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from .engine.loops import current_loop, hop, is_on
from .errors import RunCancelledError
from .nominal import Nominal

__all__ = ["LoopBound"]


class LoopBound(metaclass=Nominal):
    """What belongs to one loop until it has ended: the first that is asked for, unless one was chosen."""

    ended: bool

    def bind(self, loop: AbstractEventLoop) -> None:
        """Chooses the loop, before anybody subscribes; by default the first subscriber's is taken."""
        self.__dict__.setdefault("_loop", loop)

    def _bound_loop(self) -> AbstractEventLoop:
        # setdefault is atomic: of two threads that subscribe at once, one chooses
        loop: AbstractEventLoop = self.__dict__.get("_loop") or self.__dict__.setdefault(
            "_loop", current_loop()
        )
        return loop

    def _reading_loop(self) -> AbstractEventLoop:
        if not self.ended and self._bound_loop().is_closed():
            self._lose()
        return current_loop() if self.ended else self._bound_loop()

    def _on_loop(self, action: Callable[..., None], *args: Any) -> None:
        if self.ended:
            return
        loop = self._bound_loop()
        if is_on(loop):
            action(*args)
        elif not hop(loop, action, *args):
            self._lose()

    def _lose(self) -> None:
        # its loop cannot bring it to an end any more, so whoever asks for it does
        self._fail(RunCancelledError("the event loop that this stream belongs to is closed"))

    @abstractmethod
    def _fail(self, error: Exception) -> None:
        """Ends it with an error."""
