"""The embedded server over the Responses API, on real loopback HTTP, with the real client."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path

import httpx2
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from pydantic import BaseModel

from rxagents.llm.replies import Call, Reply
from rxagents.llm.scripts import Rule
from rxagents.testing.server.faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from rxagents.testing.server.openai_server import OpenAIServer
from rxagents.testing.server.scenarios import default_scenario, order_scenario
from rxagents.values import Usage, delta

SOON = 20.0
ASK = {"model": "gpt-test", "input": "Hello there"}
CHAT = {"model": "gpt-test", "messages": [{"role": "user", "content": "Hello there"}]}
TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, "strict": False}
    for name in ("get_order_id", "get_delivery_date")
]
KEY = {"Authorization": "Bearer k1"}
RECORDED = Path(__file__).parent.parent.parent / "shared" / "recorded" / "responses"


@contextmanager
def serving(script, **options):
    """A running server and a client of it that does not retry."""
    with (
        OpenAIServer(script, **options) as server,
        OpenAI(base_url=server.base_url, api_key="k1", max_retries=0) as client,
    ):
        yield server, client


def streamed(client, **more):
    with client.responses.create(**{**ASK, "stream": True, **more}) as stream:
        return list(stream)


def kinds(events):
    return [event.type.removeprefix("response.") for event in events]


def texts(events):
    return [event.delta for event in events if event.type == "response.output_text.delta"]


BEGIN = ["created", "in_progress", "output_item.added", "content_part.added"]
END = ["content_part.done", "output_item.done", "completed"]


@pytest.mark.parametrize("burst", [False, True])
def test_a_text_streams_token_by_token(burst):
    with serving(["Hello, you."], burst=burst) as (server, client):
        events = streamed(client)
        assert kinds(events) == [*BEGIN, *["output_text.delta"] * 4, "output_text.done", *END]
        assert texts(events) == ["Hello", ",", " you", "."]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].response.output_text == "Hello, you."
        [request] = server.requests
        assert request.completed
        assert request.body == {**ASK, "stream": True}
        # the opening, four tokens, the closing, the end
        assert request.events_sent == 7


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded streams in {RECORDED}")
@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("responses_stream-1", Reply(tokens=["a"] * 7)),
        ("phase_streamed", Reply(tokens=["a"] * 13, calls=[Call("x", fragments=["a"] * 7)])),
    ],
)
def test_the_events_are_those_of_the_real_service(name, reply):
    [path] = [path for path in RECORDED.iterdir() if name in path.name]
    body = json.loads(path.read_text(encoding="utf-8"))["body"]
    real = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    real = [event for event in real if event.get("item", {}).get("type") != "reasoning"]
    with serving([reply]) as (_, client):
        own = [event.to_dict() for event in streamed(client)]
    assert [event["type"] for event in own] == [event["type"] for event in real]
    for ours, theirs in zip(own, real, strict=True):
        assert ours.keys() - {"sequence_number", "logprobs"} <= theirs.keys()
        for part in ("item", "part", "response"):
            assert ours.get(part, {}).keys() - {"background", "logprobs"} <= theirs.get(part, {}).keys()


def test_calls_stream_in_fragments():
    calls = [Call("get_order_id"), Call("get_delivery_date", {"order_id": "214"})]
    with serving([calls]) as (_, client):
        events = streamed(client, tools=TOOLS)
    added = [event.item for event in events if event.type == "response.output_item.added"]
    assert [(item.type, item.call_id, item.name, item.arguments) for item in added] == [
        ("function_call", "call_1", "get_order_id", ""),
        ("function_call", "call_2", "get_delivery_date", ""),
    ]
    pieces = [e for e in events if e.type == "response.function_call_arguments.delta"]
    assert [e.delta for e in pieces if e.output_index == 1] == ['{"', "order", "_id", '":"', "214", '"}']
    assert {e.item_id for e in pieces if e.output_index == 1} == {added[1].id}
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [(item.arguments, item.status) for item in done] == [
        ("{}", "completed"),
        ('{"order_id":"214"}', "completed"),
    ]


def output_of(client, **more):
    """The output by the client's accumulation of a stream, which must agree with the whole document."""
    with client.responses.stream(**ASK, **more) as stream:
        final = stream.get_final_response()
    document = client.responses.create(**ASK, **more)

    def plain(response):
        items = [item.to_dict() for item in response.output]
        for item in items:
            item.pop("id")
            item.pop("parsed_arguments", None)
            for part in item.get("content") or ():
                part.pop("parsed", None)
        return items

    assert plain(final) == plain(document)
    assert final.usage == document.usage
    assert final.status == document.status == "completed"
    return plain(document)


