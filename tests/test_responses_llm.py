"""OpenAILLM over the Responses API, on real loopback HTTP, against the embedded server and raw streams."""

from __future__ import annotations

import asyncio
import json
import os
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI

from rxagents import Agent, Workflow
from rxagents.assembly import assemble
from rxagents.demo import QUESTION, order_team
from rxagents.engine.bridges import forward
from rxagents.errors import (
    ConfigurationError,
    ModelConnectionError,
    ModelProtocolError,
    ModelStatusError,
    ModelStreamError,
    ModelTimeoutError,
    RxAgentsError,
)
from rxagents.llm.azure_chat import AzureOpenAILLM
from rxagents.llm.openai_chat import OpenAILLM
from rxagents.llm.replies import Call, Reply
from rxagents.llm.requests import ChatRequest, LLMConstraints
from rxagents.llm.responses_input import input_items
from rxagents.testing.server.faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from rxagents.testing.server.openai_server import OpenAIServer
from rxagents.testing.server.responses_requests import as_chat
from rxagents.testing.server.scenarios import default_scenario
from rxagents.values import Completion, Message, Usage, delta

SOON = 20.0
ASK = ChatRequest(({"role": "user", "content": "Hello there"},), agent="agent1")
PARAMETERS = {"type": "object", "properties": {}}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": PARAMETERS}}
FLAT = {"type": "function", "name": "look", "description": "Looks", "parameters": PARAMETERS, "strict": False}
SCHEMA = {"name": "answer", "schema": PARAMETERS, "strict": True}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def model(server, **settings):
    return OpenAILLM(
        "gpt-test", **{"api": "responses", "base_url": server.base_url, "api_key": "k1", **settings}
    )


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
    return [item["content"] for item in items if isinstance(item, dict) and item["content"]]


def extras(items):
    """What the deltas hold beside their four keys."""
    return [dict(list(item.items())[4:]) for item in items if isinstance(item, dict) and len(item) > 4]


def message_of(items):
    completions = [item for item in items if isinstance(item, Completion)]
    return assemble([item for item in items if isinstance(item, dict)], completions)


def answering(handler, **settings):
    """A model whose client is answered by a function instead of a server."""
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    client = AsyncOpenAI(
        api_key="k1", base_url="http://service.test/v1", http_client=http_client, max_retries=0
    )
    return OpenAILLM("gpt-test", api="responses", client=client, **settings)


def events(*described):
    """A stream of events, each its type (without `response.`) or a dict of its fields with `type`."""
    lines = []
    for each in described:
        fields = {"type": each} if isinstance(each, str) else dict(each)
        kind = fields["type"]
        fields["type"] = kind if kind in ("error", "keepalive") else f"response.{kind}"
        lines.append(f"event: {fields['type']}\ndata: {json.dumps(fields)}\n\n")
    return "".join(lines).encode()


def told(*described, **settings):
    """What the model emits for a stream of these events."""
    return ask(answering(lambda _: httpx2.Response(200, content=events(*described)), **settings))


def item(kind, index=0, **fields):
    return {"type": f"output_item.{kind}", "output_index": index, "item": fields}


def completed(output=None, **fields):
    response = {"status": "completed", "model": "gpt-x", **fields}
    return {"type": "completed", "response": response if output is None else {**response, "output": output}}


DONE = completed()


# What is emitted: the same over both APIs.


