"""The program that must run with only its imports changed, over real HTTP, through every entry point."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest

from rxagents import Agent, AzureOpenAILLM, OpenAILLM, Run, Team, Transcript, User, Workflow
from rxagents.llm import Reply
from rxagents.testing import OpenAIServer, Paused, order_scenario

WAIT = 10.0
QUESTION = "Which is expected delivery date for my order?"
ANSWER = "The expected delivery date for your order 214 is 2022-01-01."
TOKENS = [
    "The", " expected", " delivery", " date", " for", " your", " order", " ", "214", " is", " ",
    "202", "2", "-", "01", "-", "01", ".",
]  # fmt: skip
DELTA_KEYS = ["content", "function_call", "refusal", "tool_calls"]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(order_scenario()) as running:
        yield running


def openai_model(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-4o-mini", base_url=server.base_url, api_key="any")


def azure_model(server: OpenAIServer) -> AzureOpenAILLM:
    return AzureOpenAILLM(
        {
            "azure_deployment": "gpt-4o-mini",
            "azure_endpoint": server.azure_endpoint,
            "api_key": "any",
            "api_version": "2024-08-01-preview",
        }
    )


MODELS = [pytest.param(azure_model, id="azure"), pytest.param(openai_model, id="openai")]
Model = Callable[[OpenAIServer], Any]


def program(llm: Any) -> Workflow:
    agent1 = Agent(
        id="agent1",
        llm=llm,
        description="Call this agent for general purpose questions",
        system_message="You are an AI assistant …",
    )

    @agent1.register_tool(description="Get the order ID for a customer's order. …")
    def get_order_id() -> Annotated[str, "The customer's order ID."]:
        return "214"

    @agent1.register_tool(description="Get the delivery date for a customer's order. …")
    def get_delivery_date(
        order_id: Annotated[str, "The customer's order ID."],
    ) -> Annotated[str, "The delivery date for the customer's order."]:
        return "2022-01-01"

    user = User(id="user", mode="unattended")
    flow = Team(
        id="team",
        description="",
        members=[agent1, user],
        llm=llm,
        stop_callback=lambda msgs: len(msgs) > 4,
    )
    return Workflow(askable=flow)


def call_delta(index: int, arguments: str, name: str | None = None, id: str | None = None) -> Any:
    kind = "function" if name else None
    call = {"id": id, "function": {"arguments": arguments, "name": name}, "type": kind, "index": index}
    return ("delta", {"content": None, "function_call": None, "refusal": None, "tool_calls": [call]})


def text_delta(content: str | None) -> Any:
    return ("delta", {"content": content, "function_call": None, "refusal": None, "tool_calls": None})


def called(name: str, id: str, *fragments: str) -> list[Any]:
    return [
        call_delta(0, "", name, id),
        *(call_delta(0, fragment) for fragment in fragments),
        text_delta(None),
    ]


EXPECTED = [
    ("start", "team"),
    ("start", "agent1"),
    *called("get_order_id", "call_1", "{}"),
    ("function_result", {"name": "get_order_id", "result": "214", "id": "call_1"}),
    *called("get_delivery_date", "call_2", '{"', "order", "_id", '":"', "214", '"}'),
    ("function_result", {"name": "get_delivery_date", "result": "2022-01-01", "id": "call_2"}),
    text_delta(""),
    *map(text_delta, TOKENS),
    text_delta(None),
    (
        "response",
        [
            {"content": ANSWER, "role": "assistant", "name": "agent1"},
            {"completion_tokens": 27, "prompt_tokens": 62, "total_tokens": 89},
        ],
    ),
    ("end", "agent1"),
    ("end", "team"),
    ("result", "agent-stop"),
]


def check(markers: list[Any]) -> None:
    assert normal(markers) == normal(EXPECTED)
    response = next(content for mark, content in markers if mark == "response")
    message, usage = response
    assert message == {"content": ANSWER, "role": "assistant", "name": "agent1"}
    assert list(message) == ["content", "role", "name"]
    assert list(usage) == ["completion_tokens", "prompt_tokens", "total_tokens"]
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["completion_tokens"] + usage["prompt_tokens"]
    for marker in markers:
        assert isinstance(marker, tuple)
        assert len(marker) == 2
        mark, content = marker
        assert isinstance(mark, str)
        assert json.loads(json.dumps(content)) == content
        if mark == "delta":
            assert list(content) == DELTA_KEYS
            for call in content["tool_calls"] or ():
                assert list(call) == ["id", "function", "type", "index"]
                assert list(call["function"]) == ["arguments", "name"]
        if mark == "function_result":
            assert list(content) == ["name", "result", "id"]


def normal(markers: list[Any]) -> list[Any]:
    """The markers without the usage, which the script counts as it likes."""
    return [(mark, content[0]) if mark == "response" else (mark, content) for mark, content in markers]


def check_conversation(workflow: Workflow) -> None:
    question, answer = workflow.conversation
    assert (question.role, question.text) == ("user", QUESTION)
    assert (answer.role, answer.name, answer.text, answer.finish_reason) == (
        "assistant", "agent1", ANSWER, "stop",
    )  # fmt: skip
    assert [(step.role, step.text) for step in answer.steps] == [
        ("assistant", ""), ("tool", "214"), ("assistant", ""), ("tool", "2022-01-01"),
    ]  # fmt: skip
    log = [entry[:4] for entry in workflow.conversation.log]
    assert ("info", "team/choice", "team", "agent1") in log
    assert ("info", "team/choice", "team", "user") in log


def heard(observable: Any) -> list[Any]:
    got: list[Any] = []
    ended = threading.Event()
    observable.subscribe(got.append, on_completed=ended.set)
    assert ended.wait(WAIT)
    return got


async def collected(workflow: Workflow) -> list[Any]:
    return [marker async for marker in workflow.arun_stream(QUESTION)]


async def in_context(workflow: Workflow) -> list[Any]:
    async with workflow.arun_stream(QUESTION) as markers:
        return [marker async for marker in markers]


async def notebook(workflow: Workflow) -> list[Any]:
    return list(workflow.run_stream(QUESTION))  # the thread has a running loop: this one


async def started(workflow: Workflow) -> list[Any]:
    run = workflow.start(QUESTION)
    result = await run
    assert result == "agent-stop"
    return [marker async for marker in _iterated(run)]


async def _iterated(run: Run) -> Any:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    run.markers().subscribe(queue.put_nowait, on_completed=lambda: queue.put_nowait(None))
    while (marker := await queue.get()) is not None:
        yield marker


STREAMS = {
    "run_stream": lambda workflow: list(workflow.run_stream(QUESTION)),
    "run_stream in a notebook": lambda workflow: asyncio.run(notebook(workflow)),
    "arun_stream": lambda workflow: asyncio.run(collected(workflow)),
    "arun_stream as a context": lambda workflow: asyncio.run(in_context(workflow)),
    "observe": lambda workflow: heard(workflow.observe(QUESTION)),
    "start": lambda workflow: heard(workflow.start(QUESTION).markers()),
    "start on a loop": lambda workflow: asyncio.run(started(workflow)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", STREAMS)
def test_the_markers_are_exactly_these_through_every_entry(
    way: str, model: Model, server: OpenAIServer
) -> None:
    workflow = program(model(server))
    check(STREAMS[way](workflow))
    check_conversation(workflow)
    # a router's choice, three rounds of the agent, a router's choice
    assert len(server.requests) == 5
    assert all(request.completed for request in server.requests)


RUNS = {
    "run": lambda workflow: workflow.run(QUESTION),
    "arun": lambda workflow: asyncio.run(workflow.arun(QUESTION)),
    "run in a notebook": lambda workflow: asyncio.run(_run_in_notebook(workflow)),
}


async def _run_in_notebook(workflow: Workflow) -> Any:
    return workflow.run(QUESTION)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", RUNS)
def test_run_and_arun_give_the_result(way: str, model: Model, server: OpenAIServer) -> None:
    workflow = program(model(server))
    result = RUNS[way](workflow)
    assert result == "agent-stop"
    assert result.text == ANSWER
    assert result.error is None
    assert result.usage.model_dump() == workflow.conversation.metrics
    check_conversation(workflow)


@pytest.mark.parametrize("model", MODELS)
def test_the_service_is_asked_as_it_documents_it(model: Model, server: OpenAIServer) -> None:
    program(model(server)).run(QUESTION)
    router, first, second, third, last = [request.body for request in server.requests]
    azure = model is azure_model
    paths = {request.path for request in server.requests}
    assert paths == {"/openai/deployments/gpt-4o-mini/chat/completions" if azure else "/v1/chat/completions"}
    assert server.requests[0].query == ({"api-version": "2024-08-01-preview"} if azure else {})
    assert all(body["stream"] is True for body in (router, first, second, third, last))
    schema = router["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["agent_id"]["enum"] == ["agent1", "user"]
    assert "tools" not in router
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert [tool["function"]["name"] for tool in first["tools"]] == ["get_order_id", "get_delivery_date"]
    assert [message["role"] for message in third["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "tool",
    ]  # fmt: skip
    for answer, call in ((third["messages"][3], "call_1"), (third["messages"][5], "call_2")):
        assert answer["tool_call_id"] == call
    assert ANSWER in json.dumps(last["messages"])


def test_state_shows_the_routers_choices_too(server: OpenAIServer) -> None:
    markers = list(program(openai_model(server)).run_stream(QUESTION, state=True))
    choices = [content for mark, content in markers if mark == "state" and content["kind"] == "choice"]
    assert [choice["agent_id"] for choice in choices] == ["agent1", "user"]
    assert all(json.dumps(content) for _, content in markers)
    check([marker for marker in markers if marker[0] != "state"])


def test_the_run_is_the_same_again_from_its_items(server: OpenAIServer) -> None:
    workflow = program(openai_model(server))
    run = workflow.start(QUESTION)
    heard(run)
    assert Transcript().fold_all(run.items) == workflow.conversation.transcript


def test_a_second_question_goes_on_in_the_same_conversation(server: OpenAIServer) -> None:
    workflow = program(openai_model(server))
    check(list(workflow.run_stream(QUESTION)))
    # the conversation holds the date already, so that the router turns to the user at once
    markers = list(workflow.run_stream("Thank you."))
    assert markers == [("start", "team"), ("end", "team"), ("result", "agent-stop")]
    assert [message.text for message in workflow.conversation] == [QUESTION, ANSWER, "Thank you."]


def test_the_marks_know_where_they_stand(server: OpenAIServer) -> None:
    for mark, content in program(openai_model(server)).run_stream(QUESTION):
        if mark == "result":
            assert mark.path == ()
        elif content == "team":
            assert mark.path == ("team",)
        else:
            assert mark.path == ("team", "agent1")


def test_what_was_sent_is_heard_before_anything_more_is_sent() -> None:
    pauses = range(1, 6)
    answer: Any = Reply("one two three four", calls=())
    for after in pauses:
        answer = Paused(after, answer)
    with OpenAIServer([answer]) as server:
        markers = Workflow(Agent("a", openai_model(server))).run_stream("Hi")
        assert next(markers) == ("start", "a")
        for count in pauses:
            assert next(markers)[0] == "delta"
            assert server.requests[0].events_sent == count  # the service waits here for `release`
            server.release()
        assert [mark for mark, _ in markers] == ["delta", "response", "end", "result"]
