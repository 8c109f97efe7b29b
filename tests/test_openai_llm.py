"""OpenAILLM over real loopback HTTP, against the embedded server and its faults."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import AsyncGenerator

import httpx2
import openai
import pytest
from openai import APITimeoutError, AsyncOpenAI, OpenAI
from pydantic import BaseModel

from rxagents.engine.bridges import forward
from rxagents.engine.loops import shared_loop
from rxagents.engine.tasks import cancelled_tasks_ended
from rxagents.errors import (
    ConfigurationError,
    ModelConnectionError,
    ModelProtocolError,
    ModelStatusError,
    ModelStreamError,
    ModelTimeoutError,
    RxAgentsError,
)
from rxagents.llm.clients import _close
from rxagents.llm.failures import model_error
from rxagents.llm.openai_chat import OpenAILLM
from rxagents.llm.replies import Call
from rxagents.llm.requests import LLM, ChatRequest, LLMConstraints
from rxagents.testing.server.faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from rxagents.testing.server.openai_server import OpenAIServer
from rxagents.values import Completion, Usage, delta

SOON = 20.0
ASK = ChatRequest(({"role": "user", "content": "Hello there"},), agent="agent1")
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
AT_ONCE = {"retry-after-ms": "1"}


pytestmark = pytest.mark.usefixtures("each_transport")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def model(server, **settings):
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="k1", **settings)


async def hear(source):
    """What a source emits, and the error that it ends with, if any."""
    items = []
    try:
        await forward(source, items.append)
    except RxAgentsError as error:
        return items, error
    return items, None


def ask(llm, request=ASK):
    return asyncio.run(hear(llm(request)))


def answer(llm, request=ASK):
    items, error = ask(llm, request)
    assert error is None
    return items


def texts(items):
    return [item["content"] for item in items if isinstance(item, dict)]


def answering(handler, **settings):
    """A model whose client is answered by a function instead of a server."""
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    client = AsyncOpenAI(
        api_key="k1", base_url="http://service.test/v1", http_client=http_client, max_retries=0
    )
    return OpenAILLM("gpt-test", client=client, **settings)


# What is emitted.


def test_the_deltas_come_in_order_and_the_completion_last():
    with OpenAIServer(["Hello, you."]) as server:
        items = answer(model(server))
    assert items == [
        {"content": content, "function_call": None, "refusal": None, "tool_calls": None}
        for content in ("", "Hello", ",", " you", ".", None)
    ] + [
        Completion(
            usage=Usage(completion_tokens=4, prompt_tokens=2, total_tokens=6),
            finish_reason="stop",
            model="gpt-test",
            request_id="req_chatcmpl-1",
        )
    ]
    assert list(items[0]) == ["content", "function_call", "refusal", "tool_calls"]


def test_tool_calls_come_in_fragments():
    with OpenAIServer([Call("look", {"a": 1})]) as server:
        *deltas, completion = answer(model(server), ChatRequest(ASK.messages, (TOOL,)))
    fragments = [item["tool_calls"][0] for item in deltas if item["tool_calls"]]
    assert fragments[0] == {
        "id": "call_1",
        "function": {"arguments": "", "name": "look"},
        "type": "function",
        "index": 0,
    }
    assert "".join(fragment["function"]["arguments"] for fragment in fragments) == '{"a":1}'
    assert completion.finish_reason == "tool_calls"
    assert server.requests[0].body["tools"] == [TOOL]
    assert "tool_choice" not in server.requests[0].body


def test_a_delta_is_emitted_before_the_next_one_is_sent():
    with OpenAIServer([Paused(2, "one two")]) as server:
        items = []

        async def main():
            def on_next(item):
                items.append(item)
                if len(items) == 2:
                    assert server.requests[0].events_sent == 2
                    server.release()

            await forward(model(server)(ASK), on_next)

        asyncio.run(main())
    assert texts(items) == ["", "one", " two", None]


def test_each_subscription_is_a_request_and_nothing_is_sent_before():
    with OpenAIServer(["One.", "Two."]) as server:
        observable = model(server)(ASK)
        assert server.requests == []
        assert texts(asyncio.run(hear(observable))[0]) == ["", "One", ".", None]
        assert texts(asyncio.run(hear(observable))[0]) == ["", "Two", ".", None]
        assert len(server.requests) == 2


def test_it_is_a_model():
    assert isinstance(OpenAILLM("gpt-test"), LLM)


# What is sent.


def sent(request=ASK, **settings):
    with OpenAIServer(["Hi."]) as server:
        answer(model(server, **settings), request)
    return server.requests[0].body


def test_the_body_is_the_request_with_the_model_streamed_and_with_usage():
    with OpenAIServer(["Hi."]) as server:
        answer(model(server))
    [request] = server.requests
    assert request.body == {
        "messages": [{"role": "user", "content": "Hello there"}],
        "model": "gpt-test",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer k1"
    assert request.headers["content-type"] == "application/json"


def test_parameters_of_the_request_win_over_those_of_the_model():
    request = ChatRequest(ASK.messages, params={"temperature": 0.5, "model": "gpt-other", "seed": None})
    body = sent(request, temperature=1, top_p=0.9, seed=7)
    assert (body["temperature"], body["top_p"], body["model"]) == (0.5, 0.9, "gpt-other")
    assert "seed" not in body


def test_a_zero_is_sent_and_what_is_not_given_is_not():
    body = sent(temperature=0, top_p=None, n=openai.NOT_GIVEN, user=openai.omit)
    assert body["temperature"] == 0
    assert not {"top_p", "n", "user"} & body.keys()


def test_the_temperature_of_the_constraints_wins_over_all():
    constraints = LLMConstraints(temperature=1.0)
    request = ChatRequest(ASK.messages, params={"temperature": 0.5})
    assert sent(request, temperature=0, constraints=constraints)["temperature"] == 1.0
    assert sent(constraints=constraints)["temperature"] == 1.0


def test_a_model_without_system_messages_gets_them_from_the_user():
    messages = ({"role": "system", "content": "Be brief."}, *ASK.messages)
    body = sent(ChatRequest(messages), constraints=LLMConstraints(system_message=False))
    assert [message["role"] for message in body["messages"]] == ["user", "user"]
    assert messages[0]["role"] == "system"


def test_a_model_without_structured_output_gets_no_response_format():
    request = ChatRequest(ASK.messages, response_format={"type": "json_object"})
    assert sent(request)["response_format"] == {"type": "json_object"}
    assert "response_format" not in sent(request, constraints=LLMConstraints(structured_output=False))


def test_what_is_only_allowed_with_tools_is_only_sent_with_tools():
    settings = {"tool_choice": "required", "parallel_tool_calls": False}
    assert not settings.keys() & sent(**settings).keys()
    with_tools = sent(ChatRequest(ASK.messages, (TOOL,)), **settings)
    assert settings.items() <= with_tools.items()


def test_stream_options_are_added_to_and_can_be_left_out():
    assert sent(stream_options={"include_obfuscation": False})["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in sent(stream_options=None)
    assert sent(stream=False)["stream"] is True


def test_any_text_is_sent_as_it_is_and_half_a_character_does_not_hurt():
    request = ChatRequest(
        ({"role": "user", "content": "Größe 😀 \u2028"}, {"role": "user", "content": "a\udc80"})
    )
    assert [message["content"] for message in sent(request)["messages"]] == ["Größe 😀 \u2028", "a?"]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"response_format": BaseModel}, "`response_format`"),
        ({"metadata": {"a": [1, {"b": object()}]}}, r"`metadata\.a\[1\]\.b`"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"metadata": {(1, 2): 3}}, "`metadata`"),
    ],
)
def test_what_is_no_json_is_named_before_anything_is_sent(params, place):
    with OpenAIServer([]) as server:
        items, error = ask(model(server, **params))
    assert items == []
    assert isinstance(error, ConfigurationError)
    with pytest.raises(ConfigurationError, match=place):
        raise error
    assert server.requests == []


def test_what_goes_round_in_a_circle_is_no_json():
    circle = []
    circle.append(circle)
    _, error = ask(OpenAILLM("gpt-test", api_key="k1", metadata=circle))
    assert "`metadata" in str(error)


# Settings.


def test_a_dict_gives_all_settings_and_arguments_beside_it_win():
    with OpenAIServer(["Hi.", "Hi."]) as server:
        config = {
            "model": "gpt-one",
            "base_url": server.base_url,
            "api_key": "k2",
            "temperature": 0.1,
            "constraints": LLMConstraints(system_message=False),
            "max_retries": 0,
            "top_p": 0.5,
        }
        llm = OpenAILLM(config)
        answer(llm)
        answer(OpenAILLM(config, temperature=0.9, top_p=None))
    first, second = (request.body for request in server.requests)
    assert (first["model"], first["temperature"], first["top_p"]) == ("gpt-one", 0.1, 0.5)
    assert (second["temperature"], "top_p" in second) == (0.9, False)
    assert server.requests[0].headers["authorization"] == "Bearer k2"
    assert llm.constraints == LLMConstraints(system_message=False)
    assert "max_retries" not in first
    assert config["model"] == "gpt-one"


def test_key_and_address_come_from_the_environment_at_the_first_request(monkeypatch):
    with OpenAIServer(["Hi."]) as server:
        llm = OpenAILLM("gpt-test")
        monkeypatch.setenv("OPENAI_API_KEY", "from-env")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        answer(llm)
    assert server.requests[0].headers["authorization"] == "Bearer from-env"


def test_a_key_may_be_an_async_function():
    async def key():
        return "made"

    with OpenAIServer(["Hi."]) as server:
        answer(OpenAILLM("gpt-test", base_url=server.base_url, api_key=key))
    assert server.requests[0].headers["authorization"] == "Bearer made"


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_named_at_the_first_request(key):
    _, error = ask(OpenAILLM("gpt-test", api_key=key))
    assert isinstance(error, ConfigurationError)
    assert "OPENAI_API_KEY" in str(error)
    assert "api_key" in str(error)


@pytest.mark.parametrize("key", ["k1\n", "schlüssel", " k1"])
def test_a_key_that_no_header_may_hold_is_refused_and_not_shown(key):
    _, error = ask(OpenAILLM("gpt-test", api_key=key))
    assert isinstance(error, ConfigurationError)
    assert key.strip() not in str(error)


@pytest.mark.parametrize("address", ["localhost:8000/v1", "http://host:none/v1", "/v1"])
def test_an_address_that_is_none_is_a_matter_of_configuration(address):
    llm = OpenAILLM("gpt-test", api_key="k1", base_url=address)
    _, error = ask(llm)
    assert isinstance(error, ConfigurationError)
    assert "gpt-test" in repr(llm)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "`model`"),
        ({"model": ""}, "`model`"),
        ({"model": {"temperature": 1}}, "`model`"),
        ({"model": 4}, "`model`"),
        ({"model": "m", "client": OpenAI(api_key="k1")}, "AsyncOpenAI"),
        ({"model": "m", "client": object()}, "AsyncOpenAI"),
        ({"model": "m", "client": AsyncOpenAI(api_key="k1"), "api_key": "k1"}, "`client`"),
        ({"model": "m", "client": AsyncOpenAI(api_key="k1"), "base_url": "http://a"}, "`client`"),
        ({"model": "m", "timeout": "long"}, "`timeout`"),
        ({"model": "m", "timeout": 0}, "`timeout`"),
        ({"model": "m", "max_retries": -1}, "`max_retries`"),
        ({"model": "m", "constraints": {"temperature": 1}}, "`constraints`"),
    ],
)
def test_wrong_settings_are_named_at_construction(arguments, named):
    with pytest.raises(ConfigurationError, match=named):
        OpenAILLM(**arguments)


def test_the_repr_shows_model_and_address_and_no_secret(monkeypatch):
    assert repr(OpenAILLM("m", api_key="sk-1")) == "OpenAILLM('m')"
    llm = OpenAILLM("m", api_key="sk-1", base_url="http://me:secret@host:8000/v1?key=sk-2")
    assert repr(llm) == "OpenAILLM('m', base_url='http://host:8000/v1')"
    client = AsyncOpenAI(api_key="sk-1", base_url="http://host/v1")
    assert repr(OpenAILLM("m", client=client)) == "OpenAILLM('m', base_url='http://host/v1/')"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert repr(OpenAILLM("m")) == "OpenAILLM('m', base_url='http://elsewhere/v1')"


def test_requests_and_answers_are_logged_without_key_and_content(caplog):
    caplog.set_level(logging.DEBUG, "rxagents.llm")
    with OpenAIServer(["Quite so.", HTTPFault(400, "Bad.")]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="sk-secret")
        answer(llm)
        ask(llm)
    records = [record for record in caplog.records if record.name == "rxagents.llm"]
    assert {record.levelname for record in records} == {"DEBUG"}
    lines = [record.getMessage() for record in records]
    assert lines[0] == "request: model gpt-test, 1 messages, agent agent1"
    assert lines[1].startswith("answer: model gpt-test, agent agent1, finish_reason stop, usage: ")
    assert "total_tokens=5" in lines[1]
    assert lines[3] == "failed: model gpt-test, agent agent1, BadRequestError"
    everything = "\n".join(lines)
    assert not any(secret in everything for secret in ("sk-secret", "Hello", "Quite"))


# Errors before the answer.


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "Incorrect API key provided."), (400, "No such parameter: 'x'."), (404, "No.")],
)
def test_a_refusal_is_passed_on_at_once_in_the_words_of_the_provider(status, message):
    fault = HTTPFault(status, message, {"x-request-id": "req_7"})
    with OpenAIServer([fault]) as server:
        items, error = ask(model(server))
    assert items == []
    assert isinstance(error, ModelStatusError)
    assert (str(error), error.status, error.request_id) == (message, status, "req_7")
    assert isinstance(error.__cause__, openai.APIStatusError)
    assert len(server.requests) == 1


def test_a_wrong_key_is_refused_by_the_service():
    with OpenAIServer(["Hi."], api_keys={"k2"}) as server:
        _, error = ask(model(server))
    assert (error.status, str(error)) == (401, "Incorrect API key provided.")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_asked_again(status):
    fault = HTTPFault(status, "Later.", AT_ONCE)
    with OpenAIServer([fault, fault, "Hello."]) as server:
        assert texts(answer(model(server))) == ["", "Hello", ".", None]
    assert [request.headers["x-stainless-retry-count"] for request in server.requests] == ["0", "1", "2"]


@pytest.mark.parametrize("retries", [0, 1])
def test_what_does_not_pass_is_an_error_after_the_retries(retries):
    with OpenAIServer([HTTPFault(429, "Rate limit reached.", AT_ONCE)] * 3) as server:
        _, error = ask(model(server, max_retries=retries))
    assert (type(error), str(error), error.status) == (ModelStatusError, "Rate limit reached.", 429)
    assert len(server.requests) == retries + 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"detail": "Not found here."}', "Not found here."),
        ('{"error": "model \'x\' not found"}', "model 'x' not found"),
        ('{"detail": [{"loc": ["body"]}]}', '[{"loc":["body"]}]'),
        ('{"odd": 1}', '{"odd":1}'),
        ("upstream said no", "upstream said no"),
        ("<html><h1>Bad Gateway</h1>", "service.test answered with status 502 with the page <html>"),
        ("", "service.test answered with status 502; check `base_url`"),
    ],
)
def test_errors_of_all_shapes_are_put_in_words(body, words):
    _, error = ask(answering(lambda request: httpx2.Response(502, text=body)))
    assert isinstance(error, ModelStatusError)
    assert error.status == 502
    assert str(error).startswith(words)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_refused_connection_names_the_host_and_the_setting():
    port = free_port()
    llm = OpenAILLM("m", base_url=f"http://127.0.0.1:{port}/v1?secret=1", api_key="k1", max_retries=0)
    _, error = ask(llm)
    assert isinstance(error, ModelConnectionError)
    assert f"cannot connect to 127.0.0.1:{port} (" in str(error)
    assert "`base_url` (or OPENAI_BASE_URL)" in str(error)
    assert "secret" not in str(error)


def test_an_unknown_host_names_the_host_and_the_setting(monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    _, error = ask(OpenAILLM("m", base_url="http://nowhere.test/v1", api_key="k1", max_retries=0))
    assert isinstance(error, ModelConnectionError)
    assert "cannot connect to nowhere.test (" in str(error)
    assert "Name or service not known" in str(error)
    assert "`base_url`" in str(error)


def test_a_failed_connection_is_tried_again(monkeypatch):
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0.0)
    tries = []

    def handler(request):
        tries.append(request)
        if len(tries) < 3:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(
            200, content=b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
        )

    assert texts(answer(answering(handler, max_retries=2))) == ["Hi"]
    _, error = ask(answering(handler, max_retries=0))
    assert error is None
    tries.clear()
    _, error = ask(answering(handler, max_retries=1))
    assert isinstance(error, ModelConnectionError)
    assert len(tries) == 2


def test_a_service_that_never_begins_to_answer_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        llm = OpenAILLM(
            "m", base_url=f"http://127.0.0.1:{port}/v1", api_key="k1", timeout=0.05, max_retries=0
        )
        _, error = ask(llm)
    assert isinstance(error, ModelTimeoutError)
    assert isinstance(error.__cause__, APITimeoutError)
    assert str(error).startswith(f"nothing came from 127.0.0.1:{port} for 0.05 s before it began to answer")


def test_a_service_that_hangs_up_before_its_answer_lost_the_connection():
    async def main():
        async def hang_up(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as service:
            port = service.sockets[0].getsockname()[1]
            llm = OpenAILLM("m", base_url=f"http://127.0.0.1:{port}/v1", api_key="k1", max_retries=0)
            return await hear(llm(ASK))

    _, error = asyncio.run(main())
    assert isinstance(error, ModelConnectionError)
    assert "before it answered" in str(error)


# Errors in the midst of the answer: what had arrived was emitted.


@pytest.mark.parametrize("reset", [False, True])
def test_a_lost_connection_is_an_error_behind_what_had_arrived(reset):
    with OpenAIServer([Dropped(3, "one two three", reset=reset)]) as server:
        items, error = ask(model(server))
        assert len(server.requests) == 1
    # A reset may overtake what was sent before it.
    assert texts(items) == ["", "one", " two"][: len(items)]
    assert reset or len(items) == 3
    assert isinstance(error, ModelConnectionError)
    assert "before the answer was whole, after " in str(error)
    assert error.__cause__ is not None


def test_a_stall_is_a_timeout_behind_what_had_arrived():
    with OpenAIServer([Stalled(3, "one two three")]) as server:
        items, error = ask(model(server, timeout=0.05, max_retries=0))
        assert server.requests[0].wait_closed(SOON)
    assert texts(items) == ["", "one", " two"]
    assert isinstance(error, ModelTimeoutError)
    assert " for 0.05 s before the answer was whole, after " in str(error)


def test_a_malformed_chunk_is_an_error_behind_what_had_arrived():
    with OpenAIServer([Malformed(2, "one two")]) as server:
        items, error = ask(model(server))
        assert server.requests[0].wait_closed(SOON)
    assert texts(items) == ["", "one"]
    assert isinstance(error, ModelProtocolError)
    assert "{not json" in str(error)


def test_an_error_within_the_stream_is_an_error_behind_what_had_arrived():
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "one"}}]})
    trouble = json.dumps({"error": {"message": "The server had an error.", "type": "server_error"}})
    with OpenAIServer([Raw(f"data: {chunk}\n\ndata: {trouble}\n\n".encode())]) as server:
        items, error = ask(model(server))
    assert texts(items) == ["one"]
    assert isinstance(error, ModelStreamError)
    assert str(error) == "The server had an error."


def test_an_end_in_the_midst_is_an_error_behind_what_had_arrived():
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "one"}}]})
    with OpenAIServer([Raw(f"data: {chunk}\n\n".encode()), Raw(b"")]) as server:
        llm = model(server)
        items, error = ask(llm)
        assert (texts(items), type(error)) == (["one"], ModelConnectionError)
        items, error = ask(llm)
        assert (items, type(error)) == ([], ModelConnectionError)


def test_a_compressed_answer_is_read_and_a_broken_one_is_an_error():
    body = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    packed = gzip.compress(body)
    assert texts(
        answer(answering(lambda _: httpx2.Response(200, headers=headers, stream=Chunks(packed))))
    ) == ["Hi"]
    _, error = ask(answering(lambda _: httpx2.Response(200, headers=headers, stream=Chunks(b"no gzip"))))
    assert isinstance(error, ModelProtocolError)


class Chunks(httpx2.AsyncByteStream):
    """A body that is read in the given pieces."""

    def __init__(self, *pieces):
        self.pieces = pieces

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


# Services that do not stream.


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", ""])
def test_a_whole_document_is_read_as_one_delta(kind):
    document = {
        "object": "chat.completion",
        "model": "gpt-whole",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "Let me\n\nlook.",
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                        {"id": "c2", "type": "function", "function": {"name": "see", "arguments": "{}"}},
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    body = json.dumps(document, indent=2).encode()
    pieces = [b"\n ", body[:5], body[5:]]
    headers = {"content-type": kind, "x-request-id": "req_1"}
    items = answer(answering(lambda _: httpx2.Response(200, headers=headers, stream=Chunks(*pieces))))
    calls = [
        {"id": "c1", "function": {"arguments": "{}", "name": "look"}, "type": "function", "index": 0},
        {"id": "c2", "function": {"arguments": "{}", "name": "see"}, "type": "function", "index": 1},
    ]
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    assert items == [
        delta("Let me\n\nlook.", tool_calls=calls),
        Completion(usage=usage, finish_reason="tool_calls", model="gpt-whole", request_id="req_1"),
    ]


def test_a_whole_refusal_is_read_as_one_delta():
    document = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
    [increment, _] = answer(answering(lambda _: httpx2.Response(200, json=document)))
    assert increment == delta(refusal="No.")


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ('{"error": {"message": "No model."}}', ModelStreamError, "No model."),
        ('{"status": "ok"}', ModelProtocolError, '{"status": "ok"}'),
        ('{"choices": []}', ModelProtocolError, "no chat completion"),
        ('{"choices": [{"mess', ModelProtocolError, "no JSON"),
        ('{"choices": [{"message": 7}]}', ModelProtocolError, "delta is int"),
        (
            "<!doctype html><title>Welcome</title>",
            ModelProtocolError,
            "service.test answered with a web page",
        ),
    ],
)
def test_a_document_that_is_no_answer_is_an_error_that_quotes_it(body, kind, words):
    items, error = ask(answering(lambda _: httpx2.Response(200, text=body)))
    assert items == []
    assert type(error) is kind
    assert words in str(error)


def test_a_web_page_is_known_by_its_type_too():
    _, error = ask(answering(lambda _: httpx2.Response(200, html="Welcome to nginx")))
    assert isinstance(error, ModelProtocolError)
    assert "Welcome to nginx" in str(error)


# Cancelling.


def test_disposing_in_the_midst_of_an_answer_closes_the_connection():
    with OpenAIServer([Paused(2, "one two three")]) as server:
        items = []

        async def main():
            heard = asyncio.Event()

            def on_next(item):
                items.append(item)
                if len(items) == 2:
                    heard.set()

            subscription = model(server)(ASK).subscribe(on_next)
            await heard.wait()
            subscription.dispose()
            [request] = server.requests
            assert await asyncio.to_thread(request.wait_closed, SOON)
            assert not request.completed

        asyncio.run(main())
    assert texts(items) == ["", "one"]


@pytest.mark.parametrize("burst", [False, True])
def test_disposing_while_hearing_a_delta_closes_the_connection(burst):
    http_client = httpx2.AsyncClient()
    with OpenAIServer([Stalled(3, "one two three"), "Hi."], burst=burst) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="k1", http_client=http_client)
        llm = OpenAILLM("gpt-test", client=client)
        items = []

        async def main():
            ended = asyncio.Event()
            source = llm(ASK)

            def on_next(item):
                items.append(item)
                if len(items) == 2:
                    subscription.dispose()
                    ended.set()

            subscription = source.subscribe(on_next)
            await ended.wait()
            await cancelled_tasks_ended()
            # The connection is not only closed, its place in the pool is free again.
            assert "[Requests: 0 active, 0 queued | Connections: 0 " in repr(http_client._transport._pool)
            assert await asyncio.to_thread(server.requests[0].wait_closed, SOON)
            assert texts((await hear(llm(ASK)))[0]) == ["", "Hi", ".", None]
            await http_client.aclose()

        asyncio.run(main())
    assert texts(items) == ["", "one"]


def test_cancelling_the_task_that_listens_closes_the_connection():
    with OpenAIServer([Paused(2, "one two three")]) as server:

        async def main():
            heard = asyncio.Event()
            task = asyncio.ensure_future(forward(model(server)(ASK), lambda _: heard.set()))
            await heard.wait()
            task.cancel()
            assert await asyncio.to_thread(server.requests[0].wait_closed, SOON)
            assert task.cancelled()

        asyncio.run(main())


def test_disposing_before_the_headers_of_the_response_closes_the_connection():
    async def main():
        asked, left = asyncio.Event(), asyncio.Event()

        async def wait_for_end(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()
            left.set()
            writer.close()

        async with await asyncio.start_server(wait_for_end, "127.0.0.1", 0) as service:
            port = service.sockets[0].getsockname()[1]
            llm = OpenAILLM("m", base_url=f"http://127.0.0.1:{port}/v1", api_key="k1")
            items = []
            subscription = llm(ASK).subscribe(items.append, items.append)
            await asked.wait()
            subscription.dispose()
            await left.wait()
            assert items == []

    asyncio.run(main())


def test_disposing_at_once_sends_nothing():
    with OpenAIServer(["Hi."]) as server:

        async def main():
            model(server)(ASK).subscribe().dispose()

        asyncio.run(main())
        assert server.requests == []


# Connections, clients and loops.


@pytest.mark.parametrize("burst", [False, True])
def test_a_connection_is_used_again_after_a_whole_answer(burst):
    with OpenAIServer(
        ["One.", "Two.", Raw(b'{"choices":[{"message":{"content":"3"}}]}')], burst=burst
    ) as server:
        llm = model(server)

        async def main():
            for _ in range(3):
                assert (await hear(llm(ASK)))[1] is None
                assert server.open_connections == 1

        asyncio.run(main())


def test_a_service_that_holds_the_connection_after_its_answer_does_not_hold_the_answer(monkeypatch):
    monkeypatch.setattr("rxagents.llm.http_answers._PATIENCE", 0.01)
    # The sixth event is `[DONE]`; the pause is between it and the end of the body.
    with OpenAIServer([Paused(6, "One."), "Two."]) as server:

        async def main():
            llm = model(server)
            items, error = await hear(llm(ASK))
            assert (texts(items), error) == (["", "One", ".", None], None)
            assert server.requests[0].events_sent == 6
            assert not server.requests[0].completed
            assert (await hear(llm(ASK)))[1] is None

        asyncio.run(main())


def test_one_model_serves_several_loops_one_after_the_other():
    with OpenAIServer(["One.", "Two.", "Three."]) as server:
        llm = model(server)
        for first in ("One", "Two", "Three"):
            assert texts(answer(llm))[1] == first
            gc.collect()
            deadline = SOON
            assert all(request.wait_closed(deadline) for request in server.requests)
        assert server.open_connections == 0


def test_one_model_serves_several_loops_at_once():
    with OpenAIServer([Paused(2, "one two")] * 3) as server:
        llm = model(server)
        items, ended = [], threading.Event()
        # In a thread without a running loop: on the shared one.
        llm(ASK).subscribe(items.append, on_completed=ended.set)
        heard = []
        threads = [threading.Thread(target=lambda: heard.append(answer(llm))) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert server.wait_for_requests(3, SOON)
        assert server.open_connections == 3
        server.release()
        for thread in threads:
            thread.join()
        assert ended.wait(SOON)
        assert [texts(each) for each in (items, *heard)] == [["", "one", " two", None]] * 3
        asyncio.run_coroutine_threadsafe(llm.aclose(), shared_loop()).result(SOON)
        assert all(request.wait_closed(SOON) for request in server.requests)


def test_an_open_connection_is_closed_with_its_loop_and_nothing_warns(each_transport):
    script = """
        import asyncio, gc
        from rxagents.engine.bridges import forward
        from rxagents.llm.openai_chat import OpenAILLM
        from rxagents.llm.requests import ChatRequest
        from rxagents.testing.server.faults import Paused
        from rxagents.testing.server.openai_server import OpenAIServer

        ASK = ChatRequest(({"role": "user", "content": "Hello"},))

        async def whole(llm):
            await forward(llm(ASK), lambda item: None)

        async def left_open(llm):
            heard = asyncio.Event()
            llm(ASK).subscribe(lambda item: heard.set(), lambda error: print(type(error).__name__))
            await heard.wait()

        async def disposed(llm):
            heard = asyncio.Event()
            subscription = llm(ASK).subscribe(lambda item: heard.set())
            await heard.wait()
            subscription.dispose()

        with OpenAIServer(lambda body: Paused(2, "one two") if body["model"] == "slow" else "Hi.") as server:
            for main, name in [(whole, "m"), (left_open, "slow"), (disposed, "slow")] * 2:
                llm = OpenAILLM(name, base_url=server.base_url, api_key="k1")
                asyncio.run(main(llm))
                gc.collect()
                assert all(request.wait_closed(20) for request in server.requests)
        del llm
        gc.collect()
    """
    done = run_script(script.replace('"k1")', f'"k1", transport="{each_transport}")'))
    assert (done.stdout, done.stderr) == ("RunCancelledError\n" * 2, "")


def run_script(script):
    """Runs a script in a Python that takes all warnings as errors and shows what finalizers raise.

    Without `-X dev`: asyncio would complain of each slow step of a busy machine.
    """
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_model_that_is_dropped_closes_its_connections(in_a_cycle):
    with OpenAIServer(["Hi."]) as server:

        async def main():
            llm = model(server)
            await hear(llm(ASK))
            assert server.open_connections == 1
            if in_a_cycle:
                llm.itself = llm
            del llm
            gc.collect()
            assert await asyncio.to_thread(server.requests[0].wait_closed, SOON)

        asyncio.run(main())


def test_a_model_that_is_closed_can_be_asked_again():
    with OpenAIServer(["One.", "Two."]) as server:

        async def main():
            llm = model(server)
            await llm.aclose()
            await hear(llm(ASK))
            await llm.aclose()
            assert await asyncio.to_thread(server.requests[0].wait_closed, SOON)
            assert texts((await hear(llm(ASK)))[0]) == ["", "Two", ".", None]

        asyncio.run(main())


def test_a_given_client_is_used_as_it_is_and_not_closed():
    with OpenAIServer(["One.", "Two."]) as server:

        async def main():
            http_client = httpx2.AsyncClient(headers={"x-mine": "yes"})
            client = AsyncOpenAI(base_url=server.base_url, api_key="k9", http_client=http_client)
            llm = OpenAILLM("gpt-test", client=client)
            await hear(llm(ASK))
            await llm.aclose()
            assert not client.is_closed()
            assert texts((await hear(llm(ASK)))[0]) == ["", "Two", ".", None]
            await client.close()

        asyncio.run(main())
    assert {request.headers["x-mine"] for request in server.requests} == {"yes"}
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer k9"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_the_child_has_connections_of_its_own():
    script = """
        import asyncio, os, warnings
        from rxagents.engine.bridges import forward
        from rxagents.llm.openai_chat import OpenAILLM
        from rxagents.llm.requests import ChatRequest
        from rxagents.testing.server.openai_server import OpenAIServer

        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on
        ASK = ChatRequest(({"role": "user", "content": "Hello"},))

        async def ask(llm):
            await forward(llm(ASK), lambda item: None)

        with OpenAIServer(["One.", "Two.", "Three."]) as server:
            llm = OpenAILLM("m", base_url=server.base_url, api_key="k1")
            with asyncio.Runner() as runner:
                runner.run(ask(llm))
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        held = len(llm._clients._held)
                        asyncio.run(ask(llm))
                        code = held
                    finally:
                        os._exit(code)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                runner.run(ask(llm))
                first, second, third = server.requests
                assert second.wait_closed(20)
                assert not first.closed.is_set() and server.open_connections == 1
    """
    assert run_script(script).stderr == ""


# The errors of transports that are not installed here are known by their names.


def transport_error(module, *names, cause=None, message="x"):
    kind = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": module})
    error = kind(message)
    error.__cause__ = cause
    return error


def timeout_of(cause):
    error = APITimeoutError(httpx2.Request("POST", "http://host/v1"))
    error.__cause__ = cause
    return error


REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    ("error", "received", "kind", "words"),
    [
        (transport_error("httpx", "NetworkError", "ReadError"), 7, ModelConnectionError, "after 7 bytes"),
        (
            transport_error("httpx", "ProtocolError", "RemoteProtocolError"),
            0,
            ModelConnectionError,
            "0 bytes",
        ),
        (transport_error("httpx", "TimeoutException", "ReadTimeout"), 7, ModelTimeoutError, "after 7 bytes"),
        (transport_error("anyio._core._exceptions", "EndOfStream"), 7, ModelConnectionError, "EndOfStream"),
        (
            timeout_of(transport_error("httpx2", "TimeoutException", "ConnectTimeout", cause=REFUSED)),
            None,
            ModelConnectionError,
            "Connection refused",
        ),
        (timeout_of(httpx2.ConnectTimeout("x")), None, ModelTimeoutError, "took no connection"),
        (timeout_of(httpx2.PoolTimeout("x")), None, ModelTimeoutError, "no connection to host became free"),
        (timeout_of(httpx2.ReadTimeout("x")), None, ModelTimeoutError, "before it began to answer"),
        (httpx2.LocalProtocolError("Illegal header value b'sk-1'"), None, ConfigurationError, "header"),
    ],
)
def test_errors_of_the_transport_are_told_by_their_innermost_cause(error, received, kind, words):
    mapped = model_error(error, host="host", setting="`base_url`", received=received)
    assert type(mapped) is kind
    assert words in str(mapped)
    assert "sk-1" not in str(mapped)


def test_what_is_no_error_of_the_transport_stays_as_it_is():
    for error in (ValueError("x"), TimeoutError(), OSError("disk"), ModelStreamError("x")):
        error.__cause__ = REFUSED
        assert model_error(error, host="host", setting="s", received=None) is error


def test_a_closing_that_is_cancelled_before_its_first_step_leaves_nothing_unawaited() -> None:
    closed: list[bool] = []

    async def opening() -> AsyncGenerator[str, None]:
        try:
            yield "client"
        finally:
            closed.append(True)

    async def main() -> None:
        generator = opening()
        await anext(generator)
        _close(generator)
        [closing] = asyncio.all_tasks() - {asyncio.current_task()}
        closing.cancel()
        await asyncio.wait([closing])
        gc.collect()
        assert not closed

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
    assert [str(each.message) for each in seen] == []
    assert closed  # by the loop, as it ended