SCRIPTS = {
    "a text": "Hello, you.",
    "a call": Call("look", {"a": 1}),
    "text and calls": Reply("Let me see.", [Call("look", {"a": 1}, id="c7"), Call("look", '{"b": "ä"}')]),
    "a call without arguments": Call("look", ""),
    "a refusal": Reply(refusal="I will not."),
    "structured output": {"agent_id": "agent1", "reason": "It knows."},
    "nothing": "",
    "a long one": Reply("Too long", finish_reason="length"),
    "a filtered one": Reply("Too", finish_reason="content_filter"),
    "reasoning": Reply(deltas=[delta(reasoning="Hm"), delta(reasoning=", well."), delta("Yes."), delta()]),
    "usage": Reply("Hi", usage=Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_both_apis_emit_the_same(script):
    heard = []
    for api in ("chat", "responses"):
        with OpenAIServer([script]) as server:
            *deltas, completion = answer(
                model(server, api=api), ChatRequest(ASK.messages, (TOOL,), agent="agent1")
            )
        # Over chat the first and the last increment carry nothing.
        carrying = [each for each in deltas if any(each.values())]
        heard.append((carrying, completion.usage, completion.finish_reason, completion.model))
    assert heard[0] == heard[1]


def test_the_deltas_come_in_order_and_the_completion_last():
    with OpenAIServer(["Hello, you."]) as server:
        items = answer(model(server))
    assert items == [
        *(delta(content) for content in ("Hello", ",", " you", ".")),
        Completion(
            usage=Usage(completion_tokens=4, prompt_tokens=2, total_tokens=6),
            finish_reason="stop",
            model="gpt-test",
            request_id="req_resp_1",
        ),
    ]
    assert list(items[0]) == ["content", "function_call", "refusal", "tool_calls"]


def test_tool_calls_come_in_fragments():
    with OpenAIServer([[Call("look", {"a": 1}), Call("see")]]) as server:
        *deltas, completion = answer(model(server), ChatRequest(ASK.messages, (TOOL,)))
    fragments = [each["tool_calls"][0] for each in deltas]
    assert fragments[0] == {
        "id": "call_1",
        "function": {"arguments": "", "name": "look"},
        "type": "function",
        "index": 0,
    }
    assert "".join(each["function"]["arguments"] for each in fragments if each["index"] == 0) == '{"a":1}'
    assert [each["function"]["name"] for each in fragments if each["id"]] == ["look", "see"]
    assert completion.finish_reason == "tool_calls"


def test_annotations_and_built_in_tools_have_their_own_keys():
    cited = {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 0, "end_index": 1}
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"query": "q"}}
    deltas = [delta(web_search_call=search), delta("Yes"), delta(annotations=[cited]), delta()]
    with OpenAIServer([Reply(deltas=deltas)]) as server:
        message = message_of(answer(model(server)))
    assert message.text == "Yes"
    assert message.metadata["annotations"] == [cited]
    assert message.metadata["web_search_call"] == search
    assert message.metadata["output_items"] == [search]


# What is emitted for streams that the embedded server does not send.


def test_summaries_and_raw_thoughts_are_reasoning_in_paragraphs():
    def thought(text, **at):
        kind = "reasoning_summary_text" if "summary_index" in at else "reasoning_text"
        return {"type": f"{kind}.delta", "delta": text, **at}

    items, error = told(
        item("added", 0, type="reasoning", id="rs_1", summary=[]),
        thought("One", output_index=0, summary_index=0),
        thought(" two.", output_index=0, summary_index=0),
        thought("Three.", output_index=0, summary_index=1),
        thought("Raw.", output_index=1, content_index=0),
        DONE,
    )
    assert error is None
    assert extras(items) == [
        {"reasoning": text} for text in ("One", " two.", "\n\nThree.", "\n\nRaw.")
    ]  # fmt: skip


