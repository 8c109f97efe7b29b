"""Witness: follows what a conversation is made of, block by block, and starts and holds nothing.

It is told of an item as soon as that is there, on the loop on which it comes, before any reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from .blocks import Scope
from .engine.loops import hop, is_on
from .ledgers import Fold
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Item, Transcript

__all__ = ["Witness", "WitnessVisitor", "folds_of"]

F = TypeVar("F")


class WitnessVisitor(Protocol[F]):
    """Who is told of what a witness sees. A frame is whatever the visitor makes of a block.

    The items of one frame come in their order, each once; those of two blocks that are open at once
    come mixed.
    """

    def message(self, stream: MessageStream, frame: F) -> None: ...
    def state(self, update: StateUpdate, frame: F) -> None: ...
    def snapshot(self, transcript: Transcript, frame: F) -> None: ...
    def enter(self, block: Scope, frame: F) -> F: ...
    def leave(self, block: Scope, frame: F) -> None: ...


class Witness(Generic[F]):
    """Follows items for one visitor.

    Args:
        visitor: Told of everything.
        root: The frame of what stands in no block.
    """

    def __init__(self, visitor: WitnessVisitor[F], root: F) -> None:
        self._visitor = visitor
        self._root = root
        self._left = False

    def follow(self, item: Item, driven: bool) -> None:
        """Follows one more item.

        Args:
            item: Of the conversation.
            driven: Whether a run holds it to its end. A block that nobody is known to hold is only looked
                into when it has ended, since whoever looks sooner keeps it alive.
        """
        self._meet([_Within(iter((item,)), self._root)], driven)

    def leave(self) -> None:
        """Tells the visitor nothing any more."""
        self._left = True

    def _meet(self, stack: list[_Within[F]], driven: bool) -> None:
        # with a stack of its own: blocks may nest deeper than Python's
        visitor = self._visitor
        while stack and not self._left:
            within = stack[-1]
            item = next(within.items, None)
            if item is None:
                stack.pop()
                if within.block is not None and within.block.ended:
                    visitor.leave(within.block, within.frame)
            elif isinstance(item, MessageStream):
                visitor.message(item, within.frame)
            elif isinstance(item, StateUpdate):
                visitor.state(item, within.frame)
            elif isinstance(item, Transcript):
                visitor.snapshot(item, within.frame)
            elif isinstance(item, Scope):
                self._enter(item, visitor.enter(item, within.frame), stack, driven)

    def _enter(self, block: Scope, frame: F, stack: list[_Within[F]], driven: bool) -> None:
        if block.ended:
            stack.append(_Within(iter(block.items), frame, block))
            return
        if not driven:
            block.on_end(lambda _: self._meet([_Within(iter(block.items), frame, block)], False))
            return
        # asked for without `_bound_loop`, which would choose one
        loop = block.__dict__.get("_loop")

        def look() -> None:
            self._meet([_Within(_Onlooker(self, block, frame), frame, block)], True)

        if loop is None or is_on(loop):
            stack.append(_Within(_Onlooker(self, block, frame), frame, block))
        elif not hop(loop, look):
            look()


class _Within(Generic[F]):
    """What is left to look at of a block."""

    __slots__ = ("block", "frame", "items")

    def __init__(self, items: Iterator[Item], frame: F, block: Scope | None = None) -> None:
        self.items = items
        self.frame = frame
        self.block = block


class _Onlooker(Generic[F]):
    """Sees what comes into a block that is open. Stands among its readers, but has not subscribed."""

    def __init__(self, witness: Witness[F], block: Scope, frame: F) -> None:
        self._witness = witness
        self._block = block
        self._frame = frame
        self._position = 0
        self._busy = True
        if not block.ended:
            # of a cursor, all that a replay knows is `pump`
            block._readers = (*block._readers, self)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._position >= self._block.length:
            self._busy = False
            raise StopIteration
        self._position += 1
        self._busy = True
        return self._block._items[self._position - 1]

    def pump(self) -> None:
        """Called when something has come, or when the block has ended."""
        if not self._busy:
            self._witness._meet([_Within(self, self._frame, self._block)], True)


def folds_of(transcript: Transcript, since: int = 0) -> list[Fold]:
    """What was folded into a transcript, in order, from the fold of this number on."""
    return transcript._ledger.folds[since : transcript._folds]
