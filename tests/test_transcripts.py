"""Transcript: an immutable fold, held against a plain list model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st

from rxagents import (
    AssistantMessage,
    Block,
    Completion,
    InputError,
    Message,
    MessageStream,
    StateUpdate,
    Transcript,
    Usage,
    UserMessage,
)
from rxagents.blocks import Scope
from rxagents.emitters import just
from rxagents.testing import Marbles

S = TypeVar("S", bound=Scope)


def said(text: str, *, usage: int = 0, **options: Any) -> MessageStream:
    spent = Usage(total_tokens=usage) if usage else None
    return MessageStream.of(AssistantMessage(text, usage=spent, **options))


def ran(name: str, *items: Any, **options: Any) -> Block:
    return ended(Block(name, just(*items), **options))


def ended(scope: S) -> S:
    """The same, once it has run to its end."""
    with Marbles() as marbles:
        marbles.at(0, lambda: scope.subscribe(None, lambda error: None))
    assert scope.ended
    return scope


def texts(transcript: Any) -> list[str]:
    return [message.text for message in transcript]


# A model


@dataclass(frozen=True)
class Model:
    """The same, as plain values that are copied each time."""

    messages: tuple[str, ...] = ()
    log: tuple[Any, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    usage: int = 0
    seen: frozenset[str] = frozenset()

    def fold(self, item: Any) -> Model:
        if isinstance(item, Block):
            return self._block(item)
        if item.id in self.seen:
            return self
        seen = self.seen | {item.id}
        if isinstance(item, StateUpdate):
            used = item.usage.total_tokens if item.usage else 0
            variables = {**self.variables, **(item.variables or {})}
            return replace(
                self, log=self.log + item.log, variables=variables, usage=self.usage + used, seen=seen
            )
        message = item.result
        used = message.usage.total_tokens if message.usage else 0
        return replace(self, messages=(*self.messages, message.text), usage=self.usage + used, seen=seen)

    def _block(self, block: Block) -> Model:
        model = self
        if block.entry == "aside":
            return model
        if block.entry == "replace_last":
            if block.id in self.seen:
                return model
            model = replace(model, seen=model.seen | {block.id})
            if Model().fold_all(block.items).messages:
                model = replace(model, messages=model.messages[:-1])
        return model.fold_all(block.items)

    def fold_all(self, items: Any) -> Model:
        model = self
        for item in items:
            model = model.fold(item)
        return model


def agree(transcript: Transcript, model: Model) -> None:
    assert texts(transcript) == list(model.messages)
    assert len(transcript) == len(model.messages)
    assert transcript.log == model.log
    assert dict(transcript.variables) == model.variables
    assert transcript.metrics["total_tokens"] == model.usage
    assert all(transcript.has(id) for id in model.seen)


MESSAGES = [said(f"m{n}", usage=n % 3) for n in range(5)]
UPDATES = [
    StateUpdate("x", variables={f"v{n % 2}": n}, usage=Usage(total_tokens=n), log=(("info", n),))
    for n in range(3)
]
ASIDE = ran("aside", said("aside"), entry="aside")
BLOCKS = [
    ran("block", MESSAGES[1], said("inner"), UPDATES[0]),
    ran("empty"),
    ran("nested", ran("deeper", said("deep"), UPDATES[2]), ASIDE, MESSAGES[2]),
]
REPLACING = [
    ran("better", said("better", usage=2), entry="replace_last"),
    ran("two", said("one of two"), said("two of two"), entry="replace_last"),
    ran("nothing", StateUpdate("x", usage=Usage(total_tokens=5)), entry="replace_last"),
    ran("best", ran("inside", said("best"), entry="replace_last"), entry="replace_last"),
]
ITEMS = st.sampled_from([*MESSAGES, *UPDATES, ASIDE, *BLOCKS, *REPLACING])


@given(st.lists(ITEMS, max_size=12))
def test_the_fold_agrees_with_a_plain_model(items: list[Any]) -> None:
    transcript, model = Transcript(), Model()
    for item in items:
        transcript, model = transcript.fold(item), model.fold(item)
        agree(transcript, model)
    agree(Transcript().fold_all(items), model)


@given(st.lists(st.tuples(st.integers(0, 30), ITEMS), max_size=20))
def test_any_version_can_be_gone_on_from_and_none_ever_changes(steps: list[tuple[int, Any]]) -> None:
    versions = [(Transcript(), Model())]
    for at, item in steps:
        transcript, model = versions[at % len(versions)]
        versions.append((transcript.fold(item), model.fold(item)))
        for transcript, model in versions:
            agree(transcript, model)


@given(st.lists(ITEMS, max_size=8), st.lists(ITEMS, max_size=8), st.lists(ITEMS, max_size=4))
def test_a_transcript_as_an_item_stands_for_the_items_folded_into_it(
    mine: list[Any], others: list[Any], tail: list[Any]
) -> None:
    transcript = Transcript().fold_all(mine).fold(Transcript().fold_all(others)).fold_all(tail)
    model = Model().fold_all(mine)
    seen: set[str] = set()
    # what was folded into the other once counts once there, and here only if it is new here
    other = Model()
    for item in _flat(others):
        if item.id not in seen:
            seen.add(item.id)
            other = other.fold(item)
    if not mine:
        agree(transcript, Model().fold_all(others).fold_all(tail))
    elif not any(item in REPLACING for item in [*mine, *others]):
        agree(transcript, model.fold_all(_flat(others)).fold_all(tail))


def _flat(items: Any) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        if not isinstance(item, Block):
            flat.append(item)
        elif item.entry == "append":
            flat += _flat(item.items)
        elif item.entry == "replace_last":
            flat.append(item)
    return flat


# As an item


def test_folding_into_an_empty_one_is_the_very_transcript() -> None:
    transcript = Transcript().fold_all(MESSAGES)
    assert Transcript().fold(transcript) is transcript


def test_of_two_versions_of_one_history_the_later_one_counts() -> None:
    early = Transcript().fold_all(MESSAGES[:2])
    late = early.fold(MESSAGES[2])
    assert early.fold(late) is late
    assert late.fold(early) is late


def test_of_two_branches_what_is_new_is_added() -> None:
    base = Transcript().fold(MESSAGES[0])
    left, right = base.fold(MESSAGES[1]), base.fold(MESSAGES[2])
    assert texts(left.fold(right)) == ["m0", "m1", "m2"]
    assert texts(right.fold(left)) == ["m0", "m2", "m1"]
    assert texts(base) == ["m0"]


def test_two_conversations_follow_one_another_with_all_they_have() -> None:
    one = Transcript().fold_all([MESSAGES[1], UPDATES[1]])
    two = Transcript().fold_all([MESSAGES[2], UPDATES[2]])
    both = one.fold(two)
    agree(both, Model().fold_all([MESSAGES[1], UPDATES[1], MESSAGES[2], UPDATES[2]]))
    assert both.fold(two) == both


# Cost


def test_the_newest_version_appends_in_place_and_a_fork_copies_once() -> None:
    base = Transcript().fold_all(MESSAGES[:3])
    ledger = base._ledger
    newest = base.fold(MESSAGES[3])
    assert newest._ledger is ledger
    fork = base.fold(MESSAGES[4])
    assert fork._ledger is not ledger
    assert fork.fold(UPDATES[0])._ledger is fork._ledger
    assert texts(newest) == ["m0", "m1", "m2", "m3"]


def test_folding_what_the_ledger_has_gone_on_with_already_shares_it() -> None:
    base = Transcript().fold(MESSAGES[0])
    once, twice = base.fold_all(MESSAGES[1:3]), base.fold_all(MESSAGES[1:3])
    assert once._ledger is twice._ledger is base._ledger
    assert once == twice


def test_fifty_thousand_messages_share_one_ledger() -> None:
    transcript = Transcript()
    ledger = transcript._ledger
    message = UserMessage("x")
    for _ in range(50_000):
        transcript = transcript.with_message(message)
    assert transcript._ledger is ledger
    assert len(transcript) == len(ledger.messages) == 50_000


# What counts


def test_an_open_item_adds_nothing_and_an_open_block_what_has_ended() -> None:
    open_message = MessageStream(rx.never())
    assert len(Transcript().fold(open_message)) == 0
    block = Block("b", rx.never())
    block._append(MESSAGES[0])
    assert texts(Transcript().fold(block)) == ["m0"]
    replacing = Block("b", rx.never(), entry="replace_last")
    replacing._append(MESSAGES[1])
    assert texts(Transcript().fold(MESSAGES[0]).fold(replacing)) == ["m0"]


def test_a_replacement_takes_the_place_of_the_message_before_it_and_both_were_paid_for() -> None:
    draft, better = said("draft", usage=3), ran("better", said("better", usage=4), entry="replace_last")
    transcript = Transcript().fold_all([draft, better])
    assert texts(transcript) == ["better"]
    assert transcript.usage.total_tokens == 7
    assert transcript.fold(better) == transcript.fold(draft) == transcript


def test_a_replacement_that_says_nothing_replaces_nothing() -> None:
    cut = MessageStream.of(AssistantMessage("", finish_reason="interrupted"))
    for block in (ran("x", entry="replace_last"), ran("x", cut, entry="replace_last")):
        assert texts(Transcript().fold(MESSAGES[0]).fold(block)) == ["m0"]


def test_the_first_message_can_be_replaced_by_nothing_before_it() -> None:
    assert texts(Transcript().fold(ran("x", said("only"), entry="replace_last"))) == ["only"]


@pytest.mark.parametrize("reason", ["interrupted", "error"])
def test_what_was_cut_before_anything_came_is_no_message_but_was_paid_for(reason: str) -> None:
    empty = AssistantMessage("", finish_reason=reason, usage=Usage(total_tokens=4))
    transcript = Transcript().with_message(empty)
    assert (len(transcript), transcript.usage.total_tokens) == (0, 4)
    begun = AssistantMessage("Hel", finish_reason=reason)
    assert texts(Transcript().with_message(begun)) == ["Hel"]
    assert texts(Transcript().with_message(AssistantMessage("", finish_reason="stop"))) == [""]


def test_a_failed_block_keeps_what_arrived() -> None:
    stream = MessageStream(rx.concat(rx.of("Hel"), rx.throw(ValueError())))
    block = ran("b", stream)
    assert texts(Transcript().fold(block)) == ["Hel"]


def test_a_scope_without_a_name_is_folded_like_its_items() -> None:
    scope = ended(Scope(just(MESSAGES[0], UPDATES[1])))
    agree(Transcript().fold(scope), Model().fold_all([MESSAGES[0], UPDATES[1]]))


def test_blocks_a_thousand_deep_are_folded() -> None:
    block = ran("innermost", said("deep"))
    for level in range(1_000):
        outer = Block(f"b{level}", None, entry="replace_last" if level % 2 else "append")
        outer._items, outer.ended = [block], True
        block = outer
    assert texts(Transcript().fold(said("before")).fold(block)) == ["deep"]


@pytest.mark.parametrize("thing", ["text", {"role": "user"}, 7, Completion()])
def test_what_is_no_item_is_refused_and_named(thing: Any) -> None:
    with pytest.raises(InputError, match=type(thing).__name__):
        Transcript().fold(thing)


# Reading


def test_it_reads_as_a_sequence_of_messages() -> None:
    transcript = Transcript().fold_all(MESSAGES)
    assert [transcript[0].text, transcript[-1].text] == ["m0", "m4"]
    assert texts(transcript[1:3]) == ["m1", "m2"]
    assert texts(transcript[::-2]) == ["m4", "m2", "m0"]
    assert texts(reversed(transcript)) == ["m4", "m3", "m2", "m1", "m0"]
    assert transcript[2] in transcript
    assert transcript.index(transcript[3]) == 3
    assert transcript.messages == tuple(transcript)
    for index in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            transcript[index]
    assert repr(transcript) == "<Transcript of 5 messages>"


def test_an_older_version_does_not_see_what_came_later() -> None:
    early = Transcript().fold_all(MESSAGES[:2])
    walk = iter(early)
    next(walk)
    early.fold(MESSAGES[2])
    assert texts(walk) == ["m1"]
    with pytest.raises(IndexError):
        early[2]
    assert not early.has(MESSAGES[2].id)


def test_it_cannot_be_changed() -> None:
    transcript = Transcript().with_variables({"a": 1})
    with pytest.raises(TypeError):
        transcript.variables["a"] = 2  # type: ignore[index]
    with pytest.raises(TypeError):
        hash(transcript)
    given_variables = {"a": 1}
    transcript = Transcript().with_variables(given_variables)
    given_variables["a"] = 2
    assert transcript.variables == {"a": 1}
    assert transcript != [1]


def test_equal_is_what_has_come_to_the_same() -> None:
    message = AssistantMessage("a")
    assert Transcript().with_message(message) == Transcript().with_message(message)
    assert Transcript().with_message(message) != Transcript()
    assert Transcript().with_variables({"a": 1}) != Transcript().with_variables({"a": 2})


def test_threads_that_go_on_from_one_version_at_once_do_not_disturb_each_other() -> None:
    base = Transcript().fold_all(MESSAGES)
    shared = [said(f"s{n}") for n in range(200)]
    barrier = threading.Barrier(8)
    failures: list[Any] = []

    def fold(own: int) -> None:
        barrier.wait(30)
        try:
            transcript, model = base, Model().fold_all(MESSAGES)
            for at, item in enumerate(shared):
                mine = said(f"{own}-{at}")
                items = [item] if own % 2 else [item, mine]
                transcript, model = transcript.fold_all(items), model.fold_all(items)
                if at % 50 == 0:
                    merged = base.fold(transcript)
                    assert texts(merged) == texts(transcript)
                    better = ran_in_thread(f"better {own} {at}")
                    transcript, model = transcript.fold(better), model.fold(better)
            agree(transcript, model)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fold, args=(own,)) for own in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert texts(base) == [f"m{n}" for n in range(5)]


def ran_in_thread(text: str) -> Block:
    block = Block("better", None, entry="replace_last")
    block._items, block.ended = [said(text)], True
    return block


def test_a_message_keeps_its_type() -> None:
    class Rated(Message):
        stars: int = 0

    rated = Rated(role="user", content="x", stars=3)
    assert Transcript().fold(MessageStream.of(rated))[0] is rated
