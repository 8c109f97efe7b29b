"""One run of the virtual clock, to where nothing can happen any more, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from ...engine.loops import on_dropped
from ...places import words
from ..clock.virtual_clock import VirtualClock
from ..clock.virtual_loop import VirtualLoop
from ..clock.waiting_tasks import in_order, waiting

__all__ = ["VirtualRun"]

# so many timers may fire after the last thing that is drawn
_PATIENCE = 100_000


class VirtualRun:
    """Runs a virtual clock dry, and remembers what nobody handled.

    A context manager: the clock lives within it.

    Attributes:
        errors: What was reported as an error that nobody handled: the error, and words about it.
        endless: What was still to be called when the run was given up; empty if it ran dry.
        now: Seconds since the clock started.
    """

    def __init__(self) -> None:
        self._clock = VirtualClock()
        self.errors: list[tuple[BaseException | None, str]] = []
        self.endless: list[str] = []
        self.loop: VirtualLoop

    @property
    def now(self) -> float:
        return self._clock.now

    def __enter__(self) -> Self:
        self._clock.__enter__()
        self.loop = self._clock.loop
        self.loop.set_exception_handler(self._handle)
        self._hook = on_dropped(lambda error, what: self.errors.append((error, what)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._clock.__exit__(kind, error, traceback)
        finally:
            on_dropped(self._hook)

    def run_dry(self, begin: Callable[[], None], horizon: float = 0.0) -> None:
        """Runs `begin`, and then all that follows from it.

        Args:
            begin: Called first, on the clock.
            horizon: After this time (seconds) no more than 100,000 further timers fire.

        Raises:
            EndlessInstantError: The time stopped moving.
            BaseException: What `begin` raised.
        """
        raised: list[BaseException] = []

        def first() -> None:
            try:
                begin()
            except BaseException as error:
                raised.append(error)

        self.loop.call_soon(first)
        loop = self.loop
        loop.run_to(loop.time())
        if raised:
            raise raised[0]
        late = 0
        while (due := loop.next_due()) is not None:
            late += due > horizon
            if late > _PATIENCE:
                self.endless = loop.timers()[:5]
                return
            loop.run_to(due)

    def waiting(self) -> str:
        """What waits, in words; empty if nothing does."""
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        return waiting(tasks) if tasks else ""

    def left_open(self) -> list[str]:
        """The tasks that have not ended, in words."""
        return [waiting([task]).strip() for task in in_order(asyncio.all_tasks(self.loop)) if not task.done()]

    def gather_errors(self) -> None:
        """Looks for tasks that failed and whose failure nobody asked for."""
        for task in in_order(self.loop.tasks):
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                error = task.exception()
                self.errors.append((error, f"the task {task.get_name()} failed, and nobody awaited it"))

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append((context.get("exception"), str(context.get("message"))))


def in_words(error: BaseException | None, what: str) -> str:
    return what if error is None else f"{type(error).__name__}: {words(error)} ({what})"
