"""The embedded server, over real loopback HTTP, with the real client."""

import asyncio
import http.client
import json
import math
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from pydantic import BaseModel

from rxagents.errors import ConfigurationError
from rxagents.llm.replies import Call, Reply, request_text
from rxagents.llm.scripts import Rule
from rxagents.testing.server.faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from rxagents.testing.server.openai_server import OpenAIServer
from rxagents.testing.server.scenarios import default_scenario, echo_scenario, order_scenario
from rxagents.values import delta

SOON = 20.0
ASK = {"model": "gpt-test", "messages": [{"role": "user", "content": "Hello there"}]}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_order_id", "get_delivery_date")
]


@contextmanager
def serving(script, **options):
    """A running server and a client of it that does not retry."""
    with (
        OpenAIServer(script, **options) as server,
        OpenAI(base_url=server.base_url, api_key="k1", max_retries=0) as client,
    ):
        yield server, client


def streamed(client, **more):
    with client.chat.completions.create(**ASK, stream=True, **more) as stream:
        return list(stream)


def texts(chunks):
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]


@pytest.mark.parametrize("burst", [False, True])
def test_a_text_streams_token_by_token(burst):
    with serving(["Hello, you."], burst=burst) as (server, client):
        chunks = streamed(client)
        assert texts(chunks) == ["", "Hello", ",", " you", ".", None]
        assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * 5]
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * 5, "stop"]
        assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
            ("chatcmpl-1", "gpt-test", "chat.completion.chunk")
        }
        [request] = server.requests
        assert request.completed
        assert request.events_sent == 7


def test_the_usage_comes_in_a_chunk_without_choices_if_asked_for():
    with serving(["Hello.", "Hello."]) as (_, client):
        assert all(chunk.usage is None for chunk in streamed(client))
        *others, last = streamed(client, stream_options={"include_usage": True})
        assert last.choices == []
        assert (last.usage.completion_tokens, last.usage.prompt_tokens, last.usage.total_tokens) == (2, 2, 4)
        assert all(chunk.usage is None for chunk in others)


def test_tool_calls_stream_in_fragments():
    calls = [Call("get_order_id"), Call("get_delivery_date", {"order_id": "214"})]
    with serving([calls]) as (_, client):
        chunks = streamed(client, tools=TOOLS)
    fragments = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks[:-1]]
    assert [(f.index, f.id, f.type, f.function.name) for f in fragments if f.id] == [
        (0, "call_1", "function", "get_order_id"),
        (1, "call_2", "function", "get_delivery_date"),
    ]
    assert [f.function.arguments for f in fragments if f.index == 1] == [
        *("", '{"', "order", "_id", '":"', "214", '"}')
    ]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_without_stream_there_is_one_document():
    with serving([Reply("Let me look.", [Call("look", {"a": 1})]), "Hi.", Reply(refusal="No.")]) as (
        _,
        client,
    ):
        first, second, third = (client.chat.completions.create(**ASK) for _ in range(3))
    [choice] = first.choices
    assert (choice.message.content, choice.finish_reason) == ("Let me look.", "tool_calls")
    assert choice.message.tool_calls[0].function.arguments == '{"a":1}'
    assert (second.choices[0].message.content, second.choices[0].message.tool_calls) == ("Hi.", None)
    assert second.usage.total_tokens == 4
    assert (third.choices[0].message.content, third.choices[0].message.refusal) == (None, "No.")


def test_what_a_provider_adds_is_sent_too():
    deltas = [delta(reasoning="Hm."), delta("Yes"), delta()]
    with serving([Reply(deltas=deltas), Reply(deltas=deltas)]) as (_, client):
        assert streamed(client)[0].choices[0].delta.reasoning == "Hm."
        assert client.chat.completions.create(**ASK).choices[0].message.reasoning == "Hm."


class Choice(BaseModel):
    agent_id: str
    reason: str


def test_structured_output_is_parsed_by_the_client():
    with serving([{"agent_id": "agent1", "reason": "It knows."}]) as (server, client):
        answer = client.chat.completions.parse(**ASK, response_format=Choice)
        assert answer.choices[0].message.parsed == Choice(agent_id="agent1", reason="It knows.")
        assert server.requests[0].body["response_format"]["json_schema"]["name"] == "Choice"


