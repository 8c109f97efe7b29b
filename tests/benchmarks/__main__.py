"""python -m tests.benchmarks [--quick]: what a token costs beside the bare `openai` client, and a turn.

A server in its own process answers with one burst of tokens. Each way of reading it takes its turn,
round after round, so that a drifting machine drifts for all. CPU time of this process only. The
ratios are what counts; the exit status says whether they hold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from openai import AsyncOpenAI

from rxagents import Agent, Marker, OpenAILLM, Team, Workflow
from rxagents.participants import Participant

from .closings import CLOSING_AT_MOST, closings
from .turns import LATE_AT_MOST, growth

Read = Callable[[], Awaitable[int]]

AT_MOST_BARE = 1.0
LEVELS_WITHIN = 0.10
PULLED_AT_MOST = 1.3  # beside one that is told by a plain `subscribe`


@contextmanager
def canned_server(chunks: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.canned_server", str(chunks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        finally:
            server.stdin.close()


async def bare(client: AsyncOpenAI) -> int:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "go"}], stream=True
    )
    tokens = 0
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            tokens += 1
    return tokens


def nested(llm: OpenAILLM, levels: int) -> Workflow:
    inner: Participant = Agent("agent", llm)
    for level in range(levels):
        inner = Team(llm, [inner], f"team{level}", max_turns=1)
    return Workflow(inner)


async def pulled(llm: OpenAILLM, levels: int) -> int:
    tokens = 0
    async for mark, content in nested(llm, levels).arun_stream("go"):
        if mark == "delta" and content["content"]:
            tokens += 1
    return tokens


async def pushed(llm: OpenAILLM, levels: int) -> int:
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tokens = 0

    def count(marker: Marker) -> None:
        nonlocal tokens
        mark, content = marker
        if mark == "delta" and content["content"]:
            tokens += 1

    nested(llm, levels).observe("go").subscribe(count, ended.set_exception, lambda: ended.set_result(None))
    await ended
    return tokens


async def measure(chunks: int, rounds: int, url: str) -> dict[str, list[float]]:
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        llm = OpenAILLM("gpt-4o", client=client)
        ways: dict[str, Read] = {
            "openai, bare `async for`": partial(bare, client),
            "workflow, 1 team": partial(pulled, llm, 1),
            "workflow, 20 teams": partial(pulled, llm, 20),
            "workflow, 1 team, pushed": partial(pushed, llm, 1),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for round_ in range(rounds + 1):
            for name, read in ways.items():
                begun = time.process_time()
                tokens = await read()
                cost = time.process_time() - begun
                if tokens != chunks:
                    raise SystemExit(f"{name}: {tokens} of {chunks} tokens arrived")
                if round_:  # the first one warms up
                    spent[name].append(cost / chunks * 1e6)
        return spent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; some seconds")
    quick = parser.parse_args().quick
    chunks, rounds = (12_000, 7) if quick else (20_000, 15)
    with canned_server(chunks) as url:
        if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the server keeps to the others
        spent = asyncio.run(measure(chunks, rounds, url))
    print(f"{chunks} tokens in one burst, {rounds} rounds; CPU µs a token: median (min–max)")
    for name, costs in spent.items():
        print(f"  {name:26} {statistics.median(costs):7.2f}  ({min(costs):.2f}–{max(costs):.2f})")
    bare_, one, twenty, told = spent.values()
    against_bare = statistics.median(a / b for a, b in zip(one, bare_, strict=True))
    per_levels = statistics.median(a / b for a, b in zip(twenty, one, strict=True))
    per_pull = statistics.median(a / b for a, b in zip(one, told, strict=True))
    print(f"  1 team / bare: {against_bare:.2f} (held to {AT_MOST_BARE:.2f})")
    print(f"  20 teams / 1 team: {per_levels:.2f} (held to {1 + LEVELS_WITHIN:.2f})")
    print(f"  1 team, pulled / pushed: {per_pull:.2f} (held to {PULLED_AT_MOST:.2f})")
    turns = 1_000 if quick else 4_000
    late = growth(turns, runs=3)
    print(f"  the last of {turns} turns / the first: {late:.2f} (held to {LATE_AT_MOST:.2f})")
    bare_closing, closing = closings(50 if quick else 300)
    ratio = closing / bare_closing
    print(
        f"  a cancelled response is closed after {closing * 1000:.2f} ms (median), by the bare client after "
        f"{bare_closing * 1000:.2f} ms: {ratio:.2f} (held to {CLOSING_AT_MOST:.2f})"
    )
    held = (
        against_bare <= AT_MOST_BARE
        and per_levels <= 1 + LEVELS_WITHIN
        and per_pull <= PULLED_AT_MOST
        and late <= LATE_AT_MOST
        and ratio <= CLOSING_AT_MOST
    )
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
