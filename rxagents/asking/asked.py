"""Asked: what an agent was asked, and what it answers, to be read as often and as late as one likes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from reactivex import Observable, abc

from ..engine.loops import dropped, hop
from ..errors import AgentError
from ..transcripts import Item
from ..values import Message
from ..walks import last_message
from .sharing import Shared

__all__ = ["Asked"]


class Asked(Shared):
    """What an agent was asked: a conversation that runs once, however often it is read.

    `await` it for the last outermost Message, as `answer()` gives it; pipe it, or say it to another
    agent; all of its readers, early and late, share the one run. It starts with its first reader, or
    with `begin()`. Who leaves it leaves it running; `dispose()` cancels it. Made by `Participant.ask`.

    ```
    llm      --Hel-lo-|
    asked    bot------|
    bot      m--------|
    m        --Hel-lo-|
    answer   ---------([Hello]|)
    ```

    Args:
        source: The conversation.
        within: What surrounds its start: the turn in which it was asked.
    """

    def __init__(self, source: Observable[Item], within: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__(source)
        self._within = within
        self._unheard = False

    @property
    def started(self) -> bool:
        """Whether it has been begun, or anybody has read it."""
        return self._started

    def subscribe(
        self,
        on_next: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Reads it from its beginning; who reads it hears its error."""
        self._unheard = False
        return super().subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def __await__(self) -> Generator[Any, None, Message]:
        return self._whole().__await__()

    async def _whole(self) -> Message:
        async for _ in self:
            pass
        last = last_message(self.items)
        if last is None:
            raise AgentError("nobody answered: what was asked holds no message but its input")
        return last

    def report_unheard(self) -> None:
        """Says that it failed, if nobody who reads it has heard so, nor will."""
        if self._unheard and self.error is not None:
            self._unheard = False
            _report(self.error)

    def _run(self) -> None:
        with self._within():
            super()._run()

    def _settle(self) -> None:
        super()._settle()
        self._unheard = self.error is not None and not self._readers

    def __del__(self) -> None:
        # a finalizer may run anywhere, at any moment: it only leaves word for the loop
        if getattr(self, "_unheard", False) and not sys.is_finalizing():
            error = self.error
            hop(self._bound_loop(), _report, error)

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else "failed" if self.error else "ended"
        return f"<Asked, {state if self.ended else 'open' if self._started else 'not started'}>"


def _report(error: Exception) -> None:
    dropped(error, "what an agent was asked failed, and nobody read it")
