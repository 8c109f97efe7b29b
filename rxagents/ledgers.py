"""The ledger behind the transcripts: what was folded, in order, shared by all versions of one history."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from .blocks import Block, Scope
from .state_updates import StateUpdate
from .streams import MessageStream
from .values import Message, Usage

__all__ = ["Fold", "Ledger", "beside_key", "counts", "is_instruction", "says_something"]


class Fold(NamedTuple):
    """What one item came to.

    Args:
        id: Of the item.
        messages: That enter the conversation.
        log: That was logged.
        variables: That were set.
        usage: Of the model calls behind it.
        drop: How many of the last messages go before its own come.
        aside: It was paid for and logged, and no more: the item itself may still enter.
    """

    id: str
    messages: tuple[Message, ...] = ()
    log: tuple[tuple[Any, ...], ...] = ()
    variables: Mapping[str, Any] | None = None
    usage: Usage | None = None
    drop: int = 0
    aside: bool = False

    @classmethod
    def of_message(cls, id: str, message: Message) -> Fold:
        """What a message comes to. One that was cut before anything came is none, but was paid for."""
        return cls(id, (message,) if counts(message) else (), usage=message.usage)

    @classmethod
    def of_update(cls, update: StateUpdate) -> Fold:
        """What an update comes to. Its messages bring no usage: who said them first was paid for it."""
        messages = update.messages and tuple(message for message in update.messages if counts(message))
        return cls(update.id, messages, update.log, update.variables, update.usage, update.drop)

    @property
    def key(self) -> str:
        """By what the ledger knows it."""
        return beside_key(self.id) if self.aside else self.id

    @property
    def beside(self) -> Fold:
        """What counts of it although the item is no part of the conversation."""
        return Fold(self.id, log=self.log, usage=self.usage, aside=True)


def beside_key(id: str) -> str:
    """By what a ledger knows what counted of an item that is no part of the conversation."""
    return f"{id} aside"


class Ledger:
    """The shared lists; `seen` says at which fold a key came in, `instructions` where they stand."""

    __slots__ = ("folds", "instructions", "lock", "log", "messages", "seen")

    def __init__(self) -> None:
        # versions may be folded on from several threads: a run's on its loop, a reader's on its own
        self.lock = threading.Lock()
        self.messages: list[Message] = []
        # lists when there is something to put in: thousands of conversations may be idle
        self.instructions: list[int] | tuple[()] = ()
        self.log: list[tuple[Any, ...]] | tuple[()] = ()
        self.seen: dict[str, int] = {}
        self.folds: list[Fold] = []

    def has_at(self, position: int, fold: Fold) -> bool:
        """Whether it went on from this position with this very fold."""
        if self.seen.get(fold.key) != position:
            return False
        # an update that was passed on has kept its id, and lost the messages that were consumed
        there = self.folds[position]
        return there.drop == fold.drop and there.messages == fold.messages

    def add(self, fold: Fold) -> None:
        """Adds a fold to the newest version; one that drops messages only where nobody else reads them."""
        if fold.drop:
            del self.messages[-fold.drop :]
            self._forget_instructions()
        for message in fold.messages:
            if is_instruction(message):
                self.instructions = self.instructions or []
                self.instructions.append(len(self.messages))
            self.messages.append(message)
        if fold.log:
            self.log = self.log or []
            self.log.extend(fold.log)
        self.seen[fold.key] = len(self.folds)
        self.folds.append(fold)

    def origins(self, folds: int) -> list[tuple[str, Message]]:
        """The messages after so many folds, each with the id of the item that brought it."""
        said: list[tuple[str, Message]] = []
        for fold in islice(self.folds, folds):
            if fold.drop:
                del said[-fold.drop :]
            said.extend((fold.id, message) for message in fold.messages)
        return said

    def _forget_instructions(self) -> None:
        """Those that stood where nothing stands any more."""
        if self.instructions:
            del self.instructions[bisect_left(self.instructions, len(self.messages)) :]

    def copied(self, messages: int, log: int, folds: int) -> Ledger:
        """A ledger of its own, with so much of each."""
        ledger = Ledger()
        ledger.messages = self.messages[:messages]
        ledger.instructions = list(self.instructions)
        ledger._forget_instructions()
        ledger.log = list(self.log[:log])
        ledger.folds = self.folds[:folds]
        # of the newest version in one piece, since whoever replaces messages copies at each turn
        newest = folds == len(self.folds)
        ledger.seen = self.seen.copy() if newest else {fold.key: at for at, fold in enumerate(ledger.folds)}
        return ledger


def is_instruction(message: Message) -> bool:
    """Whether it is an instruction of the conversation itself. One with a name is an agent's own."""
    return message.role in ("system", "developer") and message.name is None


def counts(message: Message) -> bool:
    """Whether it is a message of the conversation: one that was cut before anything came is none."""
    cut = message.finish_reason in ("interrupted", "error", "content_filter")
    return not cut or bool(message.content or message.steps or message.refusal or message.tool_calls)


def says_something(block: Block) -> bool:
    """Whether there is anything in it to put in the place of another message."""
    stack: list[Scope] = [block]
    while stack:
        for item in stack.pop().items:
            if isinstance(item, MessageStream):
                if item.result is not None and counts(item.result):
                    return True
            elif isinstance(item, Scope) and not (isinstance(item, Block) and item.entry == "aside"):
                stack.append(item)
    return False
