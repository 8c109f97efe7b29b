"""Processes whose guard is gone: found by a mark in their environment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK", "kill_strays"]

# Which program a process belongs to. Children inherit it, unless they are started without.
MARK = "RXAGENTS_PROGRAM"


def kill_strays(token: str) -> None:
    """Kills every process that bears the token, until a look finds none. Only Linux shows them.

    The last resort, where a program has killed the guard that would have found all of its children.
    """
    while strays := [pid for pid in _own_processes() if _bears(pid, token)]:
        killed = False
        for pid in strays:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                killed = True
        if not killed:
            return


def _own_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    except OSError:
        return []


def _bears(pid: int, token: str) -> bool:
    try:
        # empty for one that has ended and was not reaped yet
        return f"{MARK}={token}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