def test_a_reply_is_the_same_streamed_and_whole():
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    script = {
        "text": Reply("Let me look.", [Call("look", {"a": 1}, id="c1")]),
        "refusal": Reply(refusal="No."),
        "more": Reply(
            deltas=[
                delta(reasoning="Hm, "),
                delta(reasoning="well."),
                delta(output_items=[thought]),
                delta(web_search_call=search, output_items=[search]),
                delta("Yes"),
                delta(annotations=[cited]),
                delta(refusal="No."),
                delta(),
            ]
        ),
        "raw": Reply(deltas=[delta(reasoning_content="Hm"), delta(output_items=[{**thought, "id": "r"}])]),
    }
    seen = {}
    for name, reply in script.items():
        with serving(lambda body, reply=reply: reply) as (_, client):
            seen[name] = output_of(client)
    [said, called] = seen["text"]
    assert said["content"] == [
        {"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}
    ]
    assert (called["call_id"], called["name"], called["arguments"]) == ("c1", "look", '{"a":1}')
    assert seen["refusal"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert [item["type"] for item in seen["more"]] == ["reasoning", "web_search_call", "message"]
    assert seen["more"][0]["summary"] == [{"type": "summary_text", "text": "Hm, well."}]
    assert seen["more"][0]["encrypted_content"] == "gAAA"
    parts = seen["more"][2]["content"]
    assert parts[0]["annotations"] == [cited]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]
    assert seen["raw"][0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_thoughts_are_told_of_in_their_own_events():
    with serving([Reply(deltas=[delta(reasoning="Hm"), delta(reasoning_content="so")])]) as (_, client):
        assert kinds(streamed(client))[2:-1] == [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_text.done",
            "output_item.done",
        ]


def test_usage_and_parameters_are_in_the_response():
    usage = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
    with serving([Reply("Hi", usage=usage)]) as (_, client):
        response = client.responses.create(
            **ASK, instructions="Be brief.", temperature=0.5, tools=TOOLS, store=False
        )
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (
        3,
        4,
        7,
    )
    assert (response.id, response.model, response.object) == ("resp_1", "gpt-test", "response")
    assert (response.instructions, response.temperature, response.store) == ("Be brief.", 0.5, False)
    assert [tool.name for tool in response.tools] == ["get_order_id", "get_delivery_date"]


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_is_incomplete(reason, told):
    reply = Reply("Too long", finish_reason=reason)
    with serving([reply, reply]) as (_, client):
        last = streamed(client)[-1]
        assert last.type == "response.incomplete"
        for response in (last.response, client.responses.create(**ASK)):
            assert (response.status, response.incomplete_details.reason) == ("incomplete", told)
            assert response.output[-1].status == "incomplete"
            assert response.output_text == "Too long"


def test_an_answer_in_the_background_is_queued_first():
    with serving(["Hi"]) as (_, client):
        events = streamed(client, background=True)
    assert kinds(events)[:3] == ["created", "queued", "in_progress"]
    assert [event.response.status for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert events[-1].response.background is True


class Choice(BaseModel):
    agent_id: str
    reason: str


def test_structured_output_is_parsed_by_the_client():
    with serving([{"agent_id": "agent1", "reason": "It knows."}]) as (server, client):
        answer = client.responses.parse(**ASK, text_format=Choice)
        assert answer.output_parsed == Choice(agent_id="agent1", reason="It knows.")
        assert server.requests[0].body["text"]["format"]["name"] == "Choice"


# What scripts get to see.


def seen(body):
    bodies = []

    def answer(each):
        bodies.append(each)
        return "Hi."

    with serving(answer) as (_, client):
        client.responses.create(**{"model": "gpt-test", **body})
    return bodies[0]


def test_scripts_see_a_chat_completion_that_asks_for_the_same():
    function = {"type": "function", "name": "look", "parameters": {}, "strict": True}
    body = seen(
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
                {"type": "function_call_output", "call_id": "c1", "output": [TEXT]},
                {"type": "message", "role": "assistant", "phase": "final_answer", "content": [
                    {"type": "output_text", "text": "42."}, {"type": "refusal", "refusal": "No."}]},
            ],
            "tools": [function, {"type": "web_search"}],
            "tool_choice": {"type": "function", "name": "look"},
            "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "a", "schema": {}}},
            "reasoning": {"effort": "low"},
            "max_output_tokens": 5,
            "temperature": 0,
        }
    )  # fmt: skip
    assert body == {
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"arguments": "{}", "name": "look"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
                ],
                "output_items": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "42."}],
                "refusal": "No.",
                "phases": ["final_answer"],
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "parameters": {}, "strict": True}},
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "reasoning_effort": "low",
        "max_completion_tokens": 5,
        "temperature": 0,
    }