def test_what_the_increments_left_out_is_taken_from_the_end_of_the_part():
    items, _ = told(
        {"type": "output_text.delta", "output_index": 0, "content_index": 0, "delta": "One"},
        {"type": "output_text.done", "output_index": 0, "content_index": 0, "text": "One two"},
        {"type": "output_text.done", "output_index": 0, "content_index": 1, "text": " three"},
        {"type": "refusal.done", "output_index": 0, "content_index": 2, "refusal": "No."},
        item("added", 1, type="function_call", call_id="c1", name="look", arguments=""),
        {"type": "function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        {"type": "function_call_arguments.done", "output_index": 1, "arguments": '{"a":1}'},
        DONE,
    )
    message = message_of(items)
    assert (message.text, message.refusal) == ("One two three", "No.")
    assert message.tool_calls[0].function == {"name": "look", "arguments": '{"a":1}'}


OUTPUT = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {
        "type": "message",
        "content": [
            {"type": "output_text", "text": "One", "annotations": [{"type": "file_path"}]},
            {"type": "refusal", "refusal": "No."},
        ],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
    {"type": "mcp_list_tools", "id": "m_1", "tools": []},
]
ITEMS = [item("done", index, **each) for index, each in enumerate(OUTPUT)]


@pytest.mark.parametrize(
    "stream",
    [
        [*ITEMS, DONE],
        [completed(OUTPUT)],
        [*ITEMS, completed(OUTPUT)],
        [*(item("added", n, **each) for n, each in enumerate(OUTPUT)), *ITEMS, completed(OUTPUT)],
        [*ITEMS[:2], completed(OUTPUT)],
    ],
    ids=["items", "output", "both", "thrice", "a part"],
)
def test_what_is_said_only_at_the_end_is_emitted_then_and_once(stream):
    items, error = told(*stream)
    message = message_of(items)
    assert error is None
    assert (message.text, message.refusal, message.finish_reason) == ("One", "No.", "tool_calls")
    assert [(call.id, call.function) for call in message.tool_calls] == [
        ("c1", {"name": "look", "arguments": '{"a":1}'})
    ]
    assert message.metadata["reasoning"] == "Hm."
    assert message.metadata["annotations"] == [{"type": "file_path"}]
    assert message.metadata["output_items"] == [OUTPUT[3]]
    assert message.metadata["mcp_list_tools"] == OUTPUT[3]


def test_gaps_between_the_places_do_not_repeat_anything():
    said = {"type": "message", "content": [{"type": "output_text", "text": "One"}]}
    items, _ = told(item("done", 0, **said), item("done", 2, **said), completed([said, said]))
    assert texts(items) == ["One", "One"]


def test_events_without_a_place_are_known_by_their_item():
    items, _ = told(
        {"type": "output_item.added", "item": {"type": "function_call", "id": "fc_1", "name": "look"}},
        {"type": "function_call_arguments.delta", "item_id": "fc_1", "delta": "{}"},
        {"type": "output_item.added", "item": {"type": "function_call", "id": "fc_2", "name": "see"}},
        {"type": "function_call_arguments.delta", "item_id": "fc_2", "delta": "[]"},
        DONE,
    )
    calls = [
        (call.id, call.function["name"], call.function["arguments"]) for call in message_of(items).tool_calls
    ]
    assert calls == [("fc_1", "look", "{}"), ("fc_2", "see", "[]")]


def test_pieces_of_a_call_that_nobody_began_wait_for_its_end():
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    items, _ = told(
        {"type": "function_call_arguments.delta", "output_index": 0, "delta": "{}"},
        item("done", 0, **call),
        DONE,
    )
    assert [each.function for each in message_of(items).tool_calls] == [{"name": "look", "arguments": "{}"}]


BUILT_IN = [
    ("code_interpreter_call", "code_interpreter_call_code.delta", {"delta": "print(1)"}),
    ("image_generation_call", "image_generation_call.partial_image", {"partial_image_b64": "aGk="}),
    ("file_search_call", "file_search_call.searching", {}),
    ("mcp_call", "mcp_call_arguments.delta", {"delta": "{"}),
    ("shell_call", "shell_call_command.added", {"command": "ls"}),
    ("custom_tool_call", "custom_tool_call_input.delta", {"delta": "x"}),
    ("tool_of_the_future", "tool_of_the_future.half_done", {"share": 0.5}),
]


@pytest.mark.parametrize(("kind", "event", "fields"), BUILT_IN, ids=[row[0] for row in BUILT_IN])
def test_the_events_of_built_in_tools_stand_under_the_type_of_their_item(kind, event, fields):
    begun = {"type": kind, "id": "i_1", "status": "in_progress"}
    ended = {"type": kind, "id": "i_1", "status": "completed", "result": [1]}
    middle = {"type": event, "output_index": 3, "item_id": "i_1", **fields}
    items, error = told(item("added", 3, **begun), middle, item("done", 3, **ended), DONE)
    assert error is None
    assert extras(items) == [
        {kind: begun},
        {kind: {**middle, "type": f"response.{event}"}},
        {kind: ended, "output_items": [ended]},
    ]
    assert items[-1].finish_reason == "stop"


def test_an_event_of_no_item_stands_under_its_own_name():
    items, _ = told({"type": "audio.transcript.delta", "delta": "Hm"}, DONE)
    assert extras(items) == [{"audio": {"type": "response.audio.transcript.delta", "delta": "Hm"}}]


def test_log_probabilities_are_kept_where_they_were_asked_for():
    probable = [{"token": "Hi", "logprob": -0.1}]
    items, _ = told(
        {"type": "output_text.delta", "output_index": 0, "delta": "Hi", "logprobs": probable},
        {"type": "output_text.delta", "output_index": 0, "delta": "!", "logprobs": []},
        DONE,
    )
    assert (texts(items), extras(items)) == (["Hi", "!"], [{"logprobs": probable}])


def test_what_is_no_part_of_a_response_is_passed_over():
    body = b": hi\n\ndata:\n\n" + events("keepalive", "queued", "in_progress", {"type": "keepalive", "n": 1})
    body += (
        events({"type": "output_text.delta", "delta": "Hi"}, completed(model=7, usage=[]))
        + b"data: [DONE]\n\n"
    )
    items = answer(answering(lambda _: httpx2.Response(200, content=body)))
    assert items == [delta("Hi"), Completion(finish_reason="stop")]


def test_an_event_without_a_type_is_known_by_its_name():
    body = b'event: response.output_text.delta\ndata: {"delta": "Hi"}\n\n' + events(DONE)
    assert texts(answer(answering(lambda _: httpx2.Response(200, content=body)))) == ["Hi"]


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "max_tool_calls"}, "max_tool_calls"),
        (None, "incomplete"),
    ],
)
def test_an_incomplete_response_says_why(details, reason):
    response = {"status": "incomplete", "incomplete_details": details}
    items, error = told({"type": "incomplete", "response": response})
    assert (items[-1].finish_reason, error) == (reason, None)


