"""GuardedTurn: a turn, and beside it the check of what was heard before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reactivex.disposable import CompositeDisposable

from ..blocks import Scope
from ..engine.inlets import listen
from ..engine.loops import dropped
from ..engine.sinks import Sink
from ..operators._twins import replaced
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..values import Message
from .checking import Check, Checking, Verdict
from .rules import FILTERED, failure, stopping, tripped

__all__ = ["Guard", "GuardedTurn", "OnTrip"]

OnTrip: TypeAlias = Literal["refuse", "fail", "stop"]


@dataclass(frozen=True, slots=True)
class Guard:
    """What a guard of what is heard does.

    Args:
        name: Of the guard, in what it reports.
        check: The check.
        on_trip: What comes when it does not pass.
        refusal: The words of a refusal.
        hold: Whether nothing is shown before it has passed.
    """

    name: str
    check: Check
    on_trip: OnTrip
    refusal: str
    hold: bool


class GuardedTurn(CompositeDisposable):
    """One turn, and the check beside it.

    Args:
        sink: Takes the items of the turn, or those in their place.
        turn: The turn, not begun.
        heard: What is checked.
        agent: Whose turn it is.
        guard: The guard.
    """

    def __init__(self, sink: Sink[Item], turn: Scope, heard: Transcript, agent: str, guard: Guard) -> None:
        super().__init__()
        self._sink = sink
        self._turn = turn
        self._agent = agent
        self._guard = guard
        self._held: list[Item] = []
        self._verdict: Verdict | None = None
        self._ending: Callable[[], None] | None = None
        checking = Checking(guard.check, sink.loop, self._judged, sink.on_next)
        self.add(checking)
        checking.begin(heard)
        if not sink.stopped:
            self.add(listen(turn, sink.loop, self._next, self._failed, self._completed))

    def _next(self, item: Item) -> None:
        if item is getattr(self._turn, "update", None):
            return  # the block around says anew what becomes of the conversation
        if self._verdict is None and self._guard.hold:
            self._held.append(item)
        elif self._verdict is None or self._verdict.passed:
            self._sink.on_next(item)

    def _failed(self, error: Exception) -> None:
        # of a message that was passed on, the one around has heard already
        self._end(lambda: self._sink.on_error_first(replaced(error, self._turn)))

    def _completed(self) -> None:
        self._end(self._sink.on_completed)

    def _end(self, ending: Callable[[], None]) -> None:
        if self._verdict is None:
            self._ending = ending
        elif self._verdict.passed:
            ending()

    def _judged(self, verdict: Verdict) -> None:
        self._verdict = verdict
        if self._sink.stopped:
            return
        if not verdict.passed:
            self._trip(verdict)
            return
        held, self._held = self._held, []
        for item in held:
            self._sink.on_next(item)
        if self._ending is not None:
            self._ending()

    def _trip(self, verdict: Verdict) -> None:
        guard, agent, sink = self._guard, self._agent, self._sink
        if self._turn.error is not None:
            dropped(self._turn.error, f"the turn of {agent} failed, and the guard {guard.name} tripped")
        self._turn.interrupt()
        spent = Transcript().fold_all(self._held)  # on what nobody will see
        if spent.usage or spent.log:
            sink.on_next(StateUpdate("usage", usage=spent.usage, log=spent.log))
        sink.on_next(tripped(guard.name, agent, verdict.reason, guard.on_trip))
        if guard.on_trip == "stop":
            sink.on_next(stopping(guard.name))
        if guard.on_trip == "fail":
            sink.on_error(failure(guard.name, agent, verdict.reason, verdict.error))
            return
        if guard.on_trip == "refuse":
            refused = Message(role="assistant", name=agent, content=guard.refusal, finish_reason=FILTERED)
            sink.on_next(MessageStream.of(refused))
        sink.on_completed()
