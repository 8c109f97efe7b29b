"""What we make of recorded streams of real services, against what the `openai` client makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from rxagents.assembly import assemble
from rxagents.errors import ModelStreamError
from rxagents.kept_deltas import Deltas
from rxagents.llm.chat_stream import ChatStreamDecoder
from rxagents.values import Completion, Delta

FOLDER = Path(__file__).parent.parent.parent / "shared" / "recorded" / "chat"
RECORDINGS = sorted(FOLDER.glob("*.json"))
FAILING = {
    "groq-tool_use_failed_error_streaming-0": "Tool call validation failed",
    "openrouter-openrouter_stream_error-0": "Token limit reached",
}
# The client's state serializes the message for each chunk, and content that is a list makes that warn;
# what it then accumulates is without those parts.
LIST_CONTENT = {"mistral-mistral_model_thinking_part_iter-0"}

pytestmark = pytest.mark.skipif(not RECORDINGS, reason=f"no recorded streams in {FOLDER.resolve()}")
each_recording = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
each_whole_recording = pytest.mark.parametrize(
    "path", [path for path in RECORDINGS if path.stem not in FAILING], ids=lambda path: path.stem
)


@dataclass(frozen=True)
class Answer:
    """What both sides must agree on; empty and absent are the same."""

    text: str
    calls: tuple[tuple[str, str, str], ...]
    refusal: str
    finish_reason: str | None
    usage: tuple[int, int, int] | None


@dataclass(frozen=True)
class Reading:
    """What our decoder made of a body."""

    deltas: list[Delta]
    completion: Completion
    done: bool
    error: str | None

    def answer(self) -> Answer:
        message = assemble(self.deltas, [self.completion])
        usage = message.usage
        return Answer(
            text=message.text,
            calls=tuple(
                (call.id, call.function["name"], call.function["arguments"]) for call in message.tool_calls
            ),
            refusal=message.refusal or "",
            finish_reason=message.finish_reason,
            usage=usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
        )


def body_of(path: Path) -> bytes:
    return json.loads(path.read_text(encoding="utf-8"))["body"].encode()


def ours(reads: list[bytes]) -> Reading:
    decoder, deltas, error = ChatStreamDecoder(), [], None
    try:
        for read in reads:
            decoder.feed(read, deltas)
        decoder.close(deltas)
    except ModelStreamError as raised:
        error = str(raised)
    return Reading(list(Deltas(deltas)), decoder.completion, decoder.done, error)


def chunks_of_openai(body: bytes) -> tuple[list[ChatCompletionChunk], str | None]:
    """The client's chunks of that body, and the error that it ended with."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    chunks: list[ChatCompletionChunk] = []
    transport = httpx2.Client(transport=httpx2.MockTransport(respond))
    with OpenAI(api_key="-", base_url="http://localhost/v1", max_retries=0, http_client=transport) as client:
        try:
            for chunk in client.chat.completions.create(model="-", messages=[], stream=True):
                chunks.append(chunk)
        except APIError as raised:
            return chunks, str(raised)
    return chunks, None


def state_of_openai(chunks: list[ChatCompletionChunk]) -> Answer:
    """By the client's own accumulation; as a snapshot, since the final form refuses a cut answer."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    snapshot = state.current_completion_snapshot
    choice, usage = snapshot.choices[0], snapshot.usage
    return Answer(
        text=choice.message.content or "",
        calls=tuple((c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()),
        refusal=choice.message.refusal or "",
        finish_reason=choice.finish_reason,
        usage=usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    )


def fold_of_openai(chunks: list[ChatCompletionChunk]) -> Answer:
    """By a plain fold over the client's chunks, for content that is a list."""
    text, refusal, finish_reason, usage = "", "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content: Any = choice.delta.content
            if isinstance(content, list):
                content = "".join(part["text"] for part in content if part["type"] == "text")
            text += content or ""
            refusal += choice.delta.refusal or ""
            finish_reason = choice.finish_reason or finish_reason
            assert not choice.delta.tool_calls, "this fold knows no tool calls"
    counts = usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    return Answer(text, (), refusal, finish_reason, counts)


