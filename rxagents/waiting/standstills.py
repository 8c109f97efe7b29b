"""Standstills: a run in which there is nothing left to do but to wait for approval."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ..blocks import Scope
from ..replays import Replay
from ..runs import Run
from ..tooling.approvals import Approvals

__all__ = ["Standstill"]


class Standstill:
    """Ends a run, with the result `waiting`, as soon as all that is open in it waits for approval.

    An agent that is asked in a tool, by a function agent, or by the next one in a pipe is work of whoever
    asks it, and no part of the conversation: while it waits, so does the run.

    Args:
        run: The run.
        desk: Where its calls wait.
    """

    def __init__(self, run: Run, desk: Approvals) -> None:
        self._run = run
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._watched: set[Replay[object]] = set()
        forget = desk.on_stall(self._look)
        run.on_end(lambda _: forget())

    def _look(self) -> None:
        stalled = self._desk.stalled
        if self._run.ended or not stalled:
            return
        leaves = list(_leaves(self._run))
        at_work = [leaf for leaf in leaves if not _waits(leaf, stalled)]
        if leaves and not at_work:
            self._run.wait_no_longer()
        for leaf in at_work:
            if leaf not in self._watched:
                self._watched.add(leaf)
                leaf.on_end(self._ended)

    def _ended(self, leaf: Replay[object]) -> None:
        self._watched.discard(leaf)
        # soon: what comes after it may just be beginning
        self._loop.call_soon(self._look)


def _waits(leaf: Replay[object], stalled: set[object]) -> bool:
    """Whether it waits itself, or is made of what waits, as behind a gate."""
    made_of: object = leaf
    while made_of is not None and made_of not in stalled:
        made_of = getattr(made_of, "_other", None) or getattr(made_of, "original", None)
    return made_of is not None


def _leaves(scope: Scope) -> Iterator[Replay[object]]:
    """What is open, and holds nothing else that is."""
    stack: list[Replay[object]] = [scope]
    while stack:
        replay = stack.pop()
        inside = [child for child in replay._open if not child.ended] if isinstance(replay, Scope) else []
        if inside:
            stack.extend(inside)
        elif replay is not scope:
            yield replay
