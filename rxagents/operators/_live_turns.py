"""The turns over one live source, and when each begins: the policies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, Literal, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..conversations import Conversation
from ..conversing import Askable
from ..engine.inlets import listen
from ..engine.loops import hop
from ..engine.sinks import Sink
from ..engine.work import afterwards, defer
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from ._live_turn import LiveTurn, put_in

__all__ = ["POLICIES", "LiveTurns", "Policy"]

Policy: TypeAlias = Literal["switch", "concat", "merge", "exhaust"]


class LiveTurns(abc.DisposableBase):
    """One subscription: begins turns as the input comes, and hands on what they consist of.

    Args:
        sink: Takes the items.
        source: The input.
        askable: Who is asked.
        policy: What becomes of an input while a turn is going on.
        conversation: To go on with.
        fails: Whether a turn that fails fails all.
    """

    __slots__ = (
        "_arrive",
        "_arrived",
        "_askable",
        "_context",
        "_conversation",
        "_cut_before",
        "_fails",
        "_last_word",
        "_left",
        "_open",
        "_sink",
        "_source",
        "_source_done",
        "_taking",
        "_waiting",
    )

    def __init__(
        self,
        sink: Sink[Item],
        source: Observable[Any],
        askable: Askable,
        policy: Policy,
        conversation: Conversation,
        fails: bool,
    ) -> None:
        self._sink = sink
        self._askable = askable
        self._arrive = POLICIES[policy]
        self._conversation = conversation
        self._fails = fails
        # a live source is pushed from anywhere: what holds for the turns is what held at the subscription
        self._context = copy_context()
        self._open: dict[LiveTurn, None] = {}
        # lists, since thousands of conversations may be idle: an empty deque is twelve times as large
        self._arrived: list[Any] = []
        self._waiting: list[Any] = []
        self._taking = self._source_done = self._left = self._cut_before = False
        self._last_word: str | None = None
        before = conversation.transcript
        if len(before) or before.variables or before.usage or before.log:
            sink.on_next(before)
        self._source: abc.DisposableBase = Disposable()
        # what is put in is heard at once, however slow the reader of the replies is
        self._source = listen(
            source, sink.loop, self._next, self._end_with, self._source_completed, everything=True
        )
        if self._left:
            self._source.dispose()

    # -- what a policy can do

    @property
    def is_busy(self) -> bool:
        """Whether a turn is going on, or waits."""
        return bool(self._open or self._waiting)

    def begin(self, thing: Any) -> None:
        """Begins a turn."""
        heard = self._what_has_ended if self._arrive is _merge else self._all
        turn = LiveTurn(thing, self._askable, self._conversation, heard, self._context, fails=self._fails)
        turn.bind(self._sink.loop)
        self._open[turn] = None
        self._conversation.follow(turn, driven=True)
        ended = partial(self._turn_ended, turn)
        # a copy, since the context may be in use: an input that answers what is just being said
        self._context.copy().run(listen, turn, self._sink.loop, self._sink.on_next, ended, ended)

    def queue(self, thing: Any) -> None:
        """Lets an input wait until all before it have had their turns."""
        self._waiting.append(thing)

    def cut(self) -> None:
        """Interrupts what is going on, now."""
        for turn in list(self._open):
            turn.interrupt()

    # -- the input

    def _next(self, thing: Any) -> None:
        self._arrived.append(thing)
        # a reply that is just ending, and to which this is the answer, has ended then
        afterwards(self._take)

    def _take(self) -> None:
        if self._taking or not self._arrived or self._left:
            return
        self._taking = True
        try:
            self._arrive(self, self._arrived.pop(0))
        finally:
            self._taking = False
        if self._arrived:
            hop(self._sink.loop, self._take)  # a feedback loop: it takes the way round, not the stack
        self._complete_if_done()

    def _source_completed(self) -> None:
        self._source_done = True
        self._complete_if_done()

    # -- the turns

    def _turn_ended(self, turn: LiveTurn, error: Exception | None = None) -> None:
        defer(lambda: self._after(turn, error or turn.cancelled))

    def _after(self, turn: LiveTurn, error: Exception | None) -> None:
        self._open.pop(turn, None)
        self._open = self._open or {}  # a dict keeps the room of what it had
        _ = self._conversation.settled  # takes the turn over, whose items nobody needs any more
        if self._left:
            return
        cut = turn.was_cut
        # the last word counts, and not that some turn before it was cut
        self._last_word = turn.code if self._cut_before and not cut else None
        self._cut_before = self._cut_before or cut
        if error is not None:
            self._end_with(error)
        elif turn.escaping_stop is not None:
            self._leave()
            self._sink.on_completed()
        elif self._waiting and not self._open:
            self.begin(self._waiting.pop(0))
        else:
            self._complete_if_done()

    def _all(self, _: LiveTurn) -> Transcript:
        return self._conversation.transcript

    def _what_has_ended(self, turn: LiveTurn) -> Transcript:
        return self._conversation.whole.fold_all(turn.items)

    # -- the end

    def _complete_if_done(self) -> None:
        if not self._source_done or self.is_busy or self._arrived or self._left:
            return
        if self._last_word is not None:
            self._sink.on_next(StateUpdate("result", {"result": self._last_word}))
        self._sink.on_completed()

    def _end_with(self, error: Exception) -> None:
        self._leave()
        self._sink.on_error(error)

    def dispose(self) -> None:
        """Cancels: what is open is interrupted, and what waited is in the conversation, unanswered."""
        self._leave()

    def _leave(self) -> None:
        if self._left:
            return
        self._left = True
        self._source.dispose()
        self.cut()
        for thing in (*self._waiting, *self._arrived):
            self._keep(thing)
        self._waiting.clear()
        self._arrived.clear()

    def _keep(self, thing: Any) -> None:
        at_hand, _ = put_in(thing)
        for item in at_hand:
            self._conversation.follow(item)
            self._sink.on_next(item)
        let_pass(thing)


def let_pass(thing: Any) -> None:
    """Lets an input go that nobody answers."""
    if inspect.iscoroutine(thing):
        thing.close()  # or Python would warn of a coroutine that was never awaited


def _switch(turns: LiveTurns, thing: Any) -> None:
    turns.cut()
    turns.begin(thing)


def _concat(turns: LiveTurns, thing: Any) -> None:
    if turns.is_busy:
        turns.queue(thing)
    else:
        turns.begin(thing)


def _merge(turns: LiveTurns, thing: Any) -> None:
    turns.begin(thing)


def _exhaust(turns: LiveTurns, thing: Any) -> None:
    if turns.is_busy:
        let_pass(thing)
    else:
        turns.begin(thing)


POLICIES: Mapping[str, Callable[[LiveTurns, Any], None]] = {
    "switch": _switch,
    "concat": _concat,
    "merge": _merge,
    "exhaust": _exhaust,
}
