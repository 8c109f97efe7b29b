"""Ctrl-C at a console: it cuts what is being said, and not the program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from reactivex import Observable

from ..engine.emitters import Emitter
from ..engine.loops import hop
from ..engine.sinks import Sink

__all__ = ["Interrupts"]


class Interrupts:
    """An observable of the wish to hear no more, and what makes one of Ctrl-C.

    While somebody subscribes to `wishes`, something is being said.

    Args:
        asking: Whether the person is being asked at this moment, so that there is nothing to be cut.
    """

    def __init__(self, asking: Callable[[], bool]) -> None:
        self._asking = asking
        self._sinks: dict[Sink[None], None] = {}
        self._pressed: object = None
        self.wishes: Observable[None] = Emitter(self._begin)

    def _begin(self, sink: Sink[None]) -> Callable[[], None]:
        self._sinks[sink] = None
        return lambda: self._sinks.pop(sink, None)

    def wish(self) -> None:
        """Cuts what is being said. From any thread, also in a signal's handler."""
        for sink in list(self._sinks):
            hop(sink.loop, sink.on_next, None)

    def came_true(self) -> None:
        """Says that whoever wanted something else has it: the next Ctrl-C is a first one again."""
        self._pressed = None

    @contextmanager
    def on_ctrl_c(self) -> Iterator[None]:
        """Within it, SIGINT is a wish; in another thread than the main one it changes nothing.

        While the person is asked SIGINT is what it was before. So it is if the one before has come to
        nothing: whoever presses again wants out.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        if before is None:  # somebody else's, in C, which could not be put back
            yield
            return

        def pressed(number: int, frame: FrameType | None) -> None:
            saying = (*self._sinks,)
            if self._asking() or self._pressed == saying:
                self._pressed = None
                _as_before(before, number, frame)
            else:
                self._pressed = saying
                self.wish()

        signal.signal(signal.SIGINT, pressed)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _as_before(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        raise KeyboardInterrupt
