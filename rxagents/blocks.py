"""Block: the structure of a conversation.

A block is a named replay of items: one agent's turn, one team's run. Blocks nest, and that nesting is
the start/end structure of the output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from reactivex import Observable

from .engine.demands import current_demand, demanded_by
from .engine.work import defer, together
from .places import placed
from .replays import Replay
from .state_updates import StateUpdate
from .streams import new_id

__all__ = ["Block", "Entry", "Scope", "Word"]

Entry = Literal["append", "replace_last", "aside"]


class Scope(Replay[Any]):
    """A replay of items that drives what it emits and ends when all of it has ended.

    While it runs it holds every message and block that passes. When one of them fails, it fails too,
    and interrupts first what is still open in it.
    """

    name: str | None = None
    catches_stops = False
    came: tuple[Any, int, Any] | None = None  # after which folds of which ledger it came to what; used once

    def __init__(self, source: Observable[Any] | None) -> None:
        super().__init__(source)
        self._open: dict[Replay[Any], None] = {}
        self._source_done = False
        self._was_cut = False
        self.stop: StateUpdate | None = None
        self.outcome: str | None = None

    @property
    def escaping_stop(self) -> StateUpdate | None:
        """The stop that was asked for inside and that is to end what is around as well."""
        if self.stop is not None and self.catches_stops and self.stop.scope == "team":
            return None
        return self.stop

    @property
    def code(self) -> str:
        """How it ended, as the `result` marker says it; the last word on it in the order counts."""
        if self.error is not None:
            return "agent-error"
        word = Word(cut=self.interrupted)
        for item in self._items:
            word = word.and_then(item)
        return word.code

    def _append(self, item: Any) -> None:
        if isinstance(item, StateUpdate):
            self._note(item)
        if not isinstance(item, Replay):
            super()._append(item)
            return
        # held before it is shown: a reader that leaves at the first sight of it is not the last one
        demand = self._demand
        here = not item.ended and item._bound_loop() is self._bound_loop()  # where this runs
        if here:
            item._count_hold(demand)
        else:
            item._on_loop(item._count_hold, demand)
        super()._append(item)
        if self.ended:
            if self._was_cut:  # by a reader of this one, at the sight of the item
                item.interrupt()
            item._on_loop(item._release, demand)
            return
        self._open[item] = None
        item.on_end(self._child_ended, subscribes=False)
        if here and current_demand() is demand:  # as it is when this one's coroutine has made it
            item._start()
        else:
            with demanded_by(demand):
                item._on_loop(item._start)

    def _note(self, item: StateUpdate) -> None:
        if item.stop is not None:
            self.stop = item
        if item.kind == "result":
            self.outcome = item.data.get("result")

    def _child_ended(self, child: Replay[Any]) -> None:
        # deferred: the child's own readers hear its end before this one acts on it
        self._on_loop(defer, partial(self._after_child, child))

    def _after_child(self, child: Replay[Any]) -> None:
        if self.ended:
            return
        self._open.pop(child, None)
        if isinstance(child, Scope) and child.escaping_stop is not None:
            self.stop = child.escaping_stop
        if child.error is not None:
            # its own way here: the same error may have reached others by another
            self._fail(placed(child.error, child.places))
        elif self._source_done and not self._open:
            self._finish()

    def _complete(self) -> None:
        self._source_done = True
        if not self._open:
            self._finish()

    def _fail(self, error: Exception) -> None:
        if self.ended:
            self._finish(error)
            return
        together(self._end_all, error)

    def _end_all(self, error: Exception | None = None) -> None:
        self._was_cut = True
        *inner, _ = self._innermost_first()
        for replay in inner:
            replay._on_loop(partial(replay._finish, interrupted=True))
        self._finish(error, interrupted=error is None)

    def _settle(self) -> None:
        if self.error is not None:
            placed(self.error, self.places)

    def _interrupt(self) -> None:
        together(self._end_all)

    def _abandon(self) -> None:
        def leave() -> None:
            children = list(self._open)
            self._open.clear()
            self._finish(interrupted=True)
            for child in children:
                defer(partial(child._on_loop, child._release, self._demand))

        together(leave)

    def _innermost_first(self) -> list[Replay[Any]]:
        # with a stack of its own: a thousand nested blocks are more than Python's
        order: list[Replay[Any]] = []
        stack: list[Replay[Any]] = [self]
        while stack:
            replay = stack.pop()
            order.append(replay)
            if isinstance(replay, Scope):
                stack.extend(child for child in replay._open if not child.ended)
        order.reverse()
        return order


class Block(Scope):
    """A named replay of items: one agent's turn, one team's run.

    Emits MessageStreams, StateUpdates and further Blocks as they begin. It completes only after
    every child it emitted has ended, and never runs unless somebody subscribes.

    Args:
        name: The id of the agent or team.
        source: An observable of items.
        entry: How it enters the conversation: `append`; `replace_last` (in place of the message
            before it); `aside` (shown, and paid for, but no part of it).
        catches_stops: Whether a stop inside ends here (a team's) or is passed on (an agent's).

    Attributes:
        anew: Gives the items of the same turn, to be taken again, while it has not ended; None where
            that cannot be.
        original: The block whose twin it is.
        updates: Whether it makes an item of its own at its end, which says what becomes of the conversation.
        update: That item.
    """

    original: Block | None = None
    updates = False
    update: StateUpdate | None = None

    def __init__(
        self,
        name: str,
        source: Observable[Any] | None,
        *,
        entry: Entry = "append",
        catches_stops: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(source)
        self.name: str = name
        self.entry: Entry = entry
        self.catches_stops = catches_stops
        self.id = id or new_id()
        self.anew: Callable[[], Observable[Any]] | None = None

    def around(self, source: Observable[Any]) -> Block:
        """A block like it, of other items: its twin."""
        return Block(self.name, source, entry=self.entry, catches_stops=self.catches_stops)

    def _settle(self) -> None:
        self.anew = None  # with what was heard before it
        super()._settle()

    @property
    def places(self) -> tuple[str, ...]:
        return (*self.checkpoints, self.name, *self.error_where)

    def __repr__(self) -> str:
        return f"<Block {self.name}, {'ended' if self.ended else 'open'}>"


class Word(NamedTuple):
    """How a scope has ended, so far as its items till now say it."""

    last: str = "done"
    cut: bool = False

    @property
    def code(self) -> str:
        """In one word."""
        return "interrupted" if self.cut else self.last

    def and_then(self, item: Any) -> Word:
        """With what one more item says, which has ended."""
        if isinstance(item, StateUpdate):
            if item.kind == "result":
                # the last word: on a limit that cut what was before it, on a turn that followed a cut one
                return Word(item.data.get("result", self.last))
            return self if item.stop is None else Word("agent-stop", self.cut)
        if isinstance(item, Replay) and not (isinstance(item, Block) and item.entry == "aside"):
            return Word(_word(item) if isinstance(item, Block) else self.last, self.cut or item.interrupted)
        return self


def _word(block: Block | None) -> str:
    """How a block ended: in its own word, or, as it only stands around another one, in that one's."""
    while block is not None:
        if block.escaping_stop is not None:
            return "agent-stop"
        if block.outcome is not None:
            return block.outcome
        inner = [item for item in block.items if isinstance(item, Block) and item.entry != "aside"]
        block = inner[-1] if inner else None
    return "done"
