"""Many streams at once in one process: how long they take, how late a token is, what a stream occupies."""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from typing import Any

from .contestants import Contestant

__all__ = ["crowd"]


async def crowd(contestant: Contestant, url: str, *, count: int, tokens: int, gap: int) -> dict[str, Any]:
    """Reads so many streams of so many tokens, one each `gap` microseconds.

    Gives the wall and CPU seconds, the lag of the tokens in milliseconds (a token tells when it was
    sent), the tokens that did not come, and the KiB of memory that a stream added at the most.
    """
    conversation = contestant.held([{"role": "user", "content": "go"}])
    await contestant.read("burst-10", conversation, lambda text: None)  # all that is made once
    lags = array("q", bytes(8 * count * tokens))
    heard = 0

    def hear(text: str) -> None:
        nonlocal heard
        lags[heard] = time.monotonic_ns() - int(text)
        heard += 1

    gc.collect()
    before = _occupied("VmRSS")
    _forget_the_peak()
    cpu, begun = time.process_time(), time.perf_counter()
    ended = await asyncio.gather(
        *(contestant.read(f"streams-{tokens}-{gap}", conversation, hear) for _ in range(count)),
        return_exceptions=True,
    )
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = _occupied("VmHWM")
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
        "kib": (peak - before) / count if before and peak else None,
    }


def _occupied(what: str) -> int:
    """KiB of this process, as Linux tells them; 0 elsewhere."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(what + ":"))
    except (OSError, StopIteration):
        return 0


def _forget_the_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
    except OSError:
        pass
