"""Transcript: the fold of items. It is a version of a shared append-only ledger: that, and how much counts.

The newest version appends in place, any other copies first; so a fork costs nothing, and a turn costs
what the turn added. What takes messages away copies as well, since older versions still read them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import islice
from types import MappingProxyType
from typing import Any, overload

from .blocks import Block, Scope
from .errors import InputError
from .ledgers import Fold, Ledger, beside_key, counts, says_something
from .nominal import Nominal
from .state_updates import StateUpdate
from .streams import MessageStream, new_id
from .values import Message, Usage

__all__ = ["Item", "Transcript", "counts"]

Item = Any  # MessageStream | Block | StateUpdate | Transcript
_NONE: tuple[Mapping[str, Any], Usage] = (MappingProxyType({}), Usage())


class Transcript(Sequence[Message], metaclass=Nominal):
    """What a conversation has come to: its messages, variables, usage and log. Immutable.

    `len()`, iteration and indexing act on the messages; tool messages are no messages of their own
    but `steps` of the one they led to. Being an item itself, a transcript can stand at the head of
    a conversation; folding it into an empty one costs nothing. What was dropped in it takes nothing
    from what stands before it.
    """

    __slots__ = ("_folds", "_ledger", "_logged", "_said", "usage", "variables")

    variables: Mapping[str, Any]
    usage: Usage

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._said = self._logged = self._folds = 0
        self.variables, self.usage = _NONE  # shared, since thousands of conversations may be idle

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages, oldest first."""
        return tuple(self)

    @property
    def log(self) -> tuple[tuple[Any, ...], ...]:
        """What was logged: tuples of a level, a subject, and its details."""
        return tuple(islice(self._ledger.log, self._logged))

    @property
    def folds(self) -> Iterator[Fold]:
        """What each item came to that was folded in, in order."""
        return islice(self._ledger.folds, self._folds)

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
            return tuple(map(self._ledger.messages.__getitem__, range(self._said)[index]))
        if not -self._said <= index < self._said:
            raise IndexError(f"message {index} of {self._said}")
        return self._ledger.messages[index if index >= 0 else self._said + index]

    def instructions(self, end: int) -> tuple[Message, ...]:
        """The instructions of the conversation itself (system messages without a name) before a position."""
        places = self._ledger.instructions
        return tuple(self._ledger.messages[at] for at in places[: bisect_left(places, end)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Transcript):
            return NotImplemented
        same = self.messages == other.messages and dict(self.variables) == dict(other.variables)
        return same and self.usage == other.usage and self.log == other.log

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

        An item that is still open, or was folded before, adds nothing. Of a block that stands aside
        only the usage and the log count.
        """
        return self.fold_all((item,))

    def fold_all(self, items: Iterable[Item]) -> Transcript:
        """This transcript and the items, left to right."""
        version = self  # and a stack of its own: blocks may nest deeper than Python's
        stack: list[tuple[Iterator[Item], bool]] = [(iter(items), False)]
        while stack:
            inside, aside = stack[-1]
            item = next(inside, None)
            if item is None:
                stack.pop()
            elif isinstance(item, StateUpdate):
                version = version._once(Fold.of_update(item), aside)
            elif isinstance(item, Transcript):
                version = version._and(item, aside)
            elif isinstance(item, Block) and item.entry == "replace_last" and not aside:
                if item.ended and not version.has(item.id):
                    version = version._with(Fold(item.id, drop=1 if says_something(item) else 0))
                    stack.append((iter(item.items), False))
            elif isinstance(item, Scope):
                hidden = aside or (isinstance(item, Block) and item.entry == "aside")
                came, item.came = item.came, None
                if came is not None and not hidden and came[:2] == (version._ledger, version._folds):
                    version = came[2]
                else:
                    stack.append((iter(item.items), hidden))
            elif isinstance(item, MessageStream):
                if item.ended and item.result is not None:
                    version = version._once(Fold.of_message(item.id, item.result), aside)
            else:
                raise InputError(
                    f"{type(item).__name__} is no item of a conversation; say({item!r:.40}) makes one of it"
                )
        return version

    def with_message(self, message: Message, *, id: str | None = None) -> Transcript:
        """This transcript and one more message. One that was cut before anything came adds nothing."""
        return self._once(Fold.of_message(id or new_id(), message))

    def with_variables(self, variables: Mapping[str, Any]) -> Transcript:
        """This transcript with these context variables set."""
        return self._with(Fold(new_id(), variables=dict(variables)))

    def common_with(self, other: Transcript) -> int:
        """With how many of the same messages both begin; of two versions of one ledger known at once."""
        least = min(self._said, other._said)
        if self._ledger is other._ledger:
            return least
        pairs = zip(self, other, strict=False)
        return next((at for at, (mine, its) in enumerate(pairs) if mine is not its), least)

    def reduced_to(self, messages: Iterable[Message]) -> Transcript:
        """These messages in place of those that are here, with the variables; without usage and log.

        A message that is here already counts as the same item there.
        """
        ids = {id(message): fold for fold, message in self._ledger.origins(self._folds)}
        folds: dict[str, Fold] = {}
        for message in messages:
            fold = ids.get(id(message), "")
            # two that came as one item, and do not stand together any more, are two
            key = fold if fold and (fold not in folds or fold == next(reversed(folds))) else new_id()
            before = folds[key].messages if key in folds else ()
            folds[key] = Fold(key, (*before, message))
        version = reduce(Transcript._with, folds.values(), Transcript())
        return version.with_variables(self.variables) if self.variables else version

    def _and(self, other: Transcript, aside: bool = False) -> Transcript:
        """This transcript and all that was folded into the other: what a transcript means as an item."""
        if not (self._folds or aside):
            return other
        if other._ledger is self._ledger and not aside:  # two versions of one history
            return other if other._folds > self._folds else self
        version, its = self, list[Message]()
        for fold in islice(other._ledger.folds, other._folds):
            if fold.drop:
                its, gone = its[: -fold.drop], its[-fold.drop :]
                fold = fold._replace(drop=version._ending_of(gone))
            its.extend(fold.messages)
            version = version._once(fold, aside or fold.aside)
        return version

    def _ending_of(self, gone: list[Message]) -> int:
        """How many of the last messages are of these: another conversation takes away only its own."""
        count = 0
        for message in reversed(gone):
            count += count < self._said and self[-1 - count] is message
        return count

    def _once(self, fold: Fold, aside: bool = False) -> Transcript:
        """The version that follows, if the item is new. One that stood aside before is paid for."""
        seen, folds = self._ledger.seen, self._folds
        if seen.get(fold.id, folds) < folds:
            return self
        paid = seen.get(beside_key(fold.id), folds) < folds
        if aside:
            return self if paid or not (fold.usage or fold.log) else self._with(fold.beside)
        return self._with(fold._replace(log=(), usage=None) if paid else fold)

    def _with(self, fold: Fold) -> Transcript:
        """The version that follows: in place if this is the newest, on a copy if it is not.

        Where the ledger has gone on with this very item, as when a run folds what its team has
        folded already, there is nothing to add.
        """
        version = self._twin()
        if fold.drop > self._said:  # as part of another conversation it takes no more than it took here
            fold = fold._replace(drop=self._said)
        with self._ledger.lock:
            ledger = self._ledger
            if not ledger.has_at(self._folds, fold):
                if fold.drop or len(ledger.folds) != self._folds:
                    ledger = version._ledger = ledger.copied(self._said, self._logged, self._folds)
                ledger.add(fold)
        version._said += len(fold.messages) - fold.drop
        version._logged += len(fold.log)
        version._folds += 1
        if fold.variables:
            version.variables = MappingProxyType({**self.variables, **fold.variables})
        if fold.usage is not None:
            version.usage = self.usage + fold.usage if self.usage else fold.usage
        return version

    def _twin(self) -> Transcript:
        twin = Transcript.__new__(Transcript)
        twin._said, twin._logged, twin._folds = self._said, self._logged, self._folds
        twin._ledger, twin.variables, twin.usage = self._ledger, self.variables, self.usage
        return twin


def _refolded(folds: list[Fold]) -> Transcript:
    return reduce(Transcript._with, folds, Transcript())
