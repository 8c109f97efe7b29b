"""Memory against messages and against open streams, as Python's allocator counts it."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import reactivex as rx

from rxagents import Agent, LastNMessagesStrategy, Loop, Workflow

__all__ = ["Growth", "per_message", "per_stream"]

Growth = tuple[list[tuple[int, float]], float]
"""The points, and what the last takes beside the first."""


def per_message(sizes: Sequence[int]) -> Growth:
    """Bytes that a workflow holds for a message when a conversation of so many has ended.

    Each message is a reply of its own, with two tokens, in a loop of turns.
    """
    return _grown([(size, asyncio.run(_conversation(size)) / size) for size in sizes])


def per_stream(counts: Sequence[int]) -> Growth:
    """KiB that a stream takes while it waits for its next token; without its client and its socket."""
    return _grown([(count, asyncio.run(_streams(count)) / count / 1024) for count in counts])


async def _conversation(messages: int) -> int:
    # what is sent stays the same, else the requests would be most of it
    bot = Agent("bot", lambda _: rx.of("Hello ", "there"), reading_strategy=LastNMessagesStrategy(4))
    await Workflow(Loop("loop", bot, max_turns=10)).arun("go")  # all that is made once
    workflow = Workflow(Loop("loop", bot, max_turns=messages))
    with _counted() as held:
        await workflow.arun("go")
    if len(workflow.conversation.messages) != messages + 1:
        raise SystemExit(f"{len(workflow.conversation.messages)} messages of {messages + 1}")
    return held[0]


async def _streams(count: int) -> int:
    bot = Agent("bot", lambda _: rx.concat(rx.of("Hello ", "there"), rx.never()))

    async def opened() -> Any:
        markers = Workflow(bot).arun_stream("go")
        async for mark, content in markers:
            if mark == "delta" and content["content"] == "there":
                break
        return markers

    await (await opened()).aclose()  # all that is made once
    with _counted() as held:
        streams = [await opened() for _ in range(count)]
    for stream in streams:
        await stream.aclose()
    return held[0]


@contextmanager
def _counted() -> Iterator[list[int]]:
    """What is alive at the end and was not at the beginning, in bytes: put into the list then."""
    held: list[int] = []
    gc.collect()
    gc.freeze()  # what was there before is not looked at again and again
    tracemalloc.start()
    try:
        yield held
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def _grown(points: list[tuple[int, float]]) -> Growth:
    return points, points[-1][1] / points[0][1]
