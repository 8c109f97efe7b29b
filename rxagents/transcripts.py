"""Transcript, the fold of items, and Conversation, the small holder that a workflow keeps.

A Transcript is a version of a shared append-only ledger: a ledger and how much of it counts. The
newest version appends in place, any other copies first; so a fork costs nothing, and a turn costs
what the turn added.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, overload

from .blocks import Block, Scope, StateUpdate
from .streams import MessageStream, new_id
from .values import Message, Usage

__all__ = ["Transcript"]

Item = Any  # MessageStream | Block | StateUpdate | Transcript


class _Ledger:
    """The shared lists; `seen` says at which fold an item's id came in."""

    __slots__ = ("folds", "lock", "log", "messages", "seen")

    def __init__(self) -> None:
        # versions may be folded on from several threads: a run's on its loop, a reader's on its own
        self.lock = threading.Lock()
        self.messages: list[Message] = []
        self.log: list[tuple[Any, ...]] = []
        self.seen: dict[str, int] = {}
        self.folds = 0


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
                version = item if not version._folds else version._merged(item)
            elif isinstance(item, Scope):
                if not isinstance(item, Block) or item.entry == "append":
                    stack.append(iter(item.items))
                elif item.entry == "replace_last" and item.ended and not version.has(item.id):
                    version = version._without_last(item.id)
                    stack.append(iter(item.items))
            elif not version.has(item.id):
                if isinstance(item, StateUpdate):
                    version = version._updated(item)
                elif isinstance(item, MessageStream) and item.ended and item.result is not None:
                    version = version.with_message(item.result, id=item.id)
        return version

    def with_message(self, message: Message, *, id: str | None = None) -> Transcript:
        """This transcript and one more message. One that was cut before anything came adds nothing."""
        cut = message.finish_reason in ("interrupted", "error")
        if cut and not (message.content or message.steps or message.refusal or message.tool_calls):
            return self
        usage = self.usage if message.usage is None else self.usage + message.usage
        return self._next(id or new_id(), self.variables, usage, messages=(message,))

    def with_variables(self, variables: Mapping[str, Any]) -> Transcript:
        """This transcript with these context variables set."""
        return self._updated(StateUpdate("variables", variables=variables))

    def _updated(self, update: StateUpdate) -> Transcript:
        variables = self.variables
        if update.variables:
            variables = MappingProxyType({**variables, **update.variables})
        usage = self.usage if update.usage is None else self.usage + update.usage
        return self._next(update.id, variables, usage, log=update.log)

    def _merged(self, other: Transcript) -> Transcript:
        version = self
        ids = {at: id for id, at in other._ledger.seen.items() if at < other._folds}
        fresh = [id for _, id in sorted(ids.items()) if not self.has(id)]
        if len(fresh) == len(ids):  # two conversations, one after the other
            for message in other:
                version = version.with_message(message)
            update = StateUpdate("merged", variables=dict(other.variables), log=other.log)
            version = version._updated(update)
            version.usage = self.usage + other.usage
            return version
        # a later version of this same conversation: what it has beyond is its tail
        return other

    def _without_last(self, id: str) -> Transcript:
        version = self._copied()
        if version._said:
            version._ledger.messages.pop()
            version._said -= 1
        return version._next(id, self.variables, self.usage)

    def _next(
        self,
        id: str,
        variables: Mapping[str, Any],
        usage: Usage,
        *,
        messages: tuple[Message, ...] = (),
        log: tuple[tuple[Any, ...], ...] = (),
    ) -> Transcript:
        """The version that follows: in place if this is the newest, on a copy if it is not.

        Where the ledger has gone on with this very item, as when a run folds what its team has
        folded already, there is nothing to add.
        """
        ledger = self._ledger
        with ledger.lock:
            version = self._twin()
            if ledger.seen.get(id) != self._folds:
                if ledger.folds != self._folds:
                    version = self._copied()
                    ledger = version._ledger
                ledger.messages.extend(messages)
                ledger.log.extend(log)
                ledger.seen[id] = self._folds
                ledger.folds = self._folds + 1
        version._said += len(messages)
        version._logged += len(log)
        version._folds += 1
        version.variables, version.usage = variables, usage
        return version

    def _twin(self) -> Transcript:
        twin = Transcript.__new__(Transcript)
        twin._ledger = self._ledger
        twin._said, twin._logged, twin._folds = self._said, self._logged, self._folds
        twin.variables, twin.usage = self.variables, self.usage
        return twin

    def _copied(self) -> Transcript:
        copy = self._twin()
        ledger = copy._ledger = _Ledger()
        ledger.messages = self._ledger.messages[: self._said]
        ledger.log = self._ledger.log[: self._logged]
        ledger.seen = {id: at for id, at in self._ledger.seen.items() if at < self._folds}
        ledger.folds = self._folds
        return copy