# Errors.


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "error", "code": "server_error", "message": "It broke.", "param": None}, "It broke."),
        ({"type": "error", "error": {"message": "It broke.", "type": "x"}}, "It broke."),
        ({"type": "failed", "response": {"error": {"message": "It broke."}}}, "It broke."),
        ({"type": "failed", "response": {"error": None}}, "the response was failed, and the service says no"),
        ({"type": "cancelled", "response": {"status": "cancelled"}}, "the response was cancelled"),
        ({"type": "completed", "response": {"status": "cancelled"}}, "the response was cancelled"),
    ],
)  # fmt: skip
def test_an_error_within_the_stream_is_an_error_behind_what_had_arrived(event, words):
    items, error = told({"type": "output_text.delta", "output_index": 0, "delta": "one"}, event)
    assert items == [delta("one")]
    assert isinstance(error, ModelStreamError)
    assert str(error).startswith(words)


def test_the_error_of_a_failed_response_is_kept_as_it_was_sent():
    failure = {"code": "rate_limit_exceeded", "message": "Slow down."}
    _, error = told({"type": "failed", "response": {"status": "failed", "error": failure}})
    assert error.body == failure


def test_a_response_that_failed_is_paid_for():
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    failed = {"status": "failed", "error": {"message": "It broke."}, "model": "gpt-x", "usage": usage}
    text = {"type": "output_text.delta", "output_index": 0, "delta": "one"}
    items, error = told(text, {"type": "failed", "response": failed})
    assert str(error).startswith("It broke.")
    taken = Usage(completion_tokens=2, prompt_tokens=3, total_tokens=5)
    assert items == [delta("one"), Completion(usage=taken, model="gpt-x")]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "output_text.delta", "delta": 7}, "the delta is int instead of str"),
        ({"type": "output_item.added", "item": []}, "the item is list instead of dict"),
        ({"type": "output_item.done", "item": {"type": 7}}, "the type of an item is int"),
        ({"type": "completed", "response": {"output": {}}}, "the output is dict instead of list"),
        ({"type": "completed", "response": "done"}, "the response is str instead of dict"),
        ({"type": "function_call_arguments.delta", "delta": {}}, "the delta is dict instead of str"),
    ],
)
def test_an_event_of_another_shape_is_named_and_quoted(event, words):
    items, error = told({"type": "output_text.delta", "output_index": 0, "delta": "one"}, event)
    assert texts(items) == ["one"]
    assert isinstance(error, ModelProtocolError)
    assert str(error).startswith(words)
    assert "the service sent: " in str(error)


def test_a_chat_completion_is_no_response():
    body = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    items, error = ask(answering(lambda _: httpx2.Response(200, content=body)))
    assert (items, type(error)) == ([], ModelProtocolError)
    assert str(error).startswith("an event has no type; the service sent: ")


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n", b'data: {"type":"response.compl'])
def test_an_end_in_the_midst_is_an_error_behind_what_had_arrived(end):
    body = events("created", {"type": "output_text.delta", "output_index": 0, "delta": "one"}) + end
    with OpenAIServer([Raw(body)]) as server:
        items, error = ask(model(server))
    assert texts(items) == ["one"]
    assert isinstance(error, ModelConnectionError)
    assert "before the answer was whole" in str(error)


@pytest.mark.parametrize("reset", [False, True])
def test_a_lost_connection_is_an_error_behind_what_had_arrived(reset):
    with OpenAIServer([Dropped(3, "one two three", reset=reset)]) as server:
        items, error = ask(model(server))
        assert len(server.requests) == 1
    # A reset may overtake what was sent before it.
    assert texts(items) == ["one", " two"][: len(items)]
    assert reset or len(items) == 2
    assert isinstance(error, ModelConnectionError)


def test_a_stall_is_a_timeout_behind_what_had_arrived():
    with OpenAIServer([Stalled(3, "one two three")]) as server:
        items, error = ask(model(server, timeout=0.05, max_retries=0))
        assert server.requests[0].wait_closed(SOON)
    assert texts(items) == ["one", " two"]
    assert isinstance(error, ModelTimeoutError)


def test_a_malformed_event_is_an_error_behind_what_had_arrived():
    with OpenAIServer([Malformed(2, "one two")]) as server:
        items, error = ask(model(server))
        assert server.requests[0].wait_closed(SOON)
    assert texts(items) == ["one"]
    assert isinstance(error, ModelProtocolError)
    assert "{not json" in str(error)


@pytest.mark.parametrize(("status", "message"), [(401, "No key."), (400, "No such parameter."), (404, "No.")])
def test_a_refusal_is_passed_on_in_the_words_of_the_provider(status, message):
    with OpenAIServer([HTTPFault(status, message, {"x-request-id": "req_7"})]) as server:
        items, error = ask(model(server))
    assert items == []
    assert isinstance(error, ModelStatusError)
    assert (str(error), error.status, error.request_id) == (message, status, "req_7")


