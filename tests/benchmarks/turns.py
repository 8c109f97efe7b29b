"""What a turn of a long conversation costs: the late ones beside the early ones of the same run."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from itertools import pairwise

import reactivex as rx

from rxagents import Agent, LastNMessagesStrategy, Loop, Transcript, Workflow

__all__ = ["LATE_AT_MOST", "growth"]

LATE_AT_MOST = 1.25
"""What the late turns may cost, the early ones being 1: a tenth of the turns each."""


def growth(turns: int, runs: int) -> float:
    """How many times as much a turn costs at the end of a loop as at its beginning; CPU time.

    The agent reads the last four messages, so that what is sent to its model is the same each time.
    """
    return statistics.median(asyncio.run(_run(turns)) for _ in range(runs))


async def _run(turns: int) -> float:
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
    part = turns // 10
    costs = [after - before for before, after in pairwise(at)]
    return statistics.median(costs[-part:]) / statistics.median(costs[part : 2 * part])
