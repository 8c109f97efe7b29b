"""What a conversation follows: the fold of what has ended, and behind it the items that are still open."""

from __future__ import annotations

import threading
from itertools import compress
from operator import not_
from typing import Any

from .replays import Replay
from .transcripts import Item, Transcript

__all__ = ["Followed"]


class Followed:
    """Items in their order, each folded once, when it and all before it have ended.

    It may be asked from several threads.

    Args:
        folded: What there was before.
    """

    __slots__ = ("_driven", "_folded", "_folding", "_open", "_passed", "_passed_by", "_whole")

    def __init__(self, folded: Transcript) -> None:
        self._folded = folded
        self._open: list[Item] = []
        self._driven: set[Item] | None = None
        # what `whole` came to, after how many of those that are followed, and which of them were open
        self._whole: Transcript | None = None
        self._passed = 0
        self._passed_by: tuple[Replay[Any], ...] = ()
        self._folding = threading.Lock()

    def add(self, item: Item, driven: bool = False) -> None:
        """Follows one more item.

        Args:
            item: Any.
            driven: Whether a run holds it to its end.
        """
        if driven:
            with self._folding:
                self._driven = self._driven or set()
                self._driven.add(item)
        self._open.append(item)

    def is_driven(self, item: Item) -> bool:
        """Whether a run holds it to its end."""
        return self._driven is not None and isinstance(item, Replay) and item in self._driven

    @property
    def items(self) -> list[Item]:
        """What is still followed."""
        return list(self._open)

    @property
    def folded(self) -> Transcript:
        """What came before all that is still open."""
        with self._folding:
            return self._take_over()

    def has(self, id: str) -> bool:
        """Whether the item with this id has been folded."""
        return self._folded.has(id)

    @property
    def transcript(self) -> Transcript:
        """What all of it has come to so far."""
        with self._folding:
            folded = self._take_over()
            return folded.fold_all(list(self._open)) if self._open else folded

    @property
    def whole(self) -> Transcript:
        """What all of it has come to, without what is still open. Asked again, it goes on from there."""
        with self._folding:
            folded = self._take_over()
            if self._whole is None or any(item.ended for item in self._passed_by):
                # one that stands before what was folded behind it
                self._whole, self._passed, self._passed_by = folded, 0, ()
            coming = self._open[self._passed :]
            while coming and not _has_ended(coming[-1]):
                coming.pop()
            if coming:
                is_open = [not _has_ended(item) for item in coming]
                self._whole = self._whole.fold_all(compress(coming, map(not_, is_open)))
                self._passed += len(coming)
                self._passed_by = (*self._passed_by, *compress(coming, is_open))
            return self._whole

    def _take_over(self) -> Transcript:
        # what one thread takes over, no other may cut off
        # looked at in place: with thousands that are open, a copy at each end would cost more than the turn
        count = 0
        while count < len(self._open) and _has_ended(self._open[count]):
            count += 1
        if count:
            ended = self._open[:count]
            self._folded = self._folded.fold_all(ended)
            del self._open[:count]
            self._passed -= count
            if self._passed <= 0:
                self._whole, self._passed_by = None, ()
            if self._driven is not None:
                self._driven.difference_update(item for item in ended if isinstance(item, Replay))
                self._driven = self._driven or None  # thousands of conversations may be idle
        return self._folded


def _has_ended(item: Item) -> bool:
    return not isinstance(item, Replay) or item.ended