def test_what_passes_is_asked_again():
    fault = HTTPFault(503, "Later.", {"retry-after-ms": "1"})
    with OpenAIServer([fault, "Hello."]) as server:
        assert texts(answer(model(server))) == ["Hello", "."]
    assert [request.path for request in server.requests] == ["/v1/responses"] * 2


# Services that do not stream.


def whole(document, **options):
    return ask(answering(lambda _: httpx2.Response(200, json=document, **options)))


def test_a_whole_document_is_read_as_a_stream_that_says_the_same():
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    document = {"object": "response", "status": "completed", "model": "w", "output": OUTPUT, "usage": usage}
    items, error = whole(document, headers={"x-request-id": "req_1"})
    assert error is None
    assert (message_of(items).text, message_of(items).refusal) == ("One", "No.")
    assert items[-1] == Completion(
        usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
        finish_reason="tool_calls",
        model="w",
        request_id="req_1",
    )


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"error": {"message": "No model."}}, ModelStreamError, "No model."),
        ({"status": "failed", "output": [], "error": {"message": "No."}}, ModelStreamError, "No."),
        ({"state": "ok"}, ModelProtocolError, "no response"),
        ({"choices": [{"message": {"content": "Hi"}}]}, ModelProtocolError, "no response"),
        ({"status": "queued", "output": []}, ModelProtocolError, "a response that is queued"),
    ],
)
def test_a_document_that_is_no_answer_is_an_error(document, kind, words):
    items, error = whole(document)
    assert (items, type(error)) == ([], kind)
    assert words in str(error)


def test_a_web_page_is_no_answer():
    _, error = ask(answering(lambda _: httpx2.Response(200, html="<h1>Welcome</h1>")))
    assert isinstance(error, ModelProtocolError)
    assert "service.test answered with a web page" in str(error)


# Cancelling.


@pytest.mark.parametrize("burst", [False, True])
def test_disposing_in_the_midst_of_an_answer_closes_the_connection(burst):
    with OpenAIServer([Paused(2, "one two three")], burst=burst) as server:
        items = []

        async def main():
            heard = asyncio.Event()

            def on_next(each):
                items.append(each)
                heard.set()

            subscription = model(server)(ASK).subscribe(on_next)
            await heard.wait()
            subscription.dispose()
            [request] = server.requests
            assert await asyncio.to_thread(request.wait_closed, SOON)
            assert not request.completed

        asyncio.run(main())
    assert texts(items) == ["one"]


def test_a_connection_is_used_again_after_a_whole_answer():
    with OpenAIServer(["One.", Reply("Two", finish_reason="length"), "Three."]) as server:
        llm = model(server)

        async def main():
            for _ in range(3):
                assert (await hear(llm(ASK)))[1] is None
                assert server.open_connections == 1

        asyncio.run(main())


# What is sent.


def sent(request=ASK, **settings):
    with OpenAIServer(["Hi."]) as server:
        answer(model(server, **settings), request)
    return server.requests[0].body


def test_the_body_is_the_input_with_the_model_streamed_and_not_stored():
    with OpenAIServer(["Hi."]) as server:
        answer(model(server))
    [request] = server.requests
    assert request.body == {
        "input": [{"role": "user", "content": "Hello there"}],
        "model": "gpt-test",
        "store": False,
        "stream": True,
    }
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer k1"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_output_tokens": 5}, {"max_output_tokens": 5}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
            {"text": {"format": {"type": "json_schema", **SCHEMA}}},
        ),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}},) * 2,
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"stream_options": {"include_usage": True}}, {}),
        ({"stream_options": {"include_usage": True, "include_obfuscation": False}},
         {"stream_options": {"include_obfuscation": False}}),
        ({"top_p": None, "user": openai.NOT_GIVEN, "metadata": openai.omit}, {}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"text": None, "reasoning": None, "tools": None}, {}),
        ({"stream": False}, {}),
    ],
)  # fmt: skip
def test_parameters_go_out_under_the_names_that_they_have_here(params, expected):
    rest = {"model": "gpt-test", "store": False, "stream": True, "input": list(ASK.messages)}
    assert sent(**params) == rest | expected
    assert sent(ChatRequest(ASK.messages, params=params)) == rest | expected


@pytest.mark.parametrize("more", [{"verbosity": "low"}, {"text": {"verbosity": "low"}}])
def test_the_response_format_of_a_request_stands_beside_its_other_parameters_of_text(more):
    format = {"type": "json_schema", "json_schema": SCHEMA}
    body = sent(ChatRequest(ASK.messages, response_format=format, params=more))
    assert body["text"] == {"format": {"type": "json_schema", **SCHEMA}, "verbosity": "low"}