def test_an_asyncio_client_streams_and_two_connections_are_served_at_once():
    async def main(server):
        async with AsyncOpenAI(base_url=server.base_url, api_key="k1", max_retries=0) as client:
            first = await client.chat.completions.create(**ASK, stream=True)
            second = await client.chat.completions.create(**ASK, stream=True)
            assert server.open_connections == 2
            heard = [[c async for c in second], [c async for c in first]]
            return [texts(chunks) for chunks in heard]

    def answer(body):
        # The first answer goes on only when the second has been asked for.
        if len(server.requests) == 1:
            return Paused(1, "one")
        server.requests[0].release()
        return "two"

    with OpenAIServer(answer) as server:
        assert asyncio.run(main(server)) == [["", "two", None], ["", "one", None]]


def test_azure_clients_name_the_deployment_in_the_path():
    async def main(server):
        async with AsyncAzureOpenAI(
            azure_endpoint=server.azure_endpoint,
            azure_deployment="my-gpt",
            api_key="k1",
            api_version="2024-10-21",
        ) as client:
            stream = await client.chat.completions.create(**ASK, stream=True)
            return [chunk async for chunk in stream]

    with OpenAIServer(["Hello"], api_keys={"k1"}) as server:
        assert texts(asyncio.run(main(server))) == ["", "Hello", None]
        [request] = server.requests
        assert request.path == "/openai/deployments/my-gpt/chat/completions"
        assert request.query == {"api-version": "2024-10-21"}
        assert request.headers["api-key"] == "k1"


def test_models_are_listed():
    with serving([], models=("one", "two")) as (_, client):
        assert [model.id for model in client.models.list()] == ["one", "two"]


def test_an_unknown_path_is_404():
    with serving([]) as (_, client):
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            client.embeddings.create(model="any", input="text")
        with pytest.raises(openai.NotFoundError, match="api-version"):
            client.with_options(
                base_url=str(client.base_url).replace("v1", "openai/deployments/x")
            ).chat.completions.create(**ASK)


def test_a_wrong_key_is_401():
    with (
        OpenAIServer([], api_keys={"k1"}) as server,
        OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="API key") as caught,
    ):
        client.chat.completions.create(**ASK)
    assert caught.value.body["type"] == "invalid_request_error"
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}])
def test_without_a_key_it_is_401_whichever_keys_are_taken(headers):
    with OpenAIServer([]) as server:
        answer = httpx2.post(f"{server.base_url}/chat/completions", headers=headers, json=ASK)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/v1/chat/completions", b"", 405),
        ("POST", "/v1/models", b"{}", 405),
        ("POST", "/v1/chat/completions", b"{not json", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b'{"model": "any"}', 400),
        ("POST", "/v1/chat/completions", b'{"messages": []}', 400),
        ("GET", "/", b"", 404),
    ],
)
def test_other_requests_are_refused_in_openais_json(method, path, content, status):
    with OpenAIServer([]) as server:
        answer = httpx2.request(
            method,
            server.azure_endpoint + path,
            headers={"Authorization": "Bearer k1"},
            content=content,
        )
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_http_fault_has_its_status_and_headers():
    fault = HTTPFault(429, "Slow down", {"Retry-After": "7"}, code="rate_limit_exceeded")
    with serving([fault]) as (_, client):
        with pytest.raises(openai.RateLimitError, match="Slow down") as caught:
            streamed(client)
        assert caught.value.response.headers["retry-after"] == "7"
        assert caught.value.code == "rate_limit_exceeded"


def test_the_clients_retries_get_the_next_answer():
    fault = HTTPFault(429, "Slow down", {"retry-after-ms": "1"})
    with serving([fault, "Hello"]) as (server, client):
        assert texts(streamed(client.with_options(max_retries=1))) == ["", "Hello", None]
        assert len(server.requests) == 2


def test_exceptions_and_exhausted_scripts_are_http_errors():
    with serving([RuntimeError("broken")]) as (_, client):
        with pytest.raises(openai.InternalServerError, match="RuntimeError: broken"):
            streamed(client)
        with pytest.raises(openai.BadRequestError, match=r"1 replies.*Hello there"):
            streamed(client)
    with (
        serving([Dropped(1, HTTPFault(500, "no"))]) as (_, client),
        pytest.raises(openai.BadRequestError, match="HTTPFault"),
    ):
        streamed(client)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("burst", [False, True])
