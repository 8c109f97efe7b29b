"""How soon a response is closed that was cancelled in the middle, as its server sees it."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from openai import AsyncOpenAI

from rxagents import Agent, OpenAILLM, say
from rxagents.operators import text
from rxagents.testing import OpenAIServer, RecordedRequest, Stalled

__all__ = ["CLOSING_AT_MOST", "closings"]

CLOSING_AT_MOST = 4.0
"""What closing may take, that of the bare client being 1."""

_WAIT = 10.0


def closings(cancellations: int) -> tuple[float, float]:
    """The median seconds from cancelling to closed: of the bare client, and of a pipeline."""
    bare: list[float] = []
    ours: list[float] = []

    async def main(server: OpenAIServer) -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            bot = Agent("bot", OpenAILLM("m", client=client))
            for at in range(cancellations + 5):
                for way, spent in ((_close(client), bare), (_dispose(bot), ours)):
                    begun = await way
                    closed = await _closed(server.requests[-1])
                    if at >= 5:
                        spent.append(closed - begun)

    with OpenAIServer(lambda _: Stalled(3, "one two three four")) as server:
        asyncio.run(main(server))
    return statistics.median(bare), statistics.median(ours)


async def _close(client: AsyncOpenAI) -> float:
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "go"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    begun = time.monotonic()
    await stream.close()
    return begun


async def _dispose(bot: Agent) -> float:
    heard = asyncio.Event()

    def hear(_: Any) -> None:
        heard.set()

    subscription = say("go").pipe(bot, text()).subscribe(hear)
    await heard.wait()
    begun = time.monotonic()
    subscription.dispose()
    return begun


async def _closed(request: RecordedRequest) -> float:
    # in a thread that waits: who looks again and again on this loop would keep the server from its work
    await asyncio.get_running_loop().run_in_executor(None, request.wait_closed, _WAIT)
    assert request.closed_at is not None
    return request.closed_at