def test_what_is_only_allowed_with_tools_is_only_sent_with_tools():
    settings = {"tool_choice": "required", "parallel_tool_calls": False}
    assert not settings.keys() & sent(**settings).keys()
    assert settings.items() <= sent(tools=[{"type": "web_search"}], **settings).items()
    # whoever says so in the request itself must know
    assert settings.items() <= sent(ChatRequest(ASK.messages, params=settings)).items()


def test_parameters_of_the_request_win_over_those_of_the_model():
    request = ChatRequest(
        ASK.messages,
        response_format={"type": "json_object"},
        params={"max_tokens": 7, "reasoning_effort": "low", "model": "gpt-other", "seed": None},
    )
    body = sent(request, max_output_tokens=5, reasoning={"effort": "high", "summary": "auto"}, seed=1,
                text={"verbosity": "low", "format": {"type": "text"}})  # fmt: skip
    assert (body["max_output_tokens"], body["model"], "seed" in body) == (7, "gpt-other", False)
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["text"] == {"verbosity": "low", "format": {"type": "json_object"}}
    quiet = ChatRequest(ASK.messages, params={"reasoning_effort": None})
    assert "reasoning" not in sent(quiet, reasoning_effort="high")


@pytest.mark.parametrize(
    ("settings", "store", "include"),
    [
        ({}, False, None),
        ({"store": True}, True, None),
        ({"store": None}, None, None),
        ({"background": True}, None, None),
        ({"previous_response_id": "resp_1"}, None, None),
        ({"conversation": "conv_1"}, None, None),
        ({"reasoning_effort": "low"}, False, ["reasoning.encrypted_content"]),
        ({"reasoning": {"summary": "auto"}, "include": ["a"]}, False, ["a", "reasoning.encrypted_content"]),
        ({"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}, False,
         ["reasoning.encrypted_content"]),
        ({"reasoning_effort": "low", "store": True}, True, None),
    ],
)  # fmt: skip
def test_nothing_is_stored_unless_asked_for_and_thoughts_then_come_back_encrypted(settings, store, include):
    body = sent(**settings)
    assert (body.get("store"), body.get("include")) == (store, include)


def test_tools_are_flat_and_built_in_ones_stand_beside_them():
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    search = {"type": "web_search", "search_context_size": "low"}
    assert sent(ChatRequest(ASK.messages, (TOOL,)))["tools"] == [FLAT]
    assert sent(ChatRequest(ASK.messages, (strict,)))["tools"] == [FLAT | {"strict": True}]
    assert sent(ChatRequest(ASK.messages, (TOOL,)), tools=[search])["tools"] == [FLAT, search]
    assert sent(tools=[search], tool_choice="auto")["tool_choice"] == "auto"
    asked = ChatRequest(ASK.messages, (TOOL,), params={"tools": [TOOL]})
    assert sent(asked, tools=[search])["tools"] == [FLAT, FLAT]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        ({"type": "function", "function": {"name": "look"}}, {"type": "function", "name": "look"}),
        ({"type": "function", "name": "look"}, {"type": "function", "name": "look"}),
        ({"type": "web_search"}, {"type": "web_search"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "look"}}],
                },
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
        ),
    ],
)
def test_the_choice_of_a_tool_is_flat(choice, expected):
    body = sent(ChatRequest(ASK.messages, (TOOL,)), tool_choice=choice, parallel_tool_calls=False)
    assert (body["tool_choice"], body["parallel_tool_calls"]) == (expected, False)


def test_the_constraints_of_the_model_are_kept():
    request = ChatRequest(
        ({"role": "system", "content": "Be brief."}, *ASK.messages), response_format={"type": "json_object"}
    )
    constraints = LLMConstraints(system_message=False, structured_output=False, temperature=1.0)
    body = sent(request, temperature=0, verbosity="low", constraints=constraints)
    assert [each["role"] for each in body["input"]] == ["user", "user"]
    assert (body["temperature"], body["text"]) == (1.0, {"verbosity": "low"})
    assert "text" not in sent(request, constraints=constraints)


def test_what_is_no_json_is_named_before_anything_is_sent():
    with OpenAIServer([]) as server:
        _, error = ask(model(server, response_format=Message))
    assert isinstance(error, ConfigurationError)
    assert "`text.format`" in str(error)
    assert server.requests == []


@pytest.mark.parametrize("api", ["completions", "", 3, ["chat"]])
def test_an_api_that_there_is_not_is_refused(api):
    with pytest.raises(ConfigurationError, match="`api` is 'chat' or 'responses'"):
        OpenAILLM("gpt-test", api=api)


def test_the_api_may_stand_in_the_dict():
    with OpenAIServer(["Hi."]) as server:
        answer(OpenAILLM({"model": "m", "api": "responses", "base_url": server.base_url, "api_key": "k1"}))
    assert server.requests[0].path == "/v1/responses"
    assert "api" not in server.requests[0].body


