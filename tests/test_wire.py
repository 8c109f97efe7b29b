"""The wire form: what a model gets to read of a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from rxagents import AssistantMessage, Message, SystemMessage, UserMessage
from rxagents.llm.requests import ChatRequest, LLMConstraints
from rxagents.llm.responses_bodies import RESPONSES
from rxagents.llm.wire import CUT_OFF, wire_messages, wire_turn
from rxagents.llm.wire_apis import as_allowed
from rxagents.values import ToolCall


def call(id: str, name: str = "look", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=id, function={"arguments": arguments, "name": name})


def wire_call(id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "function": {"arguments": arguments, "name": name}, "type": "function"}


def step(text: str | None, *ids: str) -> list[Message]:
    calls = tuple(map(call, ids))
    results = [Message(role="tool", content=f"r{id}", name="look", tool_call_id=id) for id in ids]
    return [Message(role="assistant", content=text, name="a", tool_calls=calls), *results]


def test_plain_messages_keep_role_content_and_name() -> None:
    messages = [SystemMessage("s"), UserMessage("q", name="ann"), AssistantMessage("hi", name="b")]
    assert wire_messages(messages, speaker="a") == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q", "name": "ann"},
        {"role": "assistant", "content": "hi", "name": "b"},
    ]


def test_content_parts_stay_as_they_are() -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert wire_messages([UserMessage(parts)], speaker=None) == [{"role": "user", "content": parts}]


def test_a_turn_of_its_own_has_its_calls_their_results_and_the_rest_of_the_words() -> None:
    said = AssistantMessage(
        "Let me look.Done.", name="a", steps=(*step("Let me look.", "1", "2"), *step(None, "3"))
    )
    assert wire_messages([UserMessage("q"), said], speaker="a")[1:] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "name": "a",
            "tool_calls": [wire_call("1"), wire_call("2")],
        },
        {"role": "tool", "tool_call_id": "1", "content": "r1"},
        {"role": "tool", "tool_call_id": "2", "content": "r2"},
        {"role": "assistant", "content": None, "name": "a", "tool_calls": [wire_call("3")]},
        {"role": "tool", "tool_call_id": "3", "content": "r3"},
        {"role": "assistant", "content": "Done.", "name": "a"},
    ]


def test_a_turn_that_ended_with_its_tools_has_no_empty_words_behind_them() -> None:
    said = AssistantMessage("", name="a", steps=tuple(step(None, "1")), finish_reason="interrupted")
    assert [message["role"] for message in wire_turn(said)] == ["assistant", "tool"]


def test_a_call_without_an_answer_is_not_sent() -> None:
    said = AssistantMessage("Let me", name="a", tool_calls=(call("1"),), finish_reason="interrupted")
    assert wire_turn(said) == [{"role": "assistant", "content": "Let me", "name": "a"}]
    assert wire_messages([said.model_copy(update={"content": None})], speaker="a") == []


TOLD = {"role": "system", "content": CUT_OFF}
CUT = AssistantMessage("Let me", name="a", finish_reason="interrupted")


@pytest.mark.parametrize("behind", [[], [UserMessage("and?")]], ids=["last", "answered"])
def test_an_agent_is_told_where_it_was_cut(behind: list[Message]) -> None:
    sent = wire_messages([UserMessage("q"), CUT, *behind], speaker="a")
    assert sent[1:3] == [{"role": "assistant", "content": "Let me", "name": "a"}, TOLD]
    assert sent[3:] == [{"role": "user", "content": "and?"} for _ in behind]


def test_of_a_turn_that_was_cut_behind_its_tools_the_calls_with_an_answer_are_sent() -> None:
    said = AssistantMessage(
        "Let me look.",
        name="a",
        steps=tuple(step("Let me look.", "1")),
        tool_calls=(call("2"),),
        finish_reason="interrupted",
    )
    assert wire_messages([said], speaker="a") == [
        {"role": "assistant", "content": "Let me look.", "name": "a", "tool_calls": [wire_call("1")]},
        {"role": "tool", "tool_call_id": "1", "content": "r1"},
        TOLD,
    ]


@pytest.mark.parametrize(
    "said",
    [
        CUT.model_copy(update={"content": ""}),
        CUT.model_copy(update={"content": None, "tool_calls": (call("1"),)}),
        CUT.model_copy(update={"name": "b"}),
        CUT.model_copy(update={"finish_reason": "error"}),
        CUT.model_copy(update={"finish_reason": "length"}),
        CUT.model_copy(update={"role": "user"}),
    ],
    ids=["nothing said", "only a call", "another agent", "failed", "length", "user"],
)
def test_of_anything_else_it_is_told_nothing(said: Message) -> None:
    assert TOLD not in wire_messages([UserMessage("q"), said], speaker="a")


def test_a_model_without_system_messages_is_told_by_the_user() -> None:
    sent = wire_messages([UserMessage("q"), CUT, UserMessage("and?")], speaker="a")
    assert [m["role"] for m in as_allowed(sent, LLMConstraints(system_message=False))] == [
        *("user", "assistant", "user", "user")
    ]


def test_the_responses_api_is_told_in_the_same_place() -> None:
    sent = wire_messages([UserMessage("q"), CUT, UserMessage("and?")], speaker="a")
    body = RESPONSES.body(ChatRequest(tuple(sent), agent="a"), {}, LLMConstraints())
    assert body["input"] == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "Let me"},
        TOLD,
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_of_other_agents_only_the_words_are_sent(role: Any) -> None:
    said = AssistantMessage("Done.", name="b", steps=tuple(step("", "1")))
    silent = AssistantMessage("", name="b", steps=tuple(step("", "1")))
    assert wire_messages([UserMessage("q"), silent, said], speaker="a", others_as=role) == [
        {"role": "user", "content": "q"},
        {"role": role, "content": "Done.", "name": "b"},
    ]


def test_others_are_the_user_only_where_there_would_be_none() -> None:
    said = AssistantMessage("hi", name="b")
    own = AssistantMessage("mine", name="a")
    assert [m["role"] for m in wire_messages([said, own], speaker="a")] == ["user", "assistant"]
    assert [m["role"] for m in wire_messages([SystemMessage("s"), said], speaker="a")] == ["system", "user"]
    assert [m["role"] for m in wire_messages([UserMessage("q"), said], speaker="a")] == ["user", "assistant"]
    assert [m["role"] for m in wire_messages([UserMessage(""), said], speaker="a")] == ["user", "assistant"]


def test_others_as_decides_otherwise() -> None:
    messages = [UserMessage("q"), AssistantMessage("hi", name="b")]
    assert wire_messages(messages, speaker="a", others_as="user")[1]["role"] == "user"
    assert wire_messages(messages[1:], speaker="a", others_as="assistant")[0]["role"] == "assistant"


def test_without_a_speaker_nobody_is_the_agent_itself() -> None:
    said = AssistantMessage("Done.", name="a", steps=tuple(step("", "1")))
    assert wire_messages([UserMessage("q"), said], speaker=None)[1:] == [
        {"role": "assistant", "content": "Done.", "name": "a"}
    ]


@pytest.mark.parametrize("name", ["Ann Lee", "a<b", "a|b", "a\\b", "a/b", "a>b", "", "x" * 65])
def test_a_name_that_does_not_fit_the_wire_is_left_out(name: str) -> None:
    assert wire_messages([UserMessage("q", name=name)], speaker=None) == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize("name", ["ann", "a-b_c", "Jürgen", "x" * 64])
def test_a_name_that_fits_the_wire_is_sent(name: str) -> None:
    assert wire_messages([UserMessage("q", name=name)], speaker=None)[0]["name"] == name


def test_a_refusal_is_sent_as_such_and_to_others_as_words() -> None:
    refused = AssistantMessage("", name="a", refusal="I cannot")
    (own,) = wire_messages([refused], speaker="a")
    assert own == {"role": "assistant", "content": None, "name": "a", "refusal": "I cannot"}
    (other,) = wire_messages([refused], speaker="b", others_as="user")
    assert other == {"role": "user", "content": "I cannot", "name": "a"}


def test_messages_of_tools_that_were_put_in_are_sent_with_their_call() -> None:
    calling = AssistantMessage("Let me see.", tool_calls=(call("1"), call("2")))
    results = [Message(role="tool", content=id, name="get_order_id", tool_call_id=id) for id in ("1", "2")]
    sent = wire_messages([UserMessage("q"), calling, *results], speaker="a")
    assert sent[1] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [call("1").model_dump(), call("2").model_dump()],
    }
    assert sent[2:] == [{"role": "tool", "content": id, "tool_call_id": id} for id in ("1", "2")]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_calls_and_results_that_were_put_in_go_together_or_not_at_all(missing: int) -> None:
    calling = AssistantMessage("Let me see.", tool_calls=(call("1"), call("2")))
    results = [Message(role="tool", content=id, tool_call_id=id) for id in ("1", "2")]
    there = [calling, *results]
    del there[missing]
    words = [] if missing == 0 else [{"role": "user", "content": "Let me see."}]
    assert wire_messages(there, speaker="a") == words


def test_the_calls_of_another_agent_are_not_sent() -> None:
    calling = AssistantMessage("Let me see.", name="b", tool_calls=(call("1"),))
    result = Message(role="tool", content="214", tool_call_id="1")
    assert wire_messages([UserMessage("q"), calling, result], speaker="a") == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "Let me see.", "name": "b"},
    ]
