"""Watch: a reader who writes down all that it hears, and what of it breaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc

from ...blocks import Block
from ...engine.schedulers import LoopScheduler
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript
from ...values import Message
from .lane_texts import drawn
from .worlds import Planted, World

__all__ = ["Watch"]


class Watch:
    """One reader of one observable.

    Attributes:
        events: What came, as (seconds, kind, value), the kinds being `next`, `error`, `completed`.
        wrong: How the observable broke its contract, in words.
        over: Whether it has ended, or was left.
        came: When it subscribed, in seconds.
    """

    def __init__(
        self, world: World, name: str, met: Callable[[Watch, Any], None], left: Callable[[], None]
    ) -> None:
        self.name = name
        self.events: list[tuple[float, str, Any]] = []
        self.wrong: list[str] = []
        self.over = False
        self.came = 0.0
        self._world = world
        self._met = met
        self._left = left
        self._leaving = False
        self._busy = False
        self._end = ""
        self._raised = False
        self._subscription: abc.DisposableBase | None = None

    @property
    def values(self) -> list[Any]:
        """What came, without the times and the end."""
        return [value for _, kind, value in self.events if kind == "next"]

    @property
    def end(self) -> str:
        """`completed`, `error`, or nothing if it was left, or has not ended."""
        kind = self.events[-1][1] if self.events else ""
        return "" if kind == "next" else kind

    @property
    def whole(self) -> bool:
        """Whether it has heard the observable's own end."""
        return self._end.startswith("on_") and not self._raised

    def read(self, source: Observable[Any]) -> None:
        """Subscribes."""
        self.came = self._world.now
        scheduler = LoopScheduler(self._world.loop)
        subscription = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )
        self._subscription = subscription
        if self._leaving:
            self.leave()

    def leave(self) -> None:
        """Disposes; within an `on_next` before `subscribe` has returned, as soon as it has."""
        self._leaving = True
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            if not self.over:
                self._over("it was left")
            subscription.dispose()

    def _on_next(self, value: Any) -> None:
        self._check("on_next")
        if self._raised:
            self.wrong.append(f"{self.name}: on_next was called after its subscriber had raised")
        if self._busy:
            self.wrong.append(f"{self.name}: on_next was called within an on_next")
        self.events.append((self._world.now, "next", value))
        self._busy = True
        try:
            self._met(self, value)
        except Planted:
            self._raised = True
            raise
        finally:
            self._busy = False

    def _on_error(self, error: Exception) -> None:
        self._check("on_error")
        self._ended("error", error)

    def _on_completed(self) -> None:
        self._check("on_completed")
        self._ended("completed", None)

    def _ended(self, kind: str, value: Any) -> None:
        if self._busy:
            self.wrong.append(f"{self.name}: on_{kind} was called within an on_next")
        self.events.append((self._world.now, kind, value))
        self._over(f"on_{kind}")

    def _check(self, what: str) -> None:
        if self._end:
            self.wrong.append(f"{self.name}: {what} was called after {self._end}")

    def _over(self, how: str) -> None:
        self._end = how
        self.over = True
        self._left()

    def drawn(self) -> str:
        """All of it as a lane."""
        ends = {"completed": "|", "error": "#"}
        events = [(at, ends.get(kind) or _word(value)) for at, kind, value in self.events]
        return drawn(events) or "(nothing)"


def _word(value: Any) -> str:
    if isinstance(value, MessageStream | Block):
        return value.name or "message"
    if isinstance(value, StateUpdate):
        return f"<{value.kind}>"
    if isinstance(value, Transcript):
        return "<transcript>"
    if type(value) is tuple:
        value = str(value[0])
    elif type(value) is dict:
        value = value.get("content")
    elif isinstance(value, Message):
        value = value.text
    text = value.strip() if isinstance(value, str) else value
    return f"{text!r:.40}".replace(" ", "_")
