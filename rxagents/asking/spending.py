"""Spending: what items took, each model call counted once, in whatever form it comes again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

from ..blocks import Scope
from ..ledgers import Fold
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..values import Message, Usage

__all__ = ["beside", "keys_of"]

Spent = tuple[Usage, tuple[tuple[Any, ...], ...]]


def keys_of(items: Iterable[Item]) -> set[object]:
    """By what the updates and messages among the items, in all blocks, are known again.

    A message is known by its id, by its finished Message, which may be said again, and by those of the
    message that it is a twin of.
    """
    return {key for leaf in _leaves(items) for key in _keys(leaf)}


def beside(
    items: Iterable[Item],
    known: Iterable[Set[object]],
    heard: Iterable[Transcript] = (),
    is_paid: Callable[[Message], bool] = lambda _: False,
) -> Spent:
    """The usage and the log of items, without what is known already.

    Args:
        items: What is counted.
        known: The keys of what is counted elsewhere.
        heard: Transcripts that are counted elsewhere.
        is_paid: Whether a Message, said again among the items, is counted elsewhere.
    """
    seen: set[object] = set()
    known, heard = [seen, *known], list(heard)
    usage = Usage()
    log: list[tuple[Any, ...]] = []
    for leaf in _leaves(items):
        keys = _keys(leaf)
        if not any(_holds(transcript, leaf.id) for transcript in heard) and all(map(keys.isdisjoint, known)):
            if isinstance(leaf, MessageStream):
                again = _said_again(leaf)
                if again is None or not is_paid(again):
                    usage += (leaf.result and leaf.result.usage) or Usage()
            else:
                usage += leaf.usage or Usage()
                log += leaf.log
        seen |= keys
    return usage, tuple(log)


def _holds(transcript: Transcript, id: str) -> bool:
    """Whether what an item took is folded in, be it that the item stood aside."""
    return transcript.has(id) or transcript.has(Fold(id).beside.key)


def _leaves(items: Iterable[Item]) -> Iterator[Any]:
    """What has ended, out of all blocks: the updates, the messages, and what a transcript was folded of."""
    stack = [iter(items)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Scope):
            stack.append(iter(item.items))
        elif isinstance(item, Transcript):
            stack.append(item.folds)  # not its messages: those that were read there were paid for elsewhere
        elif isinstance(item, StateUpdate | Fold) or (
            isinstance(item, MessageStream) and item.result is not None
        ):
            yield item


def _said_again(stream: MessageStream) -> Message | None:
    """The Message that it, or what it is a twin of, was made of; None if a model said it."""
    while getattr(stream, "original", None) is not None:
        stream = stream.original  # type: ignore[attr-defined]  # of twins only
    return None if stream._completions else stream.result


def _keys(leaf: Any) -> set[object]:
    if isinstance(leaf, Fold):
        return {leaf.id, *map(id, leaf.messages)}
    keys: set[object] = set()
    while leaf is not None:
        keys.add(leaf.id)
        if getattr(leaf, "result", None) is not None:
            keys.add(id(leaf.result))
        leaf = getattr(leaf, "original", None)
    return keys
