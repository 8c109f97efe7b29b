"""What we make of recorded streams of the Responses API, over HTTP, against what the `openai` client does."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import ParsedResponse

from rxagents.assembly import assemble
from rxagents.engine.bridges import forward
from rxagents.llm.openai_chat import OpenAILLM
from rxagents.llm.requests import ChatRequest
from rxagents.values import Completion, Delta, Message

FOLDER = Path(__file__).parent.parent.parent / "shared" / "recorded" / "responses"
RECORDINGS = sorted(FOLDER.glob("*.json"))
ASK = ChatRequest(({"role": "user", "content": "Hello there"},))

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

pytestmark = [
    pytest.mark.skipif(not RECORDINGS, reason=f"no recorded streams in {FOLDER.resolve()}"),
    pytest.mark.usefixtures("each_transport"),
]
each_recording = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)


@dataclass(frozen=True)
class Answer:
    """What both sides must agree on; empty and absent are the same."""

    text: str
    calls: tuple[tuple[str, str, str], ...]
    refusal: str
    reasoning: str
    annotations: list[Any]
    finish_reason: str | None
    usage: tuple[int, int, int] | None
    model: str | None


def body_of(path: Path) -> bytes:
    return json.loads(path.read_text(encoding="utf-8"))["body"].encode()


def recording(name: str) -> bytes:
    [path] = [path for path in RECORDINGS if name in path.stem]
    return body_of(path)


def heard(pieces: list[bytes]) -> list[Delta | Completion]:
    """What an OpenAILLM emits when a service on the loopback sends these pieces, each a chunk of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for piece in pieces:
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()

    async def main() -> list[Delta | Completion]:
        items: list[Delta | Completion] = []
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as service:
            port = service.sockets[0].getsockname()[1]
            base_url = f"http://127.0.0.1:{port}/v1"
            llm = OpenAILLM("m", api="responses", base_url=base_url, api_key="k1", max_retries=0)
            await forward(llm(ASK), items.append)
            await llm.aclose()
        return items

    return asyncio.run(main())


def message_of(items: list[Delta | Completion]) -> Message:
    completions = [item for item in items if isinstance(item, Completion)]
    return assemble([item for item in items if not isinstance(item, Completion)], completions)


def ours(items: list[Delta | Completion]) -> Answer:
    message = message_of(items)
    usage = message.usage
    return Answer(
        text=message.text,
        calls=tuple(
            (call.id, call.function["name"], call.function["arguments"]) for call in message.tool_calls
        ),
        refusal=message.refusal or "",
        reasoning=message.metadata.get("reasoning", ""),
        annotations=message.metadata.get("annotations", []),
        finish_reason=message.finish_reason,
        usage=usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
        model=message.metadata.get("model"),
    )


def response_of_openai(body: bytes) -> ParsedResponse[None]:
    """By the client's own accumulation."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    with (
        # Its types do not know all that the service sends (a source of a web search of type `api`).
        warnings.catch_warnings(action="ignore", category=UserWarning),
        OpenAI(api_key="-", base_url="http://localhost/v1", max_retries=0, http_client=transport) as client,
        client.responses.stream(model="-", input="") as stream,
    ):
        return stream.get_final_response()


def theirs(body: bytes) -> Answer:
    response = response_of_openai(body)
    messages = [item for item in response.output if item.type == "message"]
    parts = [part for message in messages for part in message.content]
    thoughts = [item for item in response.output if item.type == "reasoning"]
    calls = tuple((c.call_id, c.name, c.arguments) for c in response.output if c.type == "function_call")
    usage = response.usage
    return Answer(
        text=response.output_text,
        calls=calls,
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        reasoning="\n\n".join(
            part.text for thought in thoughts for part in (*thought.summary, *(thought.content or ()))
        ),
        annotations=[
            each.to_dict() for part in parts if part.type == "output_text" for each in part.annotations
        ],
        finish_reason={"completed": "tool_calls" if calls else "stop"}[str(response.status)],
        usage=usage and (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        model=response.model,
    )


@each_recording
def test_a_recorded_stream_comes_to_what_the_openai_client_makes_of_it(path: Path) -> None:
    body = body_of(path)
    answer = ours(heard([body]))
    assert answer == theirs(body)
    assert answer.text
    assert answer.usage


@each_recording
def test_a_recorded_stream_may_come_byte_by_byte(path: Path) -> None:
    body = body_of(path)
    assert heard([body[at : at + 1] for at in range(len(body))]) == heard([body])


@settings(deadline=None, max_examples=15)
@given(data=st.data())
@each_recording
def test_the_reading_of_a_recorded_stream_does_not_depend_on_the_cuts(
    path: Path, data: st.DataObject
) -> None:
    body = body_of(path)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=40), label="cuts"))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert ours(heard(pieces)) == theirs(body)


@each_recording
def test_a_recorded_stream_may_come_with_other_line_ends(path: Path) -> None:
    body = body_of(path)
    for line_end in (b"\r\n", b"\r"):
        other = body.replace(b"\n", line_end)
        assert heard([other[at : at + 1460] for at in range(0, len(other), 1460)]) == heard([body])


@each_recording
def test_each_increment_of_a_recorded_text_is_one_delta(path: Path) -> None:
    body = body_of(path)
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: ")]
    sent = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    deltas = [item for item in heard([body]) if not isinstance(item, Completion)]
    assert [item["content"] for item in deltas if item["content"]] == sent
    assert all(list(item)[:4] == ["content", "function_call", "refusal", "tool_calls"] for item in deltas)


@each_recording
def test_a_recorded_stream_that_ends_before_the_response_does_is_no_answer(path: Path) -> None:
    body = body_of(path)
    cut = body[: body.index(b"event: response.completed")]
    with pytest.raises(Exception, match="before the answer was whole") as caught:
        heard([cut])
    assert type(caught.value).__name__ == "ModelConnectionError"


def test_a_web_search_is_told_of_under_its_own_key() -> None:
    items = heard([recording("web_search")])
    told = [item["web_search_call"] for item in items if isinstance(item, dict) and "web_search_call" in item]
    assert [each["type"] for each in told] == [
        "web_search_call",
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "web_search_call",
    ]
    assert told[-1]["action"]["query"] == "weather: San Francisco, CA"
    metadata = message_of(items).metadata
    assert metadata["web_search_call"] == told[-1]
    assert [item["type"] for item in metadata["output_items"]] == [
        "reasoning",
        "web_search_call",
        "reasoning",
    ]
    assert json.loads(json.dumps(metadata)) == metadata


def test_the_phase_of_a_message_is_known_before_its_text() -> None:
    items = [item for item in heard([recording("phase")]) if isinstance(item, dict)]
    [phased] = [index for index, item in enumerate(items) if item.get("phases")]
    [first, *_] = [index for index, item in enumerate(items) if item["content"]]
    assert items[phased]["phases"] == ["commentary"]
    assert phased < first