@pytest.mark.parametrize("after", [0, 2, 99])
def test_a_dropped_connection_breaks_the_stream_after_n_chunks(after, burst, reset):
    with serving([Paused(after, Dropped(after, "one two", reset=reset))], burst=burst) as (server, client):
        chunks = []
        with client.chat.completions.create(**ASK, stream=True) as stream:
            # The client stops reading at [DONE]; what follows it shows only on the connection.
            lines = stream.response.iter_lines()
            chunks += (next(lines) for _ in range(2 * min(after, 5)))
            server.release()
            with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
                list(lines)
        assert len([line for line in chunks if line.startswith("data: ")]) == min(after, 5)
        [request] = server.requests
        assert request.wait_closed(SOON)
        assert not request.completed
        assert request.events_sent == min(after, 5)


def test_a_malformed_chunk_stands_among_the_others():
    with (
        serving([Malformed(2, "one two")]) as (_, client),
        client.chat.completions.create(**ASK, stream=True) as stream,
    ):
        lines = [line for line in stream.response.iter_lines() if line]
    assert len(lines) == 6
    assert lines.index("data: {not json") == 2
    assert lines[-1] == "data: [DONE]"


def test_a_raw_body_is_sent_as_it_is():
    body = b': hello\r\n\r\ndata: {"a":1}\n\ndata: [DONE]'
    with serving([Raw(body), Paused(1, Raw(body))]) as (server, client):
        with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
            assert response.read() == body
        with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
            pieces = response.iter_bytes()
            assert next(pieces) == b": hello\r\n\r\n"
            server.release()
            assert b"".join(pieces) == b'data: {"a":1}\n\ndata: [DONE]'
        assert [request.events_sent for request in server.requests] == [3, 3]


def test_a_paused_answer_goes_on_when_released():
    with serving([Paused(2, Paused(3, "one two"))]) as (server, client):
        with client.chat.completions.create(**ASK, stream=True) as stream:
            chunks = [next(stream), next(stream)]
            [request] = server.requests
            assert (request.events_sent, request.completed) == (2, False)
            server.release()
            chunks.append(next(stream))
            assert request.events_sent == 3
            request.release()
            chunks += stream
        assert texts(chunks) == ["", "one", " two", None]
        assert request.completed


@pytest.mark.parametrize("fault", [Paused(2, "one two"), Stalled(2, "one two")])
def test_the_server_notices_that_the_client_has_left(fault):
    with serving([fault]) as (server, client):
        stream = client.chat.completions.create(**ASK, stream=True)
        assert texts([next(stream), next(stream)]) == ["", "one"]
        [request] = server.requests
        assert not request.closed.is_set()
        stream.close()
        assert request.wait_closed(SOON)
        assert server.open_connections == 0
        assert request.closed_at >= request.started_at
        server.release()
        assert (request.events_sent, request.completed) == (2, False)


def test_the_server_notices_that_an_asyncio_client_has_left():
    async def main(server):
        async with AsyncOpenAI(base_url=server.base_url, api_key="k1", max_retries=0) as client:
            stream = await client.chat.completions.create(**ASK, stream=True)
            await anext(stream)
            await stream.close()
            return await asyncio.to_thread(server.requests[0].wait_closed, SOON)

    with OpenAIServer([Paused(1, "one two")]) as server:
        assert asyncio.run(main(server))


def test_a_client_may_leave_in_the_midst_of_a_delay():
    with serving(["one two"], delay=3600.0) as (server, client):
        stream = client.chat.completions.create(**ASK, stream=True)
        assert texts([next(stream)]) == [""]
        stream.close()
        assert server.requests[0].wait_closed(SOON)
        assert server.requests[0].events_sent == 1


def test_stop_ends_what_stalls():
    with serving([Stalled(1, "one")]) as (server, client):
        threads = threading.active_count()
        stream = client.chat.completions.create(**ASK, stream=True)
        next(stream)
        server.stop()
        assert threading.active_count() == threads - 1
        assert server.requests[0].closed.is_set()
        assert server.open_connections == 0
        with pytest.raises(openai.APIConnectionError):
            next(stream)
        server.release()


def raw_connection(server):
    host, port = server.azure_endpoint.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=SOON)


