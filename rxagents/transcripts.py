"""Transcript, the fold of items, and Conversation, the small holder that a workflow keeps.

A Transcript is a version of a shared append-only ledger: a ledger and how much of it counts. The
newest version appends in place, any other copies first; so a fork costs nothing, and a turn costs
what the turn added.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, overload

from .blocks import Block, Scope, StateUpdate
from .errors import InputError
from .streams import MessageStream, new_id
from .values import Message, Usage

__all__ = ["Transcript"]

Item = Any  # MessageStream | Block | StateUpdate | Transcript


class _Fold(NamedTuple):
    """What one item came to."""

    id: str
    messages: tuple[Message, ...] = ()
    log: tuple[tuple[Any, ...], ...] = ()
    variables: Mapping[str, Any] | None = None
    usage: Usage | None = None
    replaces: bool = False  # the message before it goes


class _Ledger:
    """The shared lists; `seen` says at which fold an item's id came in."""

    __slots__ = ("folds", "lock", "log", "messages", "seen")

    def __init__(self) -> None:
        # versions may be folded on from several threads: a run's on its loop, a reader's on its own
        self.lock = threading.Lock()
        self.messages: list[Message] = []
        self.log: list[tuple[Any, ...]] = []
        self.seen: dict[str, int] = {}
        self.folds: list[_Fold] = []


class Transcript(Sequence[Message]):
    """What a conversation has come to: its messages, variables, usage and log. Immutable.

    `len()`, iteration and indexing act on the messages; tool messages are no messages of their own
    but `steps` of the one they led to. Being an item itself, a transcript can stand at the head of
    a conversation; folding it into an empty one costs nothing.
    """

    __slots__ = ("_folds", "_ledger", "_logged", "_said", "usage", "variables")

    variables: Mapping[str, Any]
    usage: Usage

    def __init__(self) -> None:
        self._ledger = _Ledger()
        self._said = self._logged = self._folds = 0
        self.variables = MappingProxyType({})
        self.usage = Usage()

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages, oldest first."""
        return tuple(self)

    @property
    def log(self) -> tuple[tuple[Any, ...], ...]:
        """What was logged: tuples of a level, a subject, and its details."""
        return tuple(islice(self._ledger.log, self._logged))

    @property
    def metrics(self) -> dict[str, int]:
        """The tokens that all model calls took."""
        return self.usage.model_dump()

    def __len__(self) -> int:
        return self._said

    def __iter__(self) -> Iterator[Message]:
        return islice(self._ledger.messages, self._said)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        if isinstance(index, slice):
            return tuple(self._ledger.messages[i] for i in range(*index.indices(self._said)))
        if not -self._said <= index < self._said:
            raise IndexError(f"message {index} of {self._said}")
        return self._ledger.messages[index if index >= 0 else self._said + index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Transcript):
            return NotImplemented
        return (
            self.messages == other.messages
            and dict(self.variables) == dict(other.variables)
            and self.usage == other.usage
            and self.log == other.log
        )

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, _: dict[int, Any]) -> Transcript:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _refolded, (self._ledger.folds[: self._folds],)

    def __repr__(self) -> str:
        return f"<Transcript of {len(self)} messages>"

    def has(self, id: str) -> bool:
        """Whether the item with this id is folded in."""
        return self._ledger.seen.get(id, self._folds) < self._folds

    def fold(self, item: Item) -> Transcript:
        """This transcript and one more item; of a block all that has ended, in its order.

        An item that is still open, or was folded before, adds nothing.
        """
        return self.fold_all((item,))

    def fold_all(self, items: Iterable[Item]) -> Transcript:
        """This transcript and the items, left to right."""
        version = self
        # with a stack of its own: blocks may nest deeper than Python's stack
        stack: list[Iterator[Item]] = [iter(items)]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, Transcript):
                version = version._and(item)
            elif isinstance(item, Scope):
                if not isinstance(item, Block) or item.entry == "append":
                    stack.append(iter(item.items))
                elif item.entry == "replace_last" and item.ended and not version.has(item.id):
                    version = version._with(_Fold(item.id, replaces=_says_something(item)))
                    stack.append(iter(item.items))
            elif isinstance(item, StateUpdate):
                if not version.has(item.id):
                    version = version._with(_Fold(item.id, (), item.log, item.variables, item.usage))
            elif isinstance(item, MessageStream):
                if item.ended and item.result is not None and not version.has(item.id):
                    version = version.with_message(item.result, id=item.id)
            else:
                raise InputError(
                    f"{type(item).__name__} is no item of a conversation; say({item!r:.40}) makes one of it"
                )
        return version

    def with_message(self, message: Message, *, id: str | None = None) -> Transcript:
        """This transcript and one more message. One that was cut before anything came adds nothing."""
        said = (message,) if counts(message) else ()
        return self._with(_Fold(id or new_id(), said, usage=message.usage))

    def with_variables(self, variables: Mapping[str, Any]) -> Transcript:
        """This transcript with these context variables set."""
        return self._with(_Fold(new_id(), variables=dict(variables)))

    def _and(self, other: Transcript) -> Transcript:
        """This transcript and all that was folded into the other: what a transcript means as an item."""
        if not self._folds:
            return other
        if other._ledger is self._ledger:  # two versions of one history
            return other if other._folds > self._folds else self
        version = self
        for fold in islice(other._ledger.folds, other._folds):
            if not version.has(fold.id):
                version = version._with(fold)
        return version

    def _with(self, fold: _Fold) -> Transcript:
        """The version that follows: in place if this is the newest, on a copy if it is not.

        Where the ledger has gone on with this very item, as when a run folds what its team has
        folded already, there is nothing to add.
        """
        version = self._twin()
        with self._ledger.lock:
            ledger = self._ledger
            if ledger.seen.get(fold.id) != self._folds:
                if fold.replaces or len(ledger.folds) != self._folds:
                    ledger = version._ledger = self._copied()
                if fold.replaces:
                    del ledger.messages[-1:]
                ledger.messages.extend(fold.messages)
                ledger.log.extend(fold.log)
                ledger.seen[fold.id] = self._folds
                ledger.folds.append(fold)
        gone = 1 if fold.replaces and self._said else 0
        version._said += len(fold.messages) - gone
        version._logged += len(fold.log)
        version._folds += 1
        if fold.variables:
            version.variables = MappingProxyType({**self.variables, **fold.variables})
        if fold.usage is not None:
            version.usage = self.usage + fold.usage
        return version

    def _twin(self) -> Transcript:
        twin = Transcript.__new__(Transcript)
        twin._ledger = self._ledger
        twin._said, twin._logged, twin._folds = self._said, self._logged, self._folds
        twin.variables, twin.usage = self.variables, self.usage
        return twin

    def _copied(self) -> _Ledger:
        ledger = _Ledger()
        ledger.messages = self._ledger.messages[: self._said]
        ledger.log = self._ledger.log[: self._logged]
        ledger.folds = self._ledger.folds[: self._folds]
        ledger.seen = {fold.id: at for at, fold in enumerate(ledger.folds)}
        return ledger


def _refolded(folds: list[_Fold]) -> Transcript:
    return reduce(Transcript._with, folds, Transcript())


def counts(message: Message) -> bool:
    """Whether it is a message of the conversation: one that was cut before anything came is none."""
    cut = message.finish_reason in ("interrupted", "error")
    return not cut or bool(message.content or message.steps or message.refusal or message.tool_calls)


def _says_something(block: Block) -> bool:
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