# Messages as input.


def call(id="c1", arguments="{}"):
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def said(text, kind="input_text"):
    return {"type": kind, "text": text}


CALLED = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
IMAGE = "data:image/png;base64,aGk="
REFUSED = {"type": "refusal", "refusal": "No."}
RAW = {"type": "reasoning", "id": "r", "content": [{"type": "reasoning_text", "text": "Hm"}]}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAA",
    "status": "completed",
}


@pytest.mark.parametrize(
    ("message", "items"),
    [
        ({"role": "system", "content": "Be brief."}, [{"role": "system", "content": "Be brief."}]),
        ({"role": "developer", "content": "Hm."}, [{"role": "developer", "content": "Hm."}]),
        ({"role": "user", "content": ""}, [{"role": "user", "content": ""}]),
        ({"role": "assistant", "content": None}, []),
        ({"role": "assistant", "content": "Hi"}, [{"role": "assistant", "content": "Hi"}]),
        (
            {"role": "assistant", "content": "Hm.", "tool_calls": [call()]},
            [{"role": "assistant", "content": "Hm."}, CALLED],
        ),
        ({"role": "assistant", "content": None, "tool_calls": [call(arguments="")]}, [CALLED]),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            [{"type": "function_call_output", "call_id": "c1", "output": "42"}],
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
            [{"type": "function_call_output", "call_id": "c1", "output": [said("42")]}],
        ),
        (
            {"role": "assistant", "content": None, "refusal": "No."},
            [{"role": "assistant", "content": [REFUSED]}],
        ),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "a"}], "refusal": "No."},
            [{"role": "assistant", "content": [said("a", "output_text"), REFUSED]}],
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                    {"type": "image_url", "image_url": {"url": "http://a/b.png", "detail": "low"}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                    {"type": "file", "file": {"file_data": "data:,x", "filename": "x.pdf"}},
                    {"type": "input_text", "text": "as it is"},
                ],
            },
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Look:"},
                        {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
                        {"type": "input_image", "image_url": "http://a/b.png", "detail": "low"},
                        {"type": "input_file", "file_id": "file_1"},
                        {"type": "input_file", "file_data": "data:,x", "filename": "x.pdf"},
                        {"type": "input_text", "text": "as it is"},
                    ],
                }
            ],
        ),
        # names
        ({"role": "user", "content": "Hi", "name": "user"}, [{"role": "user", "content": "Hi"}]),
        ({"role": "user", "content": "Hi", "name": "agent2"}, [{"role": "user", "content": "agent2: Hi"}]),
        ({"role": "assistant", "content": "Hi", "name": "agent1"}, [{"role": "assistant", "content": "Hi"}]),
        (
            {"role": "assistant", "content": "Hi", "name": "agent2"},
            [{"role": "assistant", "content": "agent2: Hi"}],
        ),
        ({"role": "system", "content": "Hi", "name": "agent2"}, [{"role": "system", "content": "Hi"}]),
        (
            {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "agent2"},
            [{"role": "user", "content": [said("agent2: "), said("Hi")]}],
        ),
        # thoughts
        (
            {"role": "assistant", "content": None, "tool_calls": [call()], "output_items": [THOUGHT]},
            [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}, CALLED],
        ),
        (
            {"role": "assistant", "content": "Hm.", "phases": ["final_answer", "commentary"]},
            [{"role": "assistant", "content": "Hm.", "phase": "commentary"}],
        ),
        (
            {"role": "assistant", "content": "Hm.", "output_items": [{"type": "mcp_call"}]},
            [{"role": "assistant", "content": "Hm."}],
        ),
        (
            {"role": "assistant", "tool_calls": [call()], "output_items": [{"type": "reasoning", "id": "r"}]},
            [CALLED],
        ),
        ({"role": "assistant", "tool_calls": [call()], "output_items": [RAW]}, [RAW, CALLED]),
        ({"role": "assistant", "content": None, "output_items": [THOUGHT]}, []),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
            },
            [{"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls"}],
        ),
    ],
)  # fmt: skip
def test_a_message_becomes_input(message, items):
    before = json.dumps(message)
    assert input_items([message], "agent1") == items
    assert json.dumps(message) == before