def raw_request(body, header):
    content = json.dumps(body).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer k1\r\n"
        b"%b\r\ncontent-length: %d\r\n\r\n%b" % (header, len(content), content)
    )


def test_stop_does_not_wait_for_a_client_that_does_not_read():
    more_than_sockets_hold = Raw(b"x" * 50_000_000)
    with OpenAIServer([more_than_sockets_hold]) as server, raw_connection(server) as client:
        client.sendall(raw_request(ASK | {"stream": True}, b"connection: close"))
        assert client.recv(1) == b"H"
        server.stop()
        assert server.requests[0].closed.is_set()


def test_a_connection_is_used_again():
    with serving(["one", "two", HTTPFault(400, "no"), "three"]) as (server, client):
        # The client's own Stream closes its connection at [DONE], unread to the end of the body.
        create = client.chat.completions.with_streaming_response.create
        with create(**ASK, stream=True) as response:
            assert response.read().endswith(b"data: [DONE]\n\n")
        client.chat.completions.create(**ASK)
        with pytest.raises(openai.BadRequestError):
            streamed(client)
        client.chat.completions.create(**ASK)
        assert server.open_connections == 1
        assert not any(request.closed.is_set() for request in server.requests)
        client.close()
        assert all(request.wait_closed(SOON) for request in server.requests)
        assert server.open_connections == 0


def plain_connection(server):
    return http.client.HTTPConnection(server.azure_endpoint.removeprefix("http://"), timeout=SOON)


def test_a_chunked_request_body_is_understood():
    with OpenAIServer(["Hello", "again"]) as server:
        connection = plain_connection(server)
        for text in ("Hello", "again"):
            pieces = [json.dumps(ASK).encode()[:20], json.dumps(ASK).encode()[20:]]
            connection.request(
                "POST",
                "/v1/chat/completions",
                body=iter(pieces),
                headers={"Authorization": "Bearer k1", "Transfer-Encoding": "chunked"},
                encode_chunked=True,
            )
            answer = json.load(connection.getresponse())
            assert answer["choices"][0]["message"]["content"] == text
        connection.close()
        assert [request.body for request in server.requests] == [ASK, ASK]


def test_connection_close_is_honoured():
    with OpenAIServer(["Hello"]) as server:
        answer = httpx2.post(
            f"{server.base_url}/chat/completions",
            headers={"Authorization": "Bearer k1", "Connection": "close"},
            json=ASK,
        )
        assert answer.headers["connection"] == "close"
        assert server.requests[0].wait_closed(SOON)


def test_a_request_that_comes_while_the_other_is_answered_is_kept():
    request = raw_request(ASK, b"expect: 100-continue")
    with OpenAIServer([Paused(0, "one"), "two"]) as server, raw_connection(server) as client:
        client.sendall(request)
        assert server.wait_for_requests(1, SOON)
        client.sendall(request)
        server.release()
        assert server.wait_for_requests(2, SOON)
        received = b""
        while received.count(b"\r\n0\r\n\r\n") < 2:
            received += client.recv(65536)
    assert received.count(b"100 Continue") == 2
    assert received.index(b'"one"') < received.index(b'"two"')


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_http_is_400_and_the_end(request_bytes):
    with OpenAIServer([]) as server, raw_connection(server) as client, client.makefile("rb") as answer:
        client.sendall(request_bytes)
        assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n"


def test_many_connections_at_once():
    with serving(lambda body: request_text(body)) as (server, client), ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda _: "".join(t or "" for t in texts(streamed(client))), range(16)))
        assert heard == ["Hello there"] * 16
        assert len(server.requests) == 16
    assert server.open_connections == 0


def test_start_and_stop_and_start_again():
    server = OpenAIServer(["one", "two"])
    with pytest.raises(ConfigurationError, match="start"):
        _ = server.base_url
    server.stop()
    for text in ("one", "two"):
        assert server.start() is server
        with pytest.raises(ConfigurationError, match="already"):
            server.start()
        with OpenAI(base_url=server.base_url, api_key="k1") as client:
            assert texts(streamed(client))[1] == text
        server.stop()
        server.stop()


def test_a_port_that_is_taken_is_a_configuration_error():
    with OpenAIServer([]) as server:
        port = int(server.azure_endpoint.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=str(port)):
            OpenAIServer([], port=port).start()


