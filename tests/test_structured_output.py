"""Structured output: an agent whose answer is a value, and what happens when it is none."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from rxagents import (
    Agent,
    ConfigurationError,
    LLMConstraints,
    OpenAILLM,
    OutputError,
    ScriptedLLM,
    Workflow,
    say,
)
from rxagents.llm import Call, Reply
from rxagents.operators import markers
from rxagents.testing import Marbles, OpenAIServer
from rxagents.values import delta


class Order(BaseModel):
    """An order."""

    id: str
    items: list[str] = Field(min_length=1)
    state: Literal["open", "sent"] = "open"


GOOD = '{"id": "214", "items": ["lamp"], "state": "sent"}'
ORDER = Order(id="214", items=["lamp"], state="sent")


NO_JSON = "the answer is no valid JSON, and Order is wanted: expected ident at line 1 column 2"


def bot(llm: Any, **options: Any) -> Agent:
    return Agent("bot", llm, output_type=Order, **options)


def test_over_the_wire_the_message_carries_the_parsed_value() -> None:
    with OpenAIServer([GOOD]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        result = Workflow(bot(llm)).run("My order?")
        (body,) = [request.body for request in server.requests]
    assert result.message is not None
    assert result.message.parsed == ORDER
    assert result.text == GOOD
    sent = body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"]["required"] == ["id", "items", "state"]


def test_over_the_wire_an_invalid_answer_is_sent_back_with_its_errors() -> None:
    with OpenAIServer(['{"id": 5, "items": []}', GOOD]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        workflow = Workflow(bot(llm))
        result = workflow.run("My order?")
        first, second = [request.body["messages"] for request in server.requests]
    assert result.message is not None
    assert (result.message.parsed, result.text) == (ORDER, GOOD)
    assert second[: len(first)] == first
    answer, complaint = second[len(first) :]
    assert answer == {"role": "assistant", "content": '{"id": 5, "items": []}', "name": "bot"}
    assert complaint["role"] == "user"
    assert "id: Input should be a valid string" in complaint["content"]
    assert "items: List should have at least 1 item" in complaint["content"]
    assert [message.text for message in workflow.conversation] == ["My order?", GOOD]
    assert workflow.conversation.metrics["completion_tokens"] > result.usage.completion_tokens / 2


def test_a_restart_delta_says_that_what_came_before_is_void(marbles: Marbles) -> None:
    llm = marbles.llm("--no|", """--'{"id":"1",'-'"items":["a"]}'|""")
    marbles.expect_markers(say("go").pipe(bot(llm), markers()), only=["delta", "response"]).to_be(
        [
            (2, "delta", "no"),
            (4, "delta", delta(restart=NO_JSON)),
            (6, "delta", '{"id":"1",'),
            (19, "delta", '"items":["a"]}'),
            (35, "response", '{"id":"1","items":["a"]}'),
        ]
    )


def test_the_retries_come_to_an_end() -> None:
    llm = ScriptedLLM(lambda request: "never")
    workflow = Workflow(bot(llm, output_retries=2))
    result = workflow.run("go")
    assert result == "agent-error"
    assert isinstance(result.error, OutputError)
    assert len(llm.requests) == 3
    said = workflow.conversation[-1]
    assert (said.text, said.finish_reason, said.parsed) == ("never", "error", None)
    assert said.usage is not None
    assert said.usage == workflow.conversation.transcript.usage


def test_with_no_retries_the_first_answer_counts() -> None:
    llm = ScriptedLLM(["never", GOOD])
    assert Workflow(bot(llm, output_retries=0)).run("go") == "agent-error"
    assert len(llm.requests) == 1


def test_tools_are_called_before_the_answer_and_stay_when_it_is_given_again() -> None:
    def lookup() -> str:
        return "214: lamp"

    llm = ScriptedLLM([Reply("Looking. ", [Call("lookup")]), "it is the lamp", GOOD])
    workflow = Workflow(bot(llm, tools=[lookup]))
    result = workflow.run("go")
    message = workflow.conversation[-1]
    assert result.text == GOOD
    assert [step.role for step in message.steps] == ["assistant", "tool"]
    assert [step.text for step in message.steps] == ["", "214: lamp"]
    third = llm.requests[2].messages
    assert [m["role"] for m in third] == ["user", "assistant", "tool", "assistant", "user"]
    # and the next turn sends what was done, and the valid answer alone
    Workflow(bot(ScriptedLLM(lambda request: json.dumps(len(request.messages)))), workflow.conversation)
    again = ScriptedLLM([GOOD])
    Workflow(bot(again), workflow.conversation).run("again")
    assert [(m["role"], m["content"]) for m in again.requests[0].messages] == [
        ("user", "go"),
        ("assistant", None),
        ("tool", "214: lamp"),
        ("assistant", GOOD),
        ("user", "again"),
    ]


def test_a_model_without_structured_output_is_told_in_words() -> None:
    llm = ScriptedLLM([f"Sure:\n```json\n{GOOD}\n```"], constraints=LLMConstraints(structured_output=False))
    result = Workflow(bot(llm, system_message="Be brief.")).run("go")
    assert result.message is not None
    assert result.message.parsed == ORDER
    (request,) = llm.requests
    assert request.response_format is None
    first, second = request.messages
    assert first["role"] == "system"
    assert first["content"].startswith("Be brief.\n\n")
    assert '"items"' in first["content"]
    assert second == {"role": "user", "content": "go"}


def test_without_a_system_message_the_words_are_one() -> None:
    llm = ScriptedLLM([GOOD], constraints=LLMConstraints(structured_output=False))
    Workflow(bot(llm)).run("go")
    assert [m["role"] for m in llm.requests[0].messages] == ["system", "user"]


def test_a_refusal_is_an_answer() -> None:
    llm = ScriptedLLM([Reply(refusal="I will not.")])
    workflow = Workflow(bot(llm))
    assert workflow.run("go") == "done"
    message = workflow.conversation[-1]
    assert (message.refusal, message.parsed) == ("I will not.", None)


def test_other_types_do_as_well() -> None:
    llm = ScriptedLLM(['{"value": [1, 2, 3]}'])
    result = Workflow(Agent("bot", llm, output_type=list[int])).run("go")
    assert result.message is not None
    assert result.message.parsed == [1, 2, 3]


def test_a_variant_keeps_its_output_type() -> None:
    cold = bot(ScriptedLLM([GOOD])).with_(temperature=0)
    result = Workflow(cold).run("go")
    assert result.message is not None
    assert result.message.parsed == ORDER


@pytest.mark.parametrize("retries", [-1, "many", None])
def test_output_retries_is_a_number(retries: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"agent bot: output_retries is .*; it must be a number, 0"):
        bot(ScriptedLLM([]), output_retries=retries)


def test_what_is_no_type_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(ConfigurationError, match="output_type: 'Order' is no type"):
        Agent("bot", ScriptedLLM([]), output_type="Order")


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_answer_without_a_word_is_not_sent_back(api: Any) -> None:
    with OpenAIServer(["", GOOD]) as server:
        llm = OpenAILLM("gpt-test", api=api, base_url=server.base_url, api_key="k")
        result = Workflow(bot(llm)).run("My order?")
        body = server.requests[1].body
    assert result.message is not None
    assert result.message.parsed == ORDER
    first, complaint = body["messages" if api == "chat" else "input"]
    assert (first["role"], first["content"]) == ("user", "My order?")
    assert complaint["role"] == "user"
    assert "the answer is no valid JSON" in complaint["content"]
