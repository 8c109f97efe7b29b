"""What a turn of a long conversation costs: the late ones beside the early ones of the same run."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from itertools import pairwise

import reactivex as rx

from rxagents import Agent, LastNMessagesStrategy, Loop, Transcript, Workflow

__all__ = ["LATE_AT_MOST", "costs_of_turns", "growth"]

LATE_AT_MOST = 1.25
"""What the late turns may cost, the early ones being 1: a tenth of the turns each."""


def growth(turns: int, runs: int) -> float:
    """How many times as much a turn costs at the end of a loop as at its beginning; CPU time.

    The agent reads the last four messages, so that what is sent to its model is the same each time.
    """
    part = turns // 10
    ran = [costs_of_turns(turns) for _ in range(runs)]
    return statistics.median(
        statistics.median(costs[-part:]) / statistics.median(costs[part : 2 * part]) for costs in ran
    )


def costs_of_turns(turns: int) -> list[float]:
    """The CPU seconds of each turn of one loop but the first."""
    return asyncio.run(_run(turns))


async def _run(turns: int) -> list[float]:
    at: list[float] = []

    def note(_: Transcript) -> bool:
        at.append(time.process_time())
        return False

    bot = Agent("bot", lambda request: rx.of("Hi"), reading_strategy=LastNMessagesStrategy(4))
    gc.collect()
    gc.disable()  # a collection looks at all there is, which is Python's cost and not a turn's
    try:
        async for _ in Workflow(Loop("loop", bot, until=note, max_turns=turns)).arun_stream("go"):
            pass
    finally:
        gc.enable()
    return [after - before for before, after in pairwise(at)]
