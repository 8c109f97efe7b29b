"""A function agent's turn: what it asks meanwhile belongs to it, runs no longer than it, and is paid by it.

`current_turn()` is the turn in which the calling code runs, as a ContextVar: code that runs on behalf of a
turn, however deep, finds it there.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import is_
from typing import Any

from reactivex import Observable, abc

from ..blocks import Block, Scope
from ..engine.emitters import Emitter
from ..engine.loops import let_go
from ..engine.sinks import Sink
from ..places import placed
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from ..values import Message
from .asked import Asked
from .spending import beside, keys_of

__all__ = ["Reply", "Turn", "TurnBlock", "asked_so_far", "current_turn", "turn_items", "within"]


class Turn:
    """What was asked in one turn.

    Attributes:
        heard: What was heard before it.
        said_before: Gives the messages that were heard until now, the newest first.
    """

    def __init__(self) -> None:
        self.around = current_turn()
        self.asks: list[Asked] = []
        self.ended = False
        self.loop: AbstractEventLoop | None = None
        self.heard: tuple[Transcript, ...] = ()
        self.said_before: Callable[[], Iterable[Message | None]] = tuple
        self._unknown: list[Asked] = []
        self._known: set[object] = set()

    def add(self, ask: Asked) -> None:
        """Takes in what was asked."""
        self.asks.append(ask)
        self._unknown.append(ask)
        if self.loop is not None:
            ask.bind(self.loop)

    def known(self) -> Set[object]:
        """The keys of all that was asked so far."""
        # what has ended is looked at once, so that the thousandth ask costs what the first one did
        open_ones = [ask for ask in self._unknown if not ask.ended]
        self._known |= keys_of(self._unknown)
        self._unknown = open_ones
        return self._known

    def is_paid(self, message: Message) -> bool:
        """Whether somebody else pays for it: the turn in which it was asked, or who said what was heard."""
        turns = [self]
        while (around := turns[-1].around) is not None:
            turns.append(around)
        return any(
            id(message) in turn.known() or any(map(partial(is_, message), turn.said_before()))
            for turn in turns
        )

    def end(self, emitted: Iterable[Item]) -> StateUpdate | None:
        """Cuts what was asked and is still open; gives what all of it took beyond what was emitted."""
        self.ended = True
        if not self.asks:
            return None
        for ask in self._innermost_first():
            ask.interrupt()
        asks, self.asks, self._unknown, self._known = self.asks, [], [], set()
        for ask in asks:
            ask.report_unheard()
        emitted = list(emitted)
        heard = [*self.heard, *(item for item in emitted if isinstance(item, Transcript))]
        usage, log = beside(asks, [keys_of(emitted)], heard, self.is_paid)
        return StateUpdate("usage", usage=usage, log=log) if usage or log else None

    def _innermost_first(self) -> list[Asked]:
        # with a stack of its own: turns may have asked one within the other, deeper than Python's stack
        order: list[Asked] = []
        stack: list[Any] = [*reversed(self.asks)]
        while stack:
            scope = stack.pop()
            if isinstance(scope, Asked) and scope.started:
                order.append(scope)
            if isinstance(scope, TurnScope):
                stack.extend(reversed(scope.asks))
            if isinstance(scope, Scope):
                stack.extend(child for child in scope._open if not child.ended)
        order.reverse()  # and of those side by side the last one first: it may hear those before it
        return order


Reply = Callable[[Turn], Observable[Item]]

_turn: ContextVar[Turn | None] = ContextVar("rxagents_turn", default=None)


def current_turn() -> Turn | None:
    """The innermost turn that this code runs in and that is still open."""
    turn = _turn.get()
    while turn is not None and turn.ended:
        turn = turn.around
    return turn


@contextmanager
def within(turn: Turn | None) -> Iterator[None]:
    """What runs meanwhile, and every task that is made, runs in this turn."""
    token = _turn.set(turn)
    try:
        yield
    finally:
        _turn.reset(token)


def asked_so_far(turn: Turn | None = None) -> list[Set[object]]:
    """The keys of all that was asked in a turn, or the one this code runs in: each pays for it itself."""
    known: list[Set[object]] = []
    turn = turn or current_turn()
    while turn is not None:
        known.append(turn.known())
        turn = turn.around
    return known


class TurnScope(Scope):
    """One turn of a function agent, whose class says which.

    However it ends, what was asked in it and is still open ends with it, and the cost of what was
    asked and not replied with is its last item. A message that fails fails it when what had begun
    beside that has ended: of what is unordered, an error is the last.
    """

    _turn: Turn
    _first_failed: Replay[Any] | None = None

    @property
    def asks(self) -> list[Asked]:
        """What was asked in it."""
        return self._turn.asks

    def _run(self) -> None:
        self._turn.loop = self._bound_loop()
        super()._run()

    def _after_child(self, child: Replay[Any]) -> None:
        others = len(self._open) > (child in self._open)
        if self.ended or not (self._first_failed or (child.error is not None and others)):
            super()._after_child(child)
            return
        self._open.pop(child, None)
        if self._first_failed is None:
            self._first_failed = child
            if self._subscription is not None:
                let_go(self._subscription)  # nothing else begins
        first = self._first_failed
        if not self._open and first.error is not None:
            self._fail(placed(first.error, first.places))

    def _settle(self) -> None:
        super()._settle()
        spent = self._turn.end(self._items)
        if spent is not None:
            self._items.append(spent)


class TurnBlock(TurnScope, Block):
    """The block of a function agent's turn.

    Args:
        name: The id of the agent.
        reply: Gives the items of a turn.
    """

    def __init__(self, name: str, reply: Reply) -> None:
        self._turn = Turn()
        super().__init__(name, reply(self._turn))


def turn_items(reply: Reply) -> Observable[Item]:
    """The items of a turn, each time of a new one."""

    def start(sink: Sink[Item]) -> abc.DisposableBase:
        turn = Turn()
        return _Bare(turn, reply(turn)).subscribe(sink)

    return Emitter(start)


class _Bare(TurnScope):
    def __init__(self, turn: Turn, source: Observable[Item]) -> None:
        self._turn = turn
        super().__init__(source)
