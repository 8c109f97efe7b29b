"""What a server remembers of each request, readable from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RecordedRequest", "RequestLog"]


@dataclass(eq=False, slots=True)
class RecordedRequest:
    """One request to the server, and what became of its answer.

    Args:
        method: The HTTP method.
        path: Without the query.
        query: The parameters of the query.
        headers: By their names in lower case.
        body: The JSON of the body; empty if there was none.

    Attributes:
        started_at: When it had arrived, in seconds of `time.monotonic`.
        closed: Set when its connection is closed, by whichever side.
        closed_at: When that was, in seconds of `time.monotonic`.
        events_sent: How many events of its answer were sent (for one that is not streamed: documents;
            over the Responses API all events of an increment count as one).
        completed: Whether the whole answer was sent.
        held_back: Set while TCP takes no more of the answer, because the client does not read it.
        times_held_back: How often that was so.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic, init=False)
    closed: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    closed_at: float | None = field(default=None, init=False)
    events_sent: int = field(default=0, init=False)
    completed: bool = field(default=False, init=False)
    held_back: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    times_held_back: int = field(default=0, init=False)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop, init=False, repr=False)
    _pauses: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0), init=False, repr=False)

    def wait_closed(self, timeout: float) -> bool:
        """Blocks until its connection is closed; False if that takes more than `timeout` seconds."""
        return self.closed.wait(timeout)

    def release(self) -> None:
        """Lets its answer go on after the pause where it waits, or else after the next that it meets."""
        # The loop is closed when the server has stopped, and then nothing waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pauses.release)

    async def goes_on(self) -> bool:
        """Whether it was let go on, on the server's loop, which gets its turn; each `release` counts once."""
        await asyncio.sleep(0)
        if self._pauses.locked():
            return False
        await self._pauses.acquire()
        return True

    def mark_held_back(self, held: bool) -> None:
        """Says whether TCP takes no more of its answer."""
        if held:
            self.times_held_back += 1
            self.held_back.set()
        else:
            self.held_back.clear()

    async def pause(self) -> None:
        """Waits, on the server's loop, for a `release()`."""
        await self._pauses.acquire()

    def mark_closed(self) -> None:
        """Says that its connection is closed."""
        self.closed_at = time.monotonic()
        self.closed.set()


class RequestLog:
    """All requests of a server, in the order of their arrival."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._changed = threading.Condition()

    def add(self, request: RecordedRequest) -> None:
        """Adds a request and wakes who waits for it."""
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_for(self, number: int, timeout: float) -> bool:
        """Blocks until there are `number` requests; False if that takes more than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= number, timeout)