def test_plain_input_is_the_users():
    assert seen({"input": "Hi"})["messages"] == [{"role": "user", "content": "Hi"}]
    parts = [
        {"type": "input_image", "image_url": "http://a", "detail": "low"},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}},
    ]
    assert seen({"input": [{"role": "user", "content": parts}]})["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "http://a", "detail": "low"}},
        {"type": "file", "file": {"file_id": "f"}},
        parts[2],
    ]


def test_the_order_scenario_plays_the_agent_with_its_tools():
    items = [{"role": "user", "content": "Which is expected delivery date for my order?"}]
    heard = []
    with serving(order_scenario()) as (_, client):
        for result in ("214", "2022-01-01"):
            with client.responses.stream(model="gpt-test", input=items, tools=TOOLS) as stream:
                [call] = stream.get_final_response().output
            heard.append((call.name, call.arguments))
            items += [
                {
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                },
                {"type": "function_call_output", "call_id": call.call_id, "output": result},
            ]
        answer = client.responses.create(model="gpt-test", input=items, tools=TOOLS)
    assert heard == [("get_order_id", "{}"), ("get_delivery_date", '{"order_id":"214"}')]
    assert answer.output_text == "The expected delivery date for your order 214 is 2022-01-01."


def test_the_default_scenario_routes_and_echoes():
    schema = {"type": "object", "properties": {"agent_id": {"enum": ["clerk", "user"]}}}
    form = {"type": "json_schema", "name": "agent_choice", "schema": schema}
    with serving(default_scenario()) as (_, client):
        assert client.responses.create(**ASK).output_text == 'You said: "Hello there".'
        chosen = client.responses.create(**ASK, text={"format": form}).output_text
    assert json.loads(chosen)["agent_id"] == "clerk"


def test_one_script_answers_both_apis():
    with serving([Rule(lambda body: body["messages"][-1]["content"] == "Hello there", "Hi.")]) as (_, client):
        assert client.responses.create(**ASK).output_text == "Hi."
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "Hi."


def test_ids_of_calls_go_on_over_both_apis():
    with serving([Call("a"), Call("a")]) as (_, client):
        assert client.responses.create(**ASK).output[0].call_id == "call_1"
        [call] = client.chat.completions.create(**CHAT).choices[0].message.tool_calls
        assert call.id == "call_2"


