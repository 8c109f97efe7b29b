"""timeline: what an observable does, and when, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from reactivex import Observable

from rxagents.engine.inlets import listen
from rxagents.testing import VirtualClock

__all__ = ["END", "timeline"]

END = "|"


def timeline(source: Observable[Any], *, dispose_at: float | None = None) -> list[tuple[float, Any]]:
    """Subscribes in virtual time and gives all that comes, each with its second.

    The last entry is `"|"` for completion, or the error itself; if it was disposed before, neither.

    ```
    source     --a--b|
    timeline   [(2.0, "a"), (5.0, "b"), (6.0, "|")]
    ```

    Args:
        source: Any observable; nothing in it may need real time.
        dispose_at: The second at which to dispose the subscription.

    Raises:
        NothingToWaitForError: It waits for something that can never come.
    """

    async def record() -> list[tuple[float, Any]]:
        loop = asyncio.get_running_loop()
        entries: list[tuple[float, Any]] = []
        ended: asyncio.Future[None] = loop.create_future()

        def note(value: Any) -> None:
            entries.append((clock.now, value))

        def end(value: Any = END) -> None:
            note(value)
            if not ended.done():
                ended.set_result(None)

        subscription = listen(source, loop, note, end, end)
        if dispose_at is not None:
            loop.call_at(dispose_at, lambda: None if ended.done() else ended.set_result(None))
        try:
            await ended
        finally:
            subscription.dispose()
        return entries

    with VirtualClock() as clock:
        return clock.run(record())
