"""CPU time against depth, against subscribers and against turns."""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx2
import reactivex as rx
from openai import AsyncOpenAI

from rxagents import ChatRequest, MessageStream, OpenAILLM

from .canned_answers import HEAD, burst
from .contestants.workflow import nested
from .turns import costs_of_turns

__all__ = [
    "DEPTHS",
    "SUBSCRIBERS",
    "Growth",
    "per_level",
    "per_token_by_depth",
    "per_token_by_subscribers",
    "per_turn",
]

Growth = tuple[list[tuple[int, float]], float]
"""The points, and what the last costs beside the first."""

DEPTHS = (1, 2, 5, 10, 20, 40)
SUBSCRIBERS = (1, 2, 5, 10, 50)

_READ = 16_384  # bytes that come at once, as from a socket


def per_token_by_depth(tokens: int, rounds: int, depths: Sequence[int] = DEPTHS) -> Growth:
    """CPU µs a token of a workflow so deep, from the first token to the last: no setting up, no ending."""

    async def measure() -> Growth:
        model = _model(tokens)

        async def spent(depth: int) -> float:
            begun = ended = 0.0
            async for mark, _ in nested(model, depth).arun_stream("go"):
                if mark == "delta":
                    begun = begun or time.process_time()
                elif mark == "response":
                    ended = time.process_time()
            return ended - begun

        least = await _least(depths, spent, rounds)
        return _grown([(depth, least[depth] / tokens) for depth in depths])

    return asyncio.run(measure())


def per_level(rounds: int, depths: Sequence[int] = DEPTHS[3:]) -> Growth:
    """CPU µs for each level above the second, of a run that has one token."""

    def model(_: ChatRequest) -> rx.Observable[str]:
        return rx.of("Hi")

    async def spent(depth: int) -> float:
        workflow = nested(model, depth)
        begun = time.process_time()
        async for _ in workflow.arun_stream("go"):
            pass
        return time.process_time() - begun

    least = asyncio.run(_least((2, *depths), spent, rounds))
    return _grown([(depth, (least[depth] - least[2]) / (depth - 2)) for depth in depths])


def per_token_by_subscribers(tokens: int, rounds: int, counts: Sequence[int] = SUBSCRIBERS) -> Growth:
    """CPU µs a token for each of so many subscribers to one message."""

    async def measure() -> Growth:
        model = _model(tokens)

        least = await _least(counts, lambda count: _told(model, count), rounds)
        return _grown([(count, least[count] / tokens / count) for count in counts])

    return asyncio.run(measure())


def per_turn(turns: int, runs: int) -> Growth:
    """CPU µs of a turn in a loop: at its beginning, in its middle, at its end."""
    part = turns // 10
    ran = [costs_of_turns(turns) for _ in range(runs)]
    parts = {part: slice(part, 2 * part), turns // 2: slice(5 * part, 6 * part), turns: slice(-part, None)}
    medians = [{at: statistics.median(run[where]) for at, where in parts.items()} for run in ran]
    points = [(at, statistics.median(run[at] for run in medians) * 1e6) for at in parts]
    return points, statistics.median(run[turns] / run[part] for run in medians)


class _Canned(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), _READ):
            yield self._body[at : at + _READ]


def _model(tokens: int) -> OpenAILLM:
    """OpenAI's client and all of our own, with an answer at hand instead of a socket."""
    body = b"".join(burst(tokens).removeprefix(HEAD).split(b"\r\n")[1::2])  # out of its HTTP chunks

    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Canned(body))

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
    return OpenAILLM(
        "m", client=AsyncOpenAI(api_key="none", base_url="http://at-hand/v1", http_client=transport)
    )


async def _told(model: OpenAILLM, subscribers: int) -> float:
    """CPU seconds from the first token to the end of a message that so many hear."""
    message = MessageStream(model(ChatRequest(({"role": "user", "content": "go"},))))
    begun = 0.0

    def hear(_: object) -> None:
        nonlocal begun
        begun = begun or time.process_time()

    for _ in range(subscribers):
        message.subscribe(hear)
    await message
    return time.process_time() - begun


async def _least(
    numbers: Sequence[int], spent: Callable[[int], Awaitable[float]], rounds: int
) -> dict[int, float]:
    """For each number the least CPU seconds of all rounds: what else this machine does only adds to it.

    Each takes its turn, round after round, so that a drifting machine drifts for all.
    """
    least = dict.fromkeys(numbers, math.inf)
    gc.collect()
    gc.freeze()
    gc.disable()  # whose turn a collection falls into is chance
    try:
        for round_ in range(rounds):
            for number in numbers if round_ % 2 else reversed(numbers):
                least[number] = min(least[number], await spent(number))
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return least


def _grown(seconds: list[tuple[int, float]]) -> Growth:
    points = [(number, value * 1e6) for number, value in seconds]
    return points, points[-1][1] / points[0][1]