# Paths and keys.


def test_azure_clients_name_the_deployment_in_the_body():
    async def main(server):
        async with AsyncAzureOpenAI(
            azure_endpoint=server.azure_endpoint,
            azure_deployment="my-gpt",
            api_key="k1",
            api_version="2025-04-01",
        ) as client:
            return await client.responses.create(model="my-gpt", input="Hi")

    with OpenAIServer(["Hello"], api_keys={"k1"}) as server:
        assert asyncio.run(main(server)).output_text == "Hello"
        [request] = server.requests
        assert (request.path, request.query) == ("/openai/responses", {"api-version": "2025-04-01"})


@pytest.mark.parametrize(
    ("method", "path", "key", "content", "status"),
    [
        ("GET", "/v1/responses", "k1", b"", 405),
        ("POST", "/v1/responses", "k1 k2", b"{}", 401),
        ("POST", "/v1/responses", "k2", b"{}", 401),
        ("POST", "/v1/responses", "k1", b"{not json", 400),
        ("POST", "/v1/responses", "k1", b"[]", 400),
        ("POST", "/openai/responses", "k1", b"{}", 404),
        ("GET", "/v1/responses/resp_1", "k1", b"", 404),
    ],
)
def test_other_requests_are_refused_in_openais_json(method, path, key, content, status):
    with OpenAIServer([], api_keys={"k1"}) as server:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx2.request(method, server.azure_endpoint + path, headers=headers, content=content)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


TEXT = {"type": "input_text", "text": "42"}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"model": None}, "model", "Missing required parameter: 'model'."),
        ({"input": None}, "input", 'One of "input" or'),
        ({"messages": []}, "messages", "this parameter has moved to 'input'"),
        ({"response_format": {}}, "response_format", "this parameter has moved to 'text.format'"),
        ({"max_tokens": 5}, "max_tokens", "this parameter has moved to 'max_output_tokens'"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "this parameter has moved to 'reasoning.effort'"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage", "Unknown parameter"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].name", "Missing required parameter"),
        ({"input": ["Hi"]}, "input[0]", "Invalid type"),
        ({"input": 5}, "input", "Invalid type for 'input'."),
        ({"input": {}}, "input", "Invalid type"),
        ({"tools": {"type": "web_search"}}, "tools", "Invalid type"),
        ({"tools": ["web_search"]}, "tools[0]", "Invalid type"),
        ({"text": "low"}, "text", "Invalid type"),
        ({"reasoning": "low"}, "reasoning", "Invalid type"),
        ({"stream_options": []}, "stream_options", "Invalid type"),
        ({"input": [{"role": "user", "content": ["Hi"]}]}, "input[0].content[0]", "Invalid type"),
        ({"input": [{"role": "tool", "content": "Hi"}]}, "input[0]", "Invalid value: 'tool'."),
        ({"input": [{"role": "user", "content": "Hi", "name": "bob"}]}, "input[0].name", "Unknown parameter"),
        ({"input": [{"role": "user", "content": "", "tool_calls": []}]}, "input[0].tool_calls", "Unknown"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content", "Invalid type"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "input[0].content[0]", "Invalid"),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text"}]}]},
            "input[0].content[0]",
            "Supported values are: 'output_text' and 'refusal'.",
        ),
        ({"input": [CALL]}, "input", "No tool output found for function call c1."),
        ({"input": [RESULT]}, "input", "No tool call found for function call output with call_id c1."),
    ],
)  # fmt: skip
def test_requests_in_another_form_are_refused_in_the_words_of_the_service(body, param, words):
    with serving(["Hi."]) as (server, client):
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/responses", body={**ASK, **body}, cast_to=object)
        assert (caught.value.param, words in str(caught.value)) == (param, True)
        assert client.responses.create(model="m", input=[CALL, RESULT]).output_text == "Hi."
        assert len(server.requests) == 2


# What goes wrong to order.