def test_thoughts_go_back_within_the_turn_only():
    thinking = {"role": "assistant", "content": None, "tool_calls": [call()], "output_items": [THOUGHT]}
    turn = [thinking, {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    question = {"role": "user", "content": "And now?"}
    kinds = [item.get("type") for item in input_items([*turn, question, *turn], None)]
    told = ["function_call", "function_call_output"]
    assert kinds == [*told, None, "reasoning", *told]


TEXT = st.text(max_size=8)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXT),
        st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}, TEXT),
        st.builds(lambda name: {"type": "file", "file": {"file_id": name}}, TEXT),
    ),
    min_size=1,
    max_size=3,
)
SPOKEN = st.builds(
    lambda role, content: [{"role": role, "content": content}],
    st.sampled_from(["system", "developer", "user"]),
    TEXT | PARTS,
)
ANSWERED = st.builds(lambda text: [{"role": "assistant", "content": text}], TEXT.filter(bool))
ROUNDS = st.builds(
    lambda text, results: [
        {"role": "assistant", "content": text or None, "tool_calls": [call(id) for id in results]},
        *({"role": "tool", "tool_call_id": id, "content": result} for id, result in results.items()),
    ],
    TEXT,
    st.dictionaries(st.sampled_from("abc"), TEXT, min_size=1),
)
HISTORIES = st.lists(SPOKEN | ANSWERED | ROUNDS, max_size=5).map(
    lambda turns: [m for turn in turns for m in turn]
)


@settings(deadline=None)
@given(HISTORIES)
def test_what_the_server_reads_is_what_was_said(messages):
    # Two messages of an assistant next to each other may not be told from a text with its calls.
    roles = [each["role"] for each in messages]
    joined = any(pair == ("assistant", "assistant") for pair in pairwise(roles))
    read = as_chat({"input": input_items(messages, None)})["messages"]
    assert joined or read == messages


# Whole agents.


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_order_team_is_served_over_both_apis(api):
    with OpenAIServer(default_scenario()) as server:
        result = Workflow(order_team(model(server, api=api))).run(QUESTION)
        assert result.text == "The expected delivery date for your order 214 is 2022-01-01."
        paths = {request.path for request in server.requests}
    assert paths == {"/v1/chat/completions" if api == "chat" else "/v1/responses"}


def test_an_agent_sends_the_results_of_its_tools_back():
    with OpenAIServer([Reply("Let me see.", [Call("look", id="c1")]), "42 it is."]) as server:
        agent = Agent("a", model(server), system_message="Be brief.")
        agent.register_tool(name="look", description="Looks")(lambda: "42")
        assert Workflow(agent).run("Hi").text == "Let me see.42 it is."
    assert server.requests[1].body["input"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see."},
        CALLED,
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]


def test_a_lost_connection_fails_the_run_with_what_had_arrived() -> None:
    with OpenAIServer([Dropped(2, "one two"), "Again."]) as server:
        workflow = Workflow(Agent("a", model(server)))
        result = workflow.run("Hi")
        assert (result, type(result.error)) == ("agent-error", ModelConnectionError)
        assert workflow.conversation[-1].text == "one"
        assert workflow.run("Well?").text == "Again."


# Azure.


def test_azure_serves_responses_with_the_deployment_in_the_body():
    settings: dict[str, Any] = {"api": "responses", "api_key": "k1", "api_version": "2025-04-01-preview"}
    with OpenAIServer(["Hi."]) as server:
        llm = AzureOpenAILLM(azure_endpoint=server.azure_endpoint, azure_deployment="my-gpt", **settings)
        assert texts(answer(llm)) == ["Hi", "."]
        [request] = server.requests
    assert request.path == "/openai/responses"
    assert request.query == {"api-version": "2025-04-01-preview"}
    assert request.headers["api-key"] == "k1"
    assert request.body["model"] == "my-gpt"


def test_chat_does_not_send_what_only_responses_take_back():
    messages = (
        *ASK.messages,
        {"role": "assistant", "content": "Hm.", "output_items": [THOUGHT], "phases": ["a"]},
    )
    body = sent(ChatRequest(messages), api="chat")
    assert body["messages"][1] == {"role": "assistant", "content": "Hm."}


def test_the_thoughts_behind_a_call_go_back_with_its_result():
    script = [
        Reply(
            deltas=[
                delta(reasoning="Hm.", output_items=[THOUGHT]),
                delta("Let me see.", phases=["commentary"]),
                *Call("look").render(0, "c1"),
                delta(),
            ]
        ),
        "42 it is.",
    ]
    with OpenAIServer(script) as server:
        agent = Agent("a", model(server, reasoning_effort="low"))
        agent.register_tool(name="look", description="Looks")(lambda: "42")
        workflow = Workflow(agent)
        assert workflow.run("Hi").text == "Let me see.42 it is."
        first, second = (request.body for request in server.requests)
    assert first["include"] == ["reasoning.encrypted_content"]
    summary = [{"type": "summary_text", "text": "Hm."}]
    assert second["input"][1:4] == [
        {"type": "reasoning", "summary": summary, "encrypted_content": "gAAA"},
        {"role": "assistant", "content": "Let me see."},
        CALLED,
    ]
    # and it is still there when the conversation has been stored
    assert workflow.conversation[-1].steps[0].metadata["output_items"][0]["encrypted_content"] == "gAAA"