def test_waiting_for_requests_ends_in_time():
    with OpenAIServer([]) as server:
        assert server.wait_for_requests(0, 0.0)
        assert not server.wait_for_requests(1, 0.0)


# --- the scenarios ---


def routing(text, members=("agent1", "user"), name="agent_choice"):
    schema = {"type": "object", "properties": {"agent_id": {"enum": list(members)}}}
    return {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema}},
    }


def chosen(client, request):
    return json.loads(client.chat.completions.create(**request).choices[0].message.content)["agent_id"]


def test_the_order_scenario_plays_the_agent_with_its_tools():
    messages = [{"role": "user", "content": "Which is expected delivery date for my order?"}]
    heard = []
    with serving(order_scenario()) as (_, client):
        for result in ("214", "2022-01-01", None):
            stream = client.chat.completions.create(
                model="gpt-test", messages=messages, tools=TOOLS, stream=True
            )
            with stream:
                fragments = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
            if result is None:
                break
            function = {
                "name": fragments[0].function.name,
                "arguments": "".join(f.function.arguments for f in fragments),
            }
            heard.append([f.function.arguments for f in fragments])
            call = {"id": fragments[0].id, "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        answer = client.chat.completions.create(model="gpt-test", messages=messages, tools=TOOLS)
    assert heard == [["", "{}"], ["", '{"', "order", "_id", '":"', "214", '"}']]
    assert answer.choices[0].message.content == (
        "The expected delivery date for your order 214 is 2022-01-01."
    )


def test_a_new_question_of_the_order_scenario_begins_anew():
    messages = [
        {"role": "user", "content": "Which date?"},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "get_order_id"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "214"},
        {"role": "assistant", "content": "2022-01-01"},
        {"role": "user", "content": "And for my other order?"},
    ]
    with serving(order_scenario()) as (_, client):
        answer = client.chat.completions.create(model="gpt-test", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_order_id"


def test_the_router_of_the_order_scenario_waits_for_the_date():
    with serving(order_scenario()) as (_, client):
        assert chosen(client, routing("Which date?")) == "agent1"
        assert chosen(client, routing("Which date?", ("user", "clerk"))) == "clerk"
        assert chosen(client, routing("It is 2022-01-01.")) == "user"
        assert chosen(client, routing("It is 2022-01-01.", ("agent1", "agent2"))) == "agent1"
        assert chosen(client, routing("Which date?", ("user",))) == "user"


def test_a_router_without_structured_output_is_recognised_by_its_system_message():
    system = {"role": "system", "content": "Answer with the agent_id of the next speaker."}
    with serving(order_scenario("clerk", "guest")) as (_, client):
        for text, expected in (("Which date?", "clerk"), ("It is 2022-01-01.", "guest")):
            messages = [system, {"role": "user", "content": text}]
            assert chosen(client, {"model": "gpt-test", "messages": messages}) == expected


def test_scenarios_compose_with_rules_of_ones_own():
    own = Rule(lambda body: "weather" in request_text(body), "Sunny.")
    with serving([own, *order_scenario()]) as (_, client):
        messages = [{"role": "user", "content": "How is the weather?"}]
        answer = client.chat.completions.create(model="gpt-test", messages=messages)
        assert answer.choices[0].message.content == "Sunny."
        with pytest.raises(openai.BadRequestError, match="3 rules fits"):
            client.chat.completions.create(**ASK)


@pytest.mark.parametrize("scenario", [echo_scenario, default_scenario])
def test_the_echo_answers_what_no_other_rule_does(scenario):
    with serving(scenario()) as (_, client):
        answer = client.chat.completions.create(**ASK).choices[0].message.content
        assert answer == 'You said: "Hello there".'
        assert chosen(client, routing("Hello there")) == "agent1"
        assert chosen(client, routing(answer)) == "user"


def test_the_default_scenario_plays_the_order_team_too():
    with serving(default_scenario()) as (_, client):
        answer = client.chat.completions.create(**ASK, tools=TOOLS)
        assert answer.choices[0].message.tool_calls[0].function.name == "get_order_id"
        assert chosen(client, routing("It is 2022-01-01.")) == "user"


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, "soon"])
def test_a_delay_is_a_number_of_seconds(delay: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`delay` is a number of seconds, 0 or more, not"):
        OpenAIServer([], delay=delay)