def test_an_http_fault_has_its_status_and_headers():
    fault = HTTPFault(429, "Slow down", {"Retry-After": "7"}, code="rate_limit_exceeded", param="input")
    with serving([fault]) as (_, client):
        with pytest.raises(openai.RateLimitError, match="Slow down") as caught:
            streamed(client)
        assert caught.value.response.headers["retry-after"] == "7"
        assert (caught.value.code, caught.value.param) == ("rate_limit_exceeded", "input")


def test_exceptions_and_exhausted_scripts_are_http_errors():
    with serving([RuntimeError("broken")]) as (_, client):
        with pytest.raises(openai.InternalServerError, match="RuntimeError: broken"):
            streamed(client)
        with pytest.raises(openai.BadRequestError, match=r"1 replies.*Hello there"):
            streamed(client)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("burst", [False, True])
@pytest.mark.parametrize("after", [0, 2, 99])
def test_a_dropped_connection_breaks_the_stream_after_n_increments(after, burst, reset):
    with serving([Paused(after, Dropped(after, "one two", reset=reset))], burst=burst) as (server, client):
        heard = []
        with client.responses.create(**ASK, stream=True) as stream:
            lines = stream.response.iter_lines()
            wanted = {0: 0, 2: 1, 99: 2}[after]
            while len(heard) < wanted:
                line = next(lines)
                if line.startswith("data: ") and '"response.output_text.delta"' in line:
                    heard.append(json.loads(line[6:])["delta"])
            server.release()
            with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
                list(lines)
        assert heard == ["one", " two"][:wanted]
        [request] = server.requests
        assert request.wait_closed(SOON)
        assert (request.completed, request.events_sent) == (False, min(after, 5))


@pytest.mark.parametrize("after", range(4))
def test_a_fault_comes_at_the_same_place_of_the_answer_over_both_apis(after):
    heard = []
    for path in ("chat/completions", "responses"):
        with OpenAIServer([Malformed(after, "one two")]) as server:
            body = {**(CHAT if path.startswith("chat") else ASK), "stream": True}
            answer = httpx2.post(f"{server.base_url}/{path}", headers=KEY, json=body)
            before = answer.text.partition("data: {not json\n\n")[0]
        heard.append([token for token in ("one", " two") if f'"{token}"' in before])
    assert heard[0] == heard[1] == ["one", " two"][: max(after - 1, 0)]


@pytest.mark.parametrize("fault", [Paused(2, "one two"), Stalled(2, "one two")])
def test_the_server_notices_that_the_client_has_left(fault):
    with serving([fault]) as (server, client):
        stream = client.responses.create(**ASK, stream=True)
        assert texts([next(stream) for _ in range(5)]) == ["one"]
        [request] = server.requests
        assert not request.closed.is_set()
        stream.close()
        assert request.wait_closed(SOON)
        server.release()
        assert (request.events_sent, request.completed) == (2, False)


def test_an_asyncio_client_goes_on_when_released():
    async def main(server):
        async with AsyncOpenAI(base_url=server.base_url, api_key="k1", max_retries=0) as client:
            stream = await client.responses.create(**ASK, stream=True)
            events = [await anext(stream) for _ in range(5)]
            server.release()
            return [*events, *[event async for event in stream]]

    with OpenAIServer([Paused(2, "one two")]) as server:
        assert texts(asyncio.run(main(server))) == ["one", " two"]


def test_a_raw_body_is_sent_as_it_is():
    body = b'event: response.created\ndata: {"type":"response.created"}\n\n: the end'
    with (
        serving([Raw(body)]) as (_, client),
        client.responses.with_streaming_response.create(**ASK, stream=True) as response,
    ):
        assert response.read() == body


def test_an_answer_of_no_increments_has_no_output():
    with serving([Reply(deltas=[]), Reply(deltas=[])]) as (_, client):
        assert kinds(streamed(client)) == ["created", "in_progress", "completed"]
        assert client.responses.create(**ASK).output == []
