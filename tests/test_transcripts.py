"""Transcript: an immutable fold, held against a plain list model."""

from __future__ import annotations

import json
import pickle
import threading
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import (
    AssistantMessage,
    Block,
    Completion,
    ConfigurationError,
    Conversation,
    InputError,
    Message,
    MessageStream,
    StateUpdate,
    Transcript,
    Usage,
    UserMessage,
)
from rxagents.blocks import Scope
from rxagents.engine.emitters import just
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


def speaks(block: Block) -> bool:
    return any(
        isinstance(item, MessageStream)
        or (isinstance(item, Block) and item.entry != "aside" and speaks(item))
        for item in block.items
    )


# A model


@dataclass(frozen=True)
class Model:
    """The same, as plain values that are copied each time."""

    messages: tuple[str, ...] = ()
    log: tuple[Any, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    usage: int = 0
    seen: frozenset[str] = frozenset()

    def fold(self, item: Any, aside: bool = False) -> Model:
        if isinstance(item, Block):
            return self._block(item, aside)
        if item.id in self.seen:
            return self
        paid = f"{item.id} aside" in self.seen
        if isinstance(item, StateUpdate):
            usage, log = item.usage, item.log
            messages = [message.text for message in item.messages]
            model = replace(self, messages=(*self.messages[: max(len(self) - item.drop, 0)], *messages))
            model = replace(model, variables={**self.variables, **(item.variables or {})})
        else:
            usage, log = item.result.usage, ()
            model = replace(self, messages=(*self.messages, item.result.text))
        if aside:
            if paid or not (usage or log):
                return self
            return self._paid(f"{item.id} aside", usage, log)
        return model._paid(item.id, *((None, ()) if paid else (usage, log)))

    def _paid(self, key: str, usage: Usage | None, log: tuple[Any, ...]) -> Model:
        used = usage.total_tokens if usage else 0
        return replace(self, log=self.log + log, usage=self.usage + used, seen=self.seen | {key})

    def __len__(self) -> int:
        return len(self.messages)

    def _block(self, block: Block, aside: bool) -> Model:
        model = self
        aside = aside or block.entry == "aside"
        if block.entry == "replace_last" and not aside:
            if block.id in self.seen:
                return model
            model = replace(model, seen=model.seen | {block.id})
            if speaks(block):
                model = replace(model, messages=model.messages[:-1])
        for item in block.items:
            model = model.fold(item, aside)
        return model

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
ASIDES = [
    ran("tried", said("tried", usage=7), MESSAGES[2], UPDATES[2], entry="aside"),
    ran("logged", ran("inside", UPDATES[1], said("x", usage=1), entry="replace_last"), entry="aside"),
]
CHANGES = [
    StateUpdate("update", messages=(AssistantMessage("new", usage=Usage(total_tokens=9)),)),
    StateUpdate("update", messages=(UserMessage("one"), AssistantMessage("two")), drop=1),
    StateUpdate("update", usage=Usage(total_tokens=2), drop=2),
    StateUpdate("update", messages=(AssistantMessage("all"),), log=(("info", "all"),), drop=50),
]
BLOCKS = [
    ran("block", MESSAGES[1], said("inner"), UPDATES[0]),
    ran("empty"),
    ran("nested", ran("deeper", said("deep"), UPDATES[2]), ASIDE, MESSAGES[2]),
    ran("changing", said("draft"), CHANGES[1]),
]
REPLACING = [
    ran("better", said("better", usage=2), entry="replace_last"),
    ran("two", said("one of two"), said("two of two"), entry="replace_last"),
    ran("nothing", StateUpdate("x", usage=Usage(total_tokens=5)), entry="replace_last"),
    ran("best", ran("inside", said("best"), entry="replace_last"), entry="replace_last"),
]
LASTING = [*MESSAGES, *UPDATES, ASIDE, *ASIDES, *BLOCKS, *CHANGES]
ITEMS = st.sampled_from([*LASTING, *REPLACING])


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=12))
def test_the_fold_agrees_with_a_plain_model(items: list[Any]) -> None:
    transcript, model = Transcript(), Model()
    for item in items:
        transcript, model = transcript.fold(item), model.fold(item)
        agree(transcript, model)
    agree(Transcript().fold_all(items), model)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), ITEMS), max_size=20))
