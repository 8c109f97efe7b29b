"""Conversation: the holder; it follows what runs, forks, and survives JSON."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    AssistantMessage,
    Block,
    Conversation,
    InputError,
    Message,
    MessageStream,
    StateUpdate,
    Usage,
    UserMessage,
)
from rxagents.engine.emitters import just
from rxagents.testing import Marbles
from rxagents.values import ToolCall


def texts(conversation: Any) -> list[str]:
    return [message.text for message in conversation]


def test_it_begins_with_messages_or_dicts_and_variables() -> None:
    conversation = Conversation([UserMessage("a"), {"role": "assistant", "content": "b"}], {"x": 1})
    assert texts(conversation) == ["a", "b"]
    assert [m.role for m in conversation] == ["user", "assistant"]
    assert (conversation.variables, conversation.log) == ({"x": 1}, ())
    assert (len(conversation), conversation[1].text, texts(conversation[:1])) == (2, "b", ["a"])
    assert repr(conversation) == "<Conversation of 2 messages>"


@pytest.mark.parametrize("thing", ["text", 7, None])
def test_what_is_no_message_is_refused_and_named(thing: Any) -> None:
    with pytest.raises(InputError, match=type(thing).__name__):
        Conversation().append(thing)


def test_it_can_be_appended_to_and_updated() -> None:
    conversation = Conversation()
    before = conversation.transcript
    conversation.append(UserMessage("a"))
    conversation.append({"content": "b"})
    conversation.update({"x": 1})
    conversation.update({"y": 2})
    assert texts(conversation) == ["a", "b"]
    assert conversation.variables == {"x": 1, "y": 2}
    assert len(before) == 0


def test_forks_are_independent_and_share_what_was() -> None:
    conversation = Conversation([UserMessage("a")])
    fork = conversation.fork()
    assert fork.transcript is conversation.transcript
    fork.append(UserMessage("b"))
    conversation.append(UserMessage("c"))
    assert (texts(conversation), texts(fork)) == (["a", "c"], ["a", "b"])


# Following


def test_what_it_follows_counts_as_it_ends_in_the_order_of_the_items(marbles: Marbles) -> None:
    conversation = Conversation([UserMessage("q")])
    slow, quick = marbles.message("---------s|"), marbles.message("-f|")
    block = Block("b", just(slow, quick))
    conversation.follow(block)
    marbles.expect(block).to_be(
        """
            (m1 m2)---|
        m1  ---------s|
        m2  -f|
        """
    )
    seen: list[list[str]] = []
    for frame in (1, 3, 9, 11):
        marbles.at(frame, lambda: seen.append(texts(conversation)))
    marbles.flush()
    assert seen == [["q"], ["q", "f"], ["q", "f"], ["q", "s", "f"]]


def test_what_is_appended_while_something_runs_comes_after_it(marbles: Marbles) -> None:
    conversation = Conversation()
    running = marbles.message("    ---a|")
    conversation.follow(running)
    marbles.expect(running).to_be("---a|")
    seen: list[list[str]] = []
    marbles.at(1, conversation.append, UserMessage("b"))
    marbles.at(2, lambda: seen.append(texts(conversation)))
    marbles.flush()
    assert seen == [["b"]]
    assert texts(conversation) == ["a", "b"]


def test_its_messages_are_there_before_readers_hear_the_end(marbles: Marbles) -> None:
    conversation = Conversation()
    running = marbles.message("    --a|")
    seen: list[list[str]] = []
    reading = running.pipe(ops.do_action(on_completed=lambda: seen.append(texts(conversation))))
    marbles.expect(reading).to_be("--a|")
    marbles.at(1, conversation.follow, running)
    marbles.flush()
    assert seen == [["a"]]


def test_an_interrupted_message_is_in_it_with_what_had_arrived(marbles: Marbles) -> None:
    conversation = Conversation()
    running = marbles.message("    -a--b|")
    conversation.follow(running)
    marbles.expect(running).to_be("-a~")
    seen: list[Any] = []

    def interrupt() -> None:
        running.interrupt()
        seen.extend((message.text, message.finish_reason) for message in conversation)

    marbles.at(2, interrupt)
    marbles.flush()
    assert seen == [("a", "interrupted")]


def test_a_fork_of_a_running_conversation_goes_on_by_itself(marbles: Marbles) -> None:
    conversation = Conversation([UserMessage("q")])
    running = marbles.message("    --a|")
    conversation.follow(running)
    marbles.expect(running).to_be("--a|")
    forks: list[Conversation] = []
    marbles.at(1, lambda: forks.append(conversation.fork()))
    marbles.flush()
    assert (texts(forks[0]), texts(conversation)) == (["q"], ["q", "a"])


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=6),
    st.lists(st.integers(0, 10), max_size=5),
)
def test_looking_at_any_time_changes_nothing(items: list[tuple[int, bool]], looks: list[int]) -> None:
    conversation = Conversation()
    with Marbles() as marbles:
        for n, (at, inside) in enumerate(items):
            stream = marbles.message("-" * at + f"'m{n}'|")
            item = Block("b", just(stream)) if inside else stream
            conversation.follow(item)
            marbles.at(0, item.hold)
        for at in looks:
            marbles.at(at + 0.5, lambda: conversation.transcript)
    assert texts(conversation) == [f"m{n}" for n in range(len(items))]
    assert conversation._followed.items == []


def test_threads_that_follow_and_look_at_once_lose_nothing() -> None:
    conversation = Conversation()
    count, workers = 300, 6
    barrier = threading.Barrier(workers)

    def work(own: int) -> None:
        barrier.wait(30)
        for n in range(count):
            conversation.follow(MessageStream.of(UserMessage(f"{own}-{n}")))
            len(conversation)

    threads = [threading.Thread(target=work, args=(own,)) for own in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = texts(conversation)
    assert len(found) == len(set(found)) == count * workers
    for own in range(workers):
        mine = [text for text in found if text.startswith(f"{own}-")]
        assert mine == [f"{own}-{n}" for n in range(count)]


# JSON

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
USAGES = st.builds(
    Usage,
    completion_tokens=st.integers(0, 9),
    prompt_tokens=st.integers(0, 9),
    total_tokens=st.integers(0, 9),
)
STEPS = st.lists(
    st.builds(
        Message,
        role=st.just("tool"),
        content=st.text(max_size=5),
        tool_call_id=st.text(max_size=3),
        name=st.none() | st.text(max_size=3),
    ),
    max_size=2,
).map(tuple)
CALLS = st.lists(
    st.builds(ToolCall, id=st.text(max_size=3), function=st.just({"name": "f", "arguments": "{}"})),
    max_size=2,
).map(tuple)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "system"]),
    content=st.text(max_size=10) | st.none() | st.just([{"type": "text", "text": "x"}]),
    name=st.none() | st.text(max_size=5),
    finish_reason=st.sampled_from([None, "stop", "interrupted"]),
    usage=st.none() | USAGES,
    steps=STEPS,
    tool_calls=CALLS,
    metadata=st.dictionaries(st.text(max_size=3), JSON, max_size=2),
)
UPDATES = st.builds(
    StateUpdate,
    variables=st.none() | st.dictionaries(st.text(max_size=3), JSON, max_size=2),
    usage=st.none() | USAGES,
    log=st.lists(st.tuples(st.text(max_size=3), JSON), max_size=2).map(tuple),
)


@given(st.lists(MESSAGES | UPDATES, max_size=5), st.lists(MESSAGES | UPDATES, max_size=3))
def test_it_survives_json_and_goes_on_as_it_would_have(first: list[Any], then: list[Any]) -> None:
    conversation = Conversation()
    follow(conversation, first)
    restored = Conversation.from_dict(json.loads(json.dumps(conversation.to_dict())))
    assert restored.transcript == conversation.transcript
    assert restored.to_dict() == conversation.to_dict()
    follow(conversation, then)
    follow(restored, then)
    assert restored.transcript == conversation.transcript


def follow(conversation: Conversation, things: list[Any]) -> None:
    for thing in things:
        conversation.follow(MessageStream.of(thing) if isinstance(thing, Message) else thing)


def test_what_it_comes_to_as_a_dict() -> None:
    conversation = Conversation([UserMessage("q")], {"x": 1})
    conversation.append(AssistantMessage("a", name="n", usage=Usage(total_tokens=3)))
    conversation.follow(StateUpdate("log", log=(("info", "team/stop", "team"),)))
    usage = {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 3}
    assert conversation.to_dict() == {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a", "name": "n", "usage": {"total_tokens": 3}},
        ],
        "variables": {"x": 1},
        "usage": usage,
        "log": [["info", "team/stop", "team"]],
    }


def test_a_restored_message_equals_the_one_that_was_stored() -> None:
    conversation = Conversation([UserMessage("q"), AssistantMessage("a")])
    assert Conversation.from_dict(conversation.to_dict()).transcript == conversation.transcript


def test_an_empty_dict_is_an_empty_conversation() -> None:
    assert Conversation.from_dict({}).transcript == Conversation().transcript


@pytest.mark.parametrize("without", [{}, {"usage": None}])
def test_a_stored_conversation_without_usage_counts_that_of_its_messages(without: dict[str, Any]) -> None:
    usage = Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3)
    said = AssistantMessage("a", usage=usage).to_dict()
    restored = Conversation.from_dict({"messages": [said], **without})
    assert restored.metrics == usage.model_dump()
    assert Conversation.from_dict(restored.to_dict()).metrics == usage.model_dump()


def test_metrics_are_taken_for_usage_as_the_first_systems_call_them() -> None:
    metrics = {"completion_tokens": 1, "prompt_tokens": 2, "total_tokens": 3}
    stored = {"messages": [{"role": "user", "content": "a", "name": "user"}], "variables": {"x": 1}}
    restored = Conversation.from_dict(
        {**stored, "metrics": metrics, "log": [["info", "agent/request", "a", 1]]}
    )
    assert restored.metrics == metrics
    assert restored.log == (("info", "agent/request", "a", 1),)
    assert restored.to_dict()["usage"] == metrics
    assert "metrics" not in restored.to_dict()
    assert Conversation.from_dict({**stored, "usage": metrics, "metrics": {}}).metrics == metrics