@each_whole_recording
def test_a_recorded_stream_assembles_to_what_the_openai_client_makes_of_it(path: Path) -> None:
    body = body_of(path)
    chunks, error = chunks_of_openai(body)
    theirs = (fold_of_openai if path.stem in LIST_CONTENT else state_of_openai)(chunks)
    reading = ours([body])
    assert error is None
    assert reading.error is None
    assert reading.done
    assert reading.answer() == theirs
    assert theirs.text or theirs.calls


@each_recording
def test_a_recorded_stream_gives_one_delta_for_each_of_the_clients_choice_chunks(path: Path) -> None:
    body = body_of(path)
    raw = [
        choice.delta.model_extra | {"content": choice.delta.content}
        for chunk in chunks_of_openai(body)[0]
        for choice in chunk.choices
    ]
    deltas = ours([body]).deltas
    assert all(list(delta)[:4] == ["content", "function_call", "refusal", "tool_calls"] for delta in deltas)
    assert [
        {"content": delta.get("content_parts", delta["content"])}
        | {key: value for key, value in delta.items() if key not in (*list(delta)[:4], "content_parts")}
        for delta in deltas
    ] == raw


@pytest.mark.parametrize("stem", FAILING)
def test_an_error_in_a_recorded_stream_comes_after_what_had_arrived(stem: str) -> None:
    body = body_of(FOLDER / f"{stem}.json")
    chunks, error = chunks_of_openai(body)
    reading = ours([body])
    assert error is not None
    assert error.startswith(FAILING[stem])
    assert reading.error == error
    assert len(reading.deltas) == len(chunks)
    mine, theirs = reading.answer(), state_of_openai(chunks)
    assert (mine.text, mine.calls, mine.refusal) == (theirs.text, theirs.calls, theirs.refusal)
    assert mine.finish_reason == theirs.finish_reason
    spoken = [delta["reasoning"] for delta in reading.deltas if delta.get("reasoning")]
    assert spoken == [
        c.choices[0].delta.reasoning for c in chunks if getattr(c.choices[0].delta, "reasoning", None)
    ]
    assert spoken


def test_the_usage_in_an_error_chunk_is_counted() -> None:
    reading = ours([body_of(FOLDER / "openrouter-openrouter_stream_error-0.json")])
    assert reading.answer().usage == (43, 10, 53)


def test_thinking_as_content_parts_is_kept_beside_the_text() -> None:
    body = body_of(FOLDER / "mistral-mistral_model_thinking_part_iter-0.json")
    message = assemble(ours([body]).deltas)
    thoughts = [part["text"] for parts in message.metadata["content_parts"] for part in parts["thinking"]]
    assert "".join(thoughts).startswith("Okay, the user is asking how to cross the street.")
    assert message.text.startswith("To cross the street safely")


def test_reasoning_is_kept_beside_the_text() -> None:
    body = body_of(FOLDER / "deepseek-deepseek_model_thinking_stream-0.json")
    message = assemble(ours([body]).deltas)
    assert message.metadata["reasoning_content"].startswith("Hmm, ")
    assert message.text == "Hello there! 😊 How can I help you today?"


@settings(deadline=None, max_examples=25)
@given(data=st.data())
@each_recording
def test_the_reading_of_a_recorded_stream_does_not_depend_on_the_cuts(
    path: Path, data: st.DataObject
) -> None:
    body = body_of(path)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=40), label="cuts"))
    reads = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert ours(reads) == ours([body])


@pytest.mark.parametrize(
    "stem",
    [
        "openai-run_stream_sync_streams_real_model-0",
        "openrouter-openrouter_stream_error-0",
        "deepseek-deepseek_model_thinking_stream-0",
    ],
)
def test_a_recorded_stream_may_come_byte_by_byte(stem: str) -> None:
    body = body_of(FOLDER / f"{stem}.json")
    assert ours([body[at : at + 1] for at in range(len(body))]) == ours([body])


@each_recording
def test_a_recorded_stream_may_come_with_other_line_ends(path: Path) -> None:
    body = body_of(path)
    for line_end in (b"\r\n", b"\r"):
        other = body.replace(b"\n", line_end)
        assert ours([other[at : at + 1460] for at in range(0, len(other), 1460)]) == ours([body])
