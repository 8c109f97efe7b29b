"""What is called with each message of a conversation, once that is complete."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

from .blocks import Scope
from .engine.bridges import from_async
from .engine.loops import dropped
from .errors import ConfigurationError
from .ledgers import counts
from .places import located_as
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Transcript
from .values import Message
from .witnesses import folds_of

__all__ = ["MessageCallback", "OnMessage"]

OnMessage: TypeAlias = Callable[[Message], Awaitable[object] | object]
"""Called with a Message; may be a coroutine function."""


class MessageCallback:
    """Calls back with each message that ends, once; the visitor of a `Witness`.

    A coroutine function is awaited, one call after the other. What it raises, be it at once or later,
    goes to `on_dropped`, located at `on_message`.

    Args:
        callback: To call.
        known: Whether the message, or the update, with this id was in the conversation before.

    Raises:
        ConfigurationError: It cannot be called.
    """

    def __init__(self, callback: OnMessage, known: Callable[[str], bool]) -> None:
        if not callable(callback):
            raise ConfigurationError(
                f"on_message is a {type(callback).__name__}; give a function that takes a Message"
            )
        self._callback = callback
        self._known = known
        self._seen: set[str] = set()
        self._silent = True
        self._waiting: deque[Awaitable[object]] = deque()
        self._working: Future[None] | None = None
        self._lock = threading.Lock()

    def message(self, stream: MessageStream, frame: None) -> None:
        if self._is_new(stream.id) and not (self._silent and stream.ended):
            stream.on_end(self._ended)

    def state(self, update: StateUpdate, frame: None) -> None:
        if update.messages and self._is_new(update.id):
            self._call_all(update.messages)

    def snapshot(self, transcript: Transcript, frame: None) -> None:
        for fold in folds_of(transcript):
            if fold.messages and self._is_new(fold.id):
                self._call_all(fold.messages)

    def enter(self, block: Scope, frame: None) -> None: ...

    def leave(self, block: Scope, frame: None) -> None: ...

    def begin(self) -> None:
        """Says that what had ended before it was registered has all been shown to it."""
        self._silent = False

    async def done(self) -> None:
        """Waits until every coroutine has ended that was called so far."""
        while (working := self._working) is not None:
            await asyncio.wrap_future(working)

    def _is_new(self, id: str) -> bool:
        new = id not in self._seen and not self._known(id)
        self._seen.add(id)
        return new

    def _ended(self, stream: Any) -> None:
        if stream.result is not None:
            self._call_all((stream.result,))

    def _call_all(self, messages: tuple[Message, ...]) -> None:
        for message in () if self._silent else filter(counts, messages):
            try:
                called = self._callback(message)
            except Exception as error:
                _report(error)
            else:
                if inspect.isawaitable(called):
                    self._await(called)

    def _await(self, awaitable: Awaitable[object]) -> None:
        with self._lock:
            self._waiting.append(awaitable)
            if self._working is not None:
                return
            self._working = Future()
        from_async(self._work).subscribe(on_error=self._cancelled)

    async def _work(self, _: Callable[[object], None]) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._finish()
                    return
                awaitable = self._waiting.popleft()
            try:
                await awaitable
            except Exception as error:
                _report(error)

    def _cancelled(self, error: Exception) -> None:
        """The loop ended in the midst of it."""
        with self._lock:
            for awaitable in self._waiting:
                if inspect.iscoroutine(awaitable):
                    awaitable.close()
            self._waiting.clear()
            self._finish()
        _report(error)

    def _finish(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.set_result(None)


def _report(error: Exception) -> None:
    dropped(located_as(error, "on_message"), "`on_message` raised, and the run goes on")