def test_any_version_can_be_gone_on_from_and_none_ever_changes(steps: list[tuple[int, Any]]) -> None:
    versions = [(Transcript(), Model())]
    for at, item in steps:
        transcript, model = versions[at % len(versions)]
        versions.append((transcript.fold(item), model.fold(item)))
        for transcript, model in versions:
            agree(transcript, model)


SOME = st.lists(st.sampled_from(LASTING), max_size=8)
KEEPING = st.lists(st.sampled_from([*MESSAGES, *UPDATES, ASIDE, *ASIDES, *BLOCKS[:-1]]), max_size=8)


@settings(deadline=None)
@given(SOME, KEEPING, SOME)
def test_a_transcript_as_an_item_stands_for_the_items_folded_into_it(
    mine: list[Any], others: list[Any], tail: list[Any]
) -> None:
    transcript = Transcript().fold_all(mine).fold(Transcript().fold_all(others)).fold_all(tail)
    agree(transcript, Model().fold_all([*mine, *others, *tail]))


def associative(one: list[Any], two: list[Any], three: list[Any]) -> None:
    a, b, c = (Transcript().fold_all(items) for items in (one, two, three))
    assert a.fold(b).fold(c) == a.fold(b.fold(c))
    assert a.fold_all(two).fold_all(three) == Transcript().fold_all([*one, *two, *three])


@settings(deadline=None)
@given(KEEPING, KEEPING, KEEPING)
def test_the_fold_is_associative(one: list[Any], two: list[Any], three: list[Any]) -> None:
    associative(one, two, three)


@settings(deadline=None)
@given(st.permutations([*MESSAGES, *UPDATES, *CHANGES]), st.integers(0, 12), st.integers(0, 12))
def test_with_changes_it_is_associative_for_conversations_that_share_no_item(
    items: list[Any], first: int, second: int
) -> None:
    first, second = sorted((first, second))
    associative(items[:first], items[first:second], items[second:])


def test_a_change_in_a_transcript_takes_away_what_was_said_there_wherever_it_is_folded() -> None:
    # "one" and "two" take the place of m1; whoever has heard m0 and m1 already loses m1 as well
    other = Transcript().fold_all([*MESSAGES[:2], CHANGES[1]])
    assert texts(Transcript().fold_all(MESSAGES[:2]).fold(other)) == ["m0", "one", "two"]
    # m2 is none of its messages, and where m1 is not there, nothing goes
    assert texts(Transcript().fold_all([MESSAGES[1], ASIDE, MESSAGES[2]]).fold(other)) == [
        "m1",
        "m2",
        "m0",
        "one",
        "two",
    ]


def test_what_was_dropped_in_a_transcript_takes_nothing_from_what_stands_before_it() -> None:
    better = ran("better", said("better"), entry="replace_last")
    for first in (CHANGES[3], better):
        other = Transcript().fold_all([first, MESSAGES[1]])
        both = Transcript().fold(MESSAGES[0]).fold(other)
        assert texts(both) == ["m0", *texts(other)]


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=8))
def test_what_was_folded_in_adds_nothing_again(items: list[Any]) -> None:
    transcript = Transcript().fold_all(items)
    assert transcript.fold_all(items) == transcript.fold(transcript) == transcript
    aside = ran("again", *items, entry="aside")
    assert transcript.fold(aside) == transcript


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=8), SOME)
def test_a_stored_transcript_goes_on_as_the_original_does(items: list[Any], tail: list[Any]) -> None:
    transcript = Transcript().fold_all(items)
    stored = pickle.loads(pickle.dumps(transcript))
    assert stored == transcript
    assert stored.fold_all(tail) == transcript.fold_all(tail)


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=10))
def test_a_conversation_that_follows_the_items_goes_through_json(items: list[Any]) -> None:
    conversation = Conversation()
    for item in items:
        conversation.follow(item)
    agree(conversation.transcript, Model().fold_all(items))
    restored = Conversation.from_dict(json.loads(json.dumps(conversation.to_dict())))
    assert restored.transcript == conversation.transcript
    assert restored.to_dict() == conversation.to_dict()


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


# What goes, and what enters


def test_an_update_drops_the_last_messages_and_its_own_enter() -> None:
    transcript = Transcript().fold_all(MESSAGES[:3])
    changed = transcript.fold(StateUpdate("update", messages=(UserMessage("x"), UserMessage("y")), drop=2))
    assert texts(changed) == ["m0", "x", "y"]
    assert texts(transcript) == ["m0", "m1", "m2"]
    assert changed.usage == transcript.usage
    assert texts(changed.fold(MESSAGES[3])) == ["m0", "x", "y", "m3"]


