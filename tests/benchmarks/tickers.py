"""Answers that come bit by bit: one in a thread with short pauses, or thousands on one timer."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections import deque

from .canned_answers import BEGIN, DIGITS, HEAD, stamped, tail, token

__all__ = ["Tickers", "pace"]

_TICK = 0.001


def pace(transport: asyncio.Transport, tokens: int, gap: int, usage: bool) -> None:
    """Sends each token in a write of its own, so many microseconds after the last.

    In a thread: the timers of an event loop are as coarse as a millisecond, a sleep is not.
    """
    own = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    def send() -> None:
        try:
            with own:
                own.settimeout(10)
                own.sendall(HEAD + BEGIN)
                for number in range(tokens):
                    time.sleep(gap / 1e6)
                    own.sendall(token(number))
                time.sleep(gap / 1e6)
                own.sendall(tail(tokens, usage))
        except OSError:  # the reader has left
            pass

    threading.Thread(target=send, daemon=True).start()


class _Stream:
    __slots__ = ("due", "left", "tail", "transport")

    def __init__(self, transport: asyncio.Transport, tokens: int, due: int, tail: bytes) -> None:
        self.transport = transport
        self.tail = tail
        self.left = tokens
        self.due = due


class Tickers:
    """All answers that go by the clock: one timer for each gap writes to those that are due."""

    def __init__(self) -> None:
        self._before, self._after = stamped()
        self._due: dict[int, deque[_Stream]] = {}
        self._late: list[int] = []

    def add(self, transport: asyncio.Transport, tokens: int, gap: int, usage: bool) -> None:
        """Begins an answer: a token each so many microseconds."""
        transport.write(HEAD + BEGIN)
        ticking = gap in self._due
        streams = self._due.setdefault(gap, deque())
        # all that were put in before are due before this: the queue is in order without being sorted
        due = time.monotonic_ns() + gap * 1_000
        streams.append(_Stream(transport, tokens, due, tail(tokens, usage)))
        if not ticking:
            asyncio.get_running_loop().call_later(_TICK, self._tick, gap)

    def lateness(self) -> dict[str, float]:
        """By how many milliseconds tokens were sent too late since it was last asked."""
        late, self._late = sorted(self._late), []
        if not late:
            return {"p50": 0.0, "p99": 0.0, "max": 0.0}
        at = {"p50": len(late) // 2, "p99": len(late) * 99 // 100, "max": -1}
        return {name: late[place] / 1e6 for name, place in at.items()}

    def _tick(self, gap: int) -> None:
        streams, late, before, after = self._due[gap], self._late, self._before, self._after
        now = time.monotonic_ns()
        while streams and streams[0].due <= now:
            stream = streams.popleft()
            transport = stream.transport
            if transport.is_closing():
                continue
            sent = time.monotonic_ns()
            late.append(sent - stream.due)
            transport.write(b"%b%0*d%b" % (before, DIGITS, sent, after))
            stream.left -= 1
            if stream.left:
                stream.due += gap * 1_000
                streams.append(stream)
            else:
                transport.write(stream.tail)
        if streams:
            asyncio.get_running_loop().call_later(_TICK, self._tick, gap)
        else:
            del self._due[gap]
