"""What a worker can be told to measure: each a function from a contestant to numbers."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from .contestants import Contestant, Message
from .crowds import crowd

__all__ = ["COMMANDS", "Told"]

Told = dict[str, Any]

SHORT: list[Message] = [{"role": "user", "content": "go"}]
_LEFT_AFTER = 3  # tokens
_WAIT = 300  # milliseconds that a connection may stay open before it counts as forgotten


def _history(messages: int) -> list[Message]:
    """A conversation of so many messages, the last one the user's."""
    words = "It was the best of times, it was the worst of times, it was the age of wisdom"
    roles = ("assistant", "user") if messages % 2 == 0 else ("user", "assistant")
    return [{"role": roles[at % 2], "content": f"{at}: {words}"} for at in range(messages)]


async def read(contestant: Contestant, url: str, *, model: str, messages: int = 1, times: int = 1) -> Told:
    """CPU and wall seconds of so many requests, one after the other, and the tokens that came."""
    conversation = contestant.held(SHORT if messages == 1 else _history(messages))
    heard: list[str] = []
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        await contestant.read(model, conversation, heard.append)
    await asyncio.sleep(0)  # what it left to be done at once
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "tokens": len(heard)}


async def first(contestant: Contestant, url: str, *, requests: int) -> Told:
    """Milliseconds from asking to the first token, of each request; CPU milliseconds of one."""
    conversation = contestant.held(SHORT)
    took: list[float] = []
    cpu = time.process_time()
    for _ in range(requests):
        heard: list[float] = []

        def hear(text: str, heard: list[float] = heard) -> None:
            heard.append(time.perf_counter())

        begun = time.perf_counter()
        await contestant.read("burst-1", conversation, hear)
        took.append((heard[0] - begun) * 1e3)
    return {"ms": took, "cpu": (time.process_time() - cpu) / requests * 1e3}


async def leave(contestant: Contestant, url: str, *, times: int, how: str) -> Told:
    """Milliseconds from leaving an answer in its middle until its connection is closed.

    `break` leaves as the contestant's `read` does, `cancel` cancels the task that reads. What is open
    after a while is left to the garbage collector.
    """
    took: list[float] = []
    garbage = never = 0
    for _ in range(times):
        left = await (_break(contestant) if how == "break" else _cancel(contestant))
        closed = await _closed(url)
        if closed is None:
            gc.collect()
            closed = await _closed(url)
            never += closed is None
            garbage += closed is not None
            break  # each such one takes long
        took.append((closed - left) / 1e6)
    return {"ms": took, "garbage": garbage, "never": never}


async def _break(contestant: Contestant) -> int:
    heard: list[int] = []

    def hear(text: str) -> bool:
        heard.append(time.monotonic_ns())
        return len(heard) == _LEFT_AFTER

    # the server says nothing more: one that does not leave would wait for ever
    await asyncio.wait_for(contestant.read("stalled-5", contestant.held(SHORT), hear), 5)
    return heard[_LEFT_AFTER - 1]


async def _cancel(contestant: Contestant) -> int:
    enough = asyncio.Event()
    heard: list[str] = []

    def hear(text: str) -> None:
        heard.append(text)
        if len(heard) == _LEFT_AFTER:
            enough.set()

    reading = asyncio.ensure_future(contestant.read("stalled-5", contestant.held(SHORT), hear))
    await asyncio.wait_for(enough.wait(), 5)
    left = time.monotonic_ns()
    reading.cancel()
    return left


async def _closed(url: str) -> int | None:
    """When the server saw the connection closed. A thread waits, so that this loop can close it."""

    def ask() -> bytes:
        connection = HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", f"/closed/{_WAIT}")
        answer = connection.getresponse().read()
        connection.close()
        return answer

    closed: int | None = json.loads(await asyncio.get_running_loop().run_in_executor(None, ask))["closed"]
    return closed


COMMANDS: dict[str, Callable[..., Awaitable[Told]]] = {
    "read": read,
    "first": first,
    "leave": leave,
    "streams": crowd,
}
"""By the name in the command; the rest of the command are the keyword arguments."""
