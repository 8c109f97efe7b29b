"""Where a thread may block until a run has ended: anywhere but on the loop that runs it."""

from __future__ import annotations

import asyncio

from .engine.loops import is_on, shared_loop
from .errors import BlockingCallError

__all__ = ["blockable_loop"]


def blockable_loop(name: str, instead: str) -> asyncio.AbstractEventLoop:
    """The shared loop, for a call that blocks this thread.

    Args:
        name: What was called.
        instead: What to call on the shared loop itself.

    Raises:
        BlockingCallError: This is the shared loop's thread.
    """
    loop = shared_loop()
    if is_on(loop):
        raise BlockingCallError(
            f"{name} would block the very loop that it waits for; here it takes `{instead}`"
        )
    return loop