def test_more_is_dropped_than_there_is() -> None:
    assert texts(Transcript().fold(StateUpdate(drop=3, messages=(UserMessage("x"),)))) == ["x"]
    assert texts(Transcript().fold(MESSAGES[0]).fold(StateUpdate(drop=3))) == []


def test_a_message_that_was_cut_before_anything_came_does_not_enter_by_an_update_either() -> None:
    empty = AssistantMessage("", finish_reason="interrupted")
    assert texts(Transcript().fold(StateUpdate(messages=(empty, UserMessage("x"))))) == ["x"]


def test_an_update_that_was_passed_on_without_its_messages_is_the_same_item_elsewhere() -> None:
    base = Transcript().fold(MESSAGES[0])
    change = StateUpdate("update", variables={"a": 1}, messages=(UserMessage("x"),), drop=1)
    passed = change.beside
    assert (passed.id, passed.messages, passed.drop) == (change.id, (), 0)
    # two branches of one history: neither takes over what the other made of it
    whole, beside = base.fold(change), base.fold(passed)
    assert (texts(whole), texts(beside)) == (["x"], ["m0"])
    whole, beside = whole.fold(MESSAGES[1]), beside.fold(MESSAGES[1])
    assert (texts(whole), texts(beside)) == (["x", "m1"], ["m0", "m1"])
    enters = StateUpdate("update", messages=(UserMessage("x"),))
    assert texts(base.fold(enters)) == ["m0", "x"]
    assert texts(base.fold(enters.beside)) == ["m0"]
    assert UPDATES[0].beside is UPDATES[0]


@pytest.mark.parametrize("drop", [-1, "2", None, 1.5])
def test_what_is_no_number_of_messages_is_refused(drop: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"drop is {drop!r}; it must be a number, 0 or more"):
        StateUpdate(drop=drop)


def test_what_is_no_message_does_not_enter() -> None:
    with pytest.raises(InputError, match="messages holds dict; give Messages"):
        StateUpdate(messages=({"role": "user"},))  # type: ignore[arg-type]


def test_of_what_stands_aside_the_usage_and_the_log_count() -> None:
    update = StateUpdate("x", variables={"a": 1}, usage=Usage(total_tokens=2), log=(("info", 1),))
    transcript = Transcript().fold(ran("note", said("aside", usage=3), ran("deep", update), entry="aside"))
    assert (len(transcript), dict(transcript.variables)) == (0, {})
    assert (transcript.usage.total_tokens, transcript.log) == (5, (("info", 1),))


def test_what_stood_aside_can_still_enter_and_is_paid_for_once() -> None:
    message = said("shown before", usage=3)
    for items in (
        [ran("note", message, entry="aside"), message],
        [message, ran("note", message, entry="aside")],
    ):
        transcript = Transcript().fold_all(items)
        assert (texts(transcript), transcript.usage.total_tokens) == (["shown before"], 3)
    earlier = Transcript().fold_all([message, UPDATES[1]])
    beside = Transcript().fold(ran("note", earlier, entry="aside"))
    assert (len(beside), beside.usage, beside.log) == (0, earlier.usage, earlier.log)
    assert beside.fold(earlier) == Transcript().fold_all([message, UPDATES[1]])


def test_a_transcript_reduced_to_some_messages_keeps_the_variables_and_the_ids() -> None:
    change = StateUpdate("update", messages=(UserMessage("one"), UserMessage("two")), drop=1)
    whole = Transcript().fold_all([*MESSAGES, UPDATES[1], change])
    new = AssistantMessage("in short", usage=Usage(total_tokens=9))
    reduced = whole.reduced_to([new, whole[0], whole[-2], whole[-1]])
    assert texts(reduced) == ["in short", "m0", "one", "two"]
    assert (reduced.variables, reduced.usage, reduced.log) == (whole.variables, Usage(), ())
    ids = (MESSAGES[0].id, change.id, MESSAGES[1].id)
    assert [*map(reduced.has, ids)] == [True, True, False]
    assert texts(whole.fold(reduced)) == [*texts(whole), "in short"]
    torn = whole.reduced_to([whole[-1], whole[0], whole[-2]])
    assert texts(torn) == ["two", "m0", "one"]
    assert whole.reduced_to([]).variables == whole.variables
    assert Transcript().reduced_to([]) == Transcript()


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
