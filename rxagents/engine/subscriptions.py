"""One subscription: on which loop it begins, and what to let go of at its end."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, cast

from reactivex import abc
from reactivex.disposable import Disposable

from ..errors import RunCancelledError
from .demands import current_demand, demanded_by
from .loops import hop, hop_and_wait, is_on, let_go, retain
from .trampolines import enqueued, trampolined

__all__ = ["Subscription"]

Start = Callable[[Any], "abc.DisposableBase | Callable[[], None] | None"]


class Subscription(abc.DisposableBase):
    """It begins on its loop, once, and lets go there, once, from whichever thread it is disposed.

    Args:
        loop: Its loop.

    Attributes:
        loop: Its loop.
        demand: What who subscribed wants of it; None: everything.
        stopped: Whether nothing may be told any more.
    """

    __slots__ = ("__weakref__", "_release", "_teardown", "_torn", "demand", "loop", "stopped")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.demand = current_demand()
        self._teardown: abc.DisposableBase | None = None
        self._release: Callable[[], None] | None = None
        self._torn = False
        self.stopped = False

    @abstractmethod
    def on_error(self, error: Exception) -> None:
        """Told why it could not begin."""

    def begin(self, start: Start) -> None:
        """Runs `start` on the loop: through the trampoline if this is its thread, else by a hop."""
        if is_on(self.loop):
            trampolined(lambda: self._start(start))
        else:
            # through the trampoline here too: who subscribed has the disposable before the first item
            enqueued(lambda: self._hop(start))

    def _hop(self, start: Start) -> None:
        # so what is hot is heard as soon as `subscribe` has returned, as anywhere in Rx
        if not hop_and_wait(self.loop, lambda: trampolined(lambda: self._start(start))):
            self.on_error(RunCancelledError("the event loop that this stream belongs to is closed"))

    def _start(self, start: Start) -> None:
        if self.stopped:
            return
        self._release = retain(self.loop)
        try:
            if current_demand() is self.demand:
                teardown = start(self)
            else:  # a trampoline or a hop lies between
                with demanded_by(self.demand):
                    teardown = start(self)
        except Exception as error:
            self.on_error(error)
            return
        if teardown is not None:
            # by its form, as `isinstance` of an abstract class is slow
            ending: Any = teardown if hasattr(teardown, "dispose") else Disposable(cast(Any, teardown))
            if self._torn:
                let_go(ending)
            else:
                self._teardown = ending  # which refers to this one: let go of at the end

    def dispose(self) -> None:
        """Ends the subscription, from any thread: nothing that comes after it is told."""
        self.stopped = True
        if self._torn:
            return
        if is_on(self.loop):
            self._tear_down()
        else:
            hop(self.loop, self._tear_down)

    def _tear_down(self) -> None:
        if self._torn:
            return
        self._torn = True
        teardown, self._teardown = self._teardown, None
        if teardown is not None:
            let_go(teardown)
        if self._release is not None:
            self._release()
            self._release = None
