"""Many streams at once in one process: how long they take, how late a token is, what a stream occupies."""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from typing import Any

from .contestants import Contestant

__all__ = ["crowd"]


async def crowd(
    contestant: Contestant, url: str, *, count: int, tokens: int, gap: int, weigh: bool = False
) -> dict[str, Any]:
    """Reads so many streams of so many tokens, one each `gap` microseconds.

    Gives the wall and CPU seconds, the lag of the tokens in milliseconds (a token tells when it was
    sent), the tokens that did not come, and, if they are to be weighed, the KiB of memory that a stream
    occupies.
    """
    conversation = contestant.held([{"role": "user", "content": "go"}])
    await contestant.read("burst-10", conversation, lambda text: None)  # all that is made once
    kib = await _weighed(contestant, count) if weigh else None
    lags = array("q", bytes(8 * count * tokens))
    heard = 0

    def hear(text: str) -> None:
        nonlocal heard
        lags[heard] = time.monotonic_ns() - int(text)
        heard += 1

    gc.collect()
    cpu, begun = time.process_time(), time.perf_counter()
    ended = await asyncio.gather(
        *(contestant.read(f"streams-{tokens}-{gap}", conversation, hear) for _ in range(count)),
        return_exceptions=True,
    )
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    failures = [repr(each) for each in ended if each is not None]
    late = sorted(lags[:heard])
    return {
        "wall": wall,
        "cpu": cpu,
        "lag_p50": late[len(late) // 2] / 1e6 if late else None,
        "lag_p99": late[len(late) * 99 // 100] / 1e6 if late else None,
        "lost": count * tokens - heard,
        "failures": len(failures),
        "failure": failures[0] if failures else None,
        "kib": kib,
    }


async def _weighed(contestant: Contestant, count: int) -> float | None:
    """KiB that each of so many open streams adds to the process.

    Tokens come so slowly that everybody keeps up: else his backlog would be weighed, and not a stream.
    """
    tokens, gap = 40, 200 * count
    conversation = contestant.held([{"role": "user", "content": "go"}])
    came = asyncio.Event()
    heard = 0

    def hear(text: str) -> None:
        nonlocal heard
        heard += 1
        if heard == count * tokens:
            came.set()

    gc.collect()
    before = _occupied()
    model = f"streams-{tokens + 10}-{gap}"  # they are still open when as many have come
    reading = [asyncio.ensure_future(contestant.read(model, conversation, hear)) for _ in range(count)]
    try:
        await asyncio.wait_for(came.wait(), 60)
        occupied = _occupied()
    except TimeoutError:
        return None
    finally:
        for each in reading:
            each.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    return (occupied - before) / count if before else None


def _occupied() -> int:
    """KiB of this process, as Linux tells them; 0 elsewhere."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return 0
