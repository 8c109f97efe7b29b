"""InOrder: what a conversation comes to, piece by piece, in the order of its items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from ..blocks import Block, Scope
from ..engine.loops import dropped
from ..ledgers import Fold
from ..replays import Replay
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..waiting.paused_turns import is_urgent
from ..witnesses import folds_of

__all__ = ["InOrder"]


class InOrder:
    """Hands on what items came to, each as soon as all before it have ended; the visitor of a `Witness`.

    What waits for approval is handed on at once, since its message ends only when somebody has decided, and
    that may be longer than this process lives.

    Args:
        before: What the conversation was; that is not handed on.
        on_folds: Takes what has come, and gives what went wrong with it.
    """

    def __init__(self, before: Transcript, on_folds: Callable[[list[Fold]], Exception | None]) -> None:
        self._transcript = before
        self._on_folds = on_folds
        self._waiting: deque[Item] = deque()
        self._urgent: deque[StateUpdate] = deque()
        self._inside: list[_Place] = []
        self._lock = threading.RLock()
        self._going = False

    def message(self, stream: MessageStream, top: bool | None) -> None:
        self._note(stream, top)
        stream.on_end(lambda _: self._go_on())

    def state(self, update: StateUpdate, top: bool | None) -> None:
        self._note(update, top)
        if top is not None and is_urgent(update):
            self._urgent.append(update)
        self._go_on()

    def snapshot(self, transcript: Transcript, top: bool | None) -> None:
        self._note(transcript, top)
        self._go_on()

    def enter(self, block: Scope, top: bool | None) -> bool | None:
        self._note(block, top)
        aside = isinstance(block, Block) and block.entry == "aside"
        return None if top is None or aside else False  # None: it is no part of the conversation

    def leave(self, block: Scope, top: bool | None) -> None:
        self._go_on()

    def _note(self, item: Item, top: bool | None) -> None:
        if top:  # what is in a block is found there
            self._waiting.append(item)

    def _go_on(self) -> None:
        with self._lock:
            failure = self._hand_on()
        if failure is not None:
            dropped(failure, "what came is kept in memory, and written with what comes next")

    def _hand_on(self) -> Exception | None:
        if self._going:  # what is reported may lead here again, on the same thread
            return None
        self._going = True
        failure: Exception | None = None
        try:
            while new := self._folded():
                failure = self._on_folds(new) or failure
        finally:
            self._going = False
        return failure

    def _folded(self) -> list[Fold]:
        before = self._transcript._folds
        while self._urgent:
            self._transcript = self._transcript.fold(self._urgent.popleft())
        for item in self._settled():
            self._transcript = self._transcript.fold(item)
        # a version that drops messages has a ledger of its own, with all folds before it
        return folds_of(self._transcript, since=before)

    def _settled(self) -> Iterator[Item]:
        """The items that have ended, up to the first that has not."""
        while True:
            if self._inside:
                place = self._inside[-1]
                if place.next < place.block.length:
                    item = place.block._items[place.next]
                elif place.block.ended:
                    self._inside.pop()
                    continue
                else:
                    return
            elif self._waiting:
                item = self._waiting[0]
            else:
                return
            looks_inside = isinstance(item, Scope) and not (
                isinstance(item, Block) and item.entry != "append"
            )
            if isinstance(item, Replay) and not item.ended and not looks_inside:
                return
            if self._inside:
                self._inside[-1].next += 1
            else:
                self._waiting.popleft()
            if isinstance(item, Scope) and looks_inside:
                self._inside.append(_Place(item))
            else:
                yield item


class _Place:
    """How far it has come in a block."""

    __slots__ = ("block", "next")

    def __init__(self, block: Scope) -> None:
        self.block = block
        self.next = 0
