"""A function agent's turn: what it asks meanwhile belongs to it, runs no longer than it, and is paid by it.

`current_turn()` is the turn in which the calling code runs, as a ContextVar: code that runs on behalf of a
turn, however deep, finds it there.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from reactivex import Observable, abc

from .asked import Asked
from .blocks import Block, Scope, StateUpdate
from .emitters import Emitter
from .loops import let_go
from .places import placed
from .replays import Replay
from .sinks import Sink
from .streams import MessageStream
from .transcripts import Item, Transcript
from .values import Usage

__all__ = ["Reply", "Turn", "TurnBlock", "asked_so_far", "beside", "current_turn", "turn_items", "within"]


class Turn:
    """What was asked in one turn."""

    def __init__(self) -> None:
        self.around = current_turn()
        self.asks: list[Asked] = []
        self.ended = False
        self.loop: AbstractEventLoop | None = None

    def end(self, emitted: Iterable[Item]) -> StateUpdate | None:
        """Cuts what was asked and is still open; gives what all of it took beyond what was emitted."""
        self.ended = True
        asks, self.asks = self.asks, []
        for ask in reversed(asks):  # the last one first: it may hear those before it
            if ask.started:
                ask.interrupt()
        if not asks:
            return None
        for ask in asks:
            ask.report_unheard()
        usage, log = beside(asks, known=emitted)
        return StateUpdate("usage", usage=usage, log=log) if usage or log else None


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


def asked_so_far() -> list[Item]:
    """What was asked in the turns that this code runs in: each of them pays for it itself."""
    asks: list[Item] = []
    turn = current_turn()
    while turn is not None:
        asks += turn.asks
        turn = turn.around
    return asks


def beside(items: Iterable[Item], *, known: Iterable[Item]) -> tuple[Usage, tuple[tuple[Any, ...], ...]]:
    """The usage and the log of items, without what is known already.

    Known is a message also as a twin of it, and as the finished Message that is said again.
    """
    known = list(known)
    seen = {key for leaf in _leaves(known) for key in _keys(leaf)}
    before = [item for item in known if isinstance(item, Transcript)]
    usage = Usage()
    log: list[tuple[Any, ...]] = []
    for leaf in _leaves(items):
        keys = _keys(leaf)
        if seen.isdisjoint(keys) and not any(transcript.has(leaf.id) for transcript in before):
            usage += (leaf.usage if isinstance(leaf, StateUpdate) else leaf.result.usage) or Usage()
            log += leaf.log if isinstance(leaf, StateUpdate) else ()
        seen.update(keys)
    return usage, tuple(log)


def _leaves(items: Iterable[Item]) -> Iterator[Any]:
    """What has ended, out of all blocks: the updates and the messages."""
    stack = [iter(items)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Scope):
            stack.append(iter(item.items))
        elif isinstance(item, Transcript):
            stack.append(map(MessageStream.of, item))
        elif isinstance(item, StateUpdate) or (isinstance(item, MessageStream) and item.result is not None):
            yield item


def _keys(leaf: Any) -> set[object]:
    """By what it is known: its id and its Message, and those of what it was made of."""
    keys: set[object] = set()
    while leaf is not None:
        keys.add(leaf.id)
        if getattr(leaf, "result", None) is not None:
            keys.add(id(leaf.result))
        leaf = getattr(leaf, "original", None)
    return keys


class TurnScope(Scope):
    """One turn of a function agent, without a name.

    However it ends, what was asked in it and is still open ends with it, and the cost of what was
    asked and not replied with is its last item. A message that fails fails it when what had begun
    beside that has ended: of what is unordered, an error is the last.

    Args:
        turn: What is asked in it goes there.
        source: Its items.
    """

    _turn: Turn
    _first_failed: Replay[Any] | None = None

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
