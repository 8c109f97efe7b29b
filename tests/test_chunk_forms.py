"""Chunks that differ in their words alone: read by their form, they say what they say as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.errors import ModelError
from rxagents.kept_deltas import Deltas, Kept
from rxagents.llm import chat_stream
from rxagents.llm.chat_stream import ChatStreamDecoder
from rxagents.llm.chunk_forms import ChunkForm, form_of
from rxagents.values import delta

DONE = b"data: [DONE]\n\n"


def chunk(words: str | None, *, padding: str | None = None, compact: bool = True, **extras: Any) -> bytes:
    """A chunk as services send it; extras stand in its delta."""
    choice = {"index": 0, "delta": {"content": words, **extras}, "logprobs": None, "finish_reason": None}
    fields = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], "usage": None}
    if padding is not None:
        fields["obfuscation"] = padding
    separators = (",", ":") if compact else (", ", ": ")
    return json.dumps(fields, separators=separators, ensure_ascii=compact).encode()


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def read(reads: list[bytes]) -> tuple[list[Any], str | None, object]:
    """The deltas of a body that comes in these reads, what it failed with, and its completion."""
    decoder, deltas = ChatStreamDecoder(), list[Kept]()
    error = None
    try:
        for each in reads:
            decoder.feed(each, deltas)
        decoder.close(deltas)
    except ModelError as raised:
        error = str(raised)
    return list(Deltas(deltas)), error, decoder.completion


def parsed(reads: list[bytes]) -> tuple[list[Any], str | None, object]:
    """The same, with each chunk parsed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_stream, "form_of", lambda *_: None)
        return read(reads)


def learned(data: bytes) -> ChunkForm | None:
    fields = json.loads(data)
    return form_of(data, fields, {**delta(), **fields["choices"][0]["delta"]})


OTHERS = [
    b": a comment\n\n",
    b"event: ping\ndata: {}\n\n",
    b"data: \n\n",
    b"data: {broken\n\n",
    event(b'{"error":{"message":"Overloaded"}}'),
    event(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'),
    event(chunk("end").replace(b'"finish_reason":null', b'"finish_reason":"stop"')),
    event(chunk("second").replace(b'"index":0', b'"index":1')),
    event(chunk("x").replace(b'"x"', b'"x","refusal":"No."')),
    event(chunk("x").replace(b'"x"', b'"a\tb"')),  # a control character, which JSON does not allow
    event(chunk("x").replace(b'"x"', b'"a\xffb"')),
    event(chunk("x").replace(b'"x"', b'"x"},"other":{"content":"y"')),
    event(chunk(None)),
    DONE,
]
words = st.text(st.sampled_from('abc "\\/\n\té漢\U0001f600{}:,'), max_size=6) | st.just('"content":"')


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A body of chunks of one form, with others between them, and where it is cut."""
    compact = draw(st.booleans())
    padded = draw(st.booleans())
    extras = draw(st.sampled_from([{}, {"role": "assistant"}, {"refusal": ""}, {"reasoning": None}]))
    events = [
        event(chunk(word, padding=draw(words) if padded else None, compact=compact, **extras))
        for word in draw(st.lists(words, min_size=2, max_size=12))
    ]
    for other in draw(st.lists(st.sampled_from(OTHERS), max_size=2)):
        events.insert(draw(st.integers(0, len(events))), other)
    body = b"".join([*events, DONE])
    return body, sorted(draw(st.sets(st.integers(0, len(body)), max_size=8)))


@settings(deadline=None, max_examples=150)
@given(cut_body=bodies())
def test_chunks_read_by_their_form_say_what_they_say_as_json(cut_body: tuple[bytes, list[int]]) -> None:
    body, cuts = cut_body
    reads = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert read(reads) == parsed(reads) == parsed([body])


@pytest.mark.parametrize("padding", [None, "Xy3"])
@pytest.mark.parametrize("extras", [{}, {"role": "assistant"}, {"reasoning": None}])
def test_all_but_the_first_chunk_are_read_by_their_form(
    monkeypatch: pytest.MonkeyPatch, padding: str | None, extras: dict[str, Any]
) -> None:
    documents = []
    read_event = chat_stream.read_event

    def counted(name: str | None, data: bytes) -> dict[str, Any] | None:
        documents.append(data)
        return read_event(name, data)

    monkeypatch.setattr(chat_stream, "read_event", counted)
    said = [f"word{number}" for number in range(100)]
    events = [event(chunk(word, padding=padding, **extras)) for word in said]
    one_by_one, _, _ = read([*events, DONE])
    assert [each["content"] for each in one_by_one] == said
    assert len(documents) == 1
    at_once, _, _ = read([events[0], b"".join(events[1:]), DONE])
    assert at_once == one_by_one
    assert len(documents) == 2


def test_a_line_feed_among_the_words_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = []
    read_event = chat_stream.read_event
    monkeypatch.setattr(
        chat_stream, "read_event", lambda *args: documents.append(args[1]) or read_event(*args)
    )
    events = [event(chunk(word)) for word in ("a", "b", "\n", "c")]
    deltas, _, _ = read([events[0], b"".join(events[1:]), DONE])
    assert [each["content"] for each in deltas] == ["a", "b", "\n", "c"]
    assert documents == [chunk("a"), chunk("\n")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(chunk(""), id="no words"),
        pytest.param(chunk(None), id="no text"),
        pytest.param(chunk("a\nb"), id="words with an escape"),
        pytest.param(chunk("a").replace(b'"a"', b'"a","content":"b"'), id="words twice"),
        pytest.param(chunk("a").replace(b'"id"', b'"content":"a","id"'), id="the same words before"),
        pytest.param(chunk("a").replace(b"null}]", b'"stop"}]'), id="a finish reason"),
        pytest.param(chunk("a").replace(b'"usage":null', b'"usage":{"total_tokens":1}'), id="usage"),
        pytest.param(chunk("a", padding="a\nb"), id="padding with an escape"),
        pytest.param(chunk("a", padding="x").replace(b'"x"}', b'"x","obfuscation":"x"}'), id="padding twice"),
        pytest.param(chunk("a", tool_calls=[{"index": 0}]), id="a tool call"),
        pytest.param(chunk("a", annotations={"b": 1}), id="more than words"),
    ],
)
def test_a_chunk_that_says_more_than_words_has_no_form(data: bytes) -> None:
    assert learned(chunk("a")) is not None
    assert learned(data) is None


def test_after_some_chunks_without_a_form_none_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    monkeypatch.setattr(chat_stream, "form_of", lambda data, *_: looked.append(data))
    deltas, _, _ = read([event(chunk(f"{number}")) for number in range(50)] + [DONE])
    assert len(deltas) == 50
    assert len(looked) == 4


def test_each_delta_is_a_dict_of_its_own() -> None:
    deltas, _, _ = read([event(chunk("a", reasoning=None)) for _ in range(3)] + [DONE])
    deltas[0]["content"] = "b"
    assert [each["content"] for each in deltas] == ["b", "a", "a"]
    assert list(deltas[2]) == ["content", "function_call", "refusal", "tool_calls", "reasoning"]


def test_nothing_counts_behind_the_end_also_in_one_read_with_it() -> None:
    said = [event(chunk(word)) for word in "abcd"]
    assert read([said[0], said[1] + DONE + said[2] + said[3]]) == read([*said[:2], DONE])


def test_what_begins_and_ends_as_a_chunk_and_is_too_short_for_one_is_broken() -> None:
    begun = event(chunk("a"))
    assert "no JSON" in str(read([begun, begun.replace(b'"a"', b'"'), DONE])[1])


@pytest.mark.parametrize("before", [b"event: error\r\n", b"event: error\n: " + b"x" * 70_000 + b"\n"])
def test_a_read_in_the_midst_of_an_event_is_not_taken_for_a_chunk(before: bytes) -> None:
    begun, failed = event(chunk("a")), event(chunk("b"))
    cut_there = read([begun, before, b": and\n", failed])
    assert cut_there == read([begun + before + b": and\n" + failed])
    assert cut_there[1] is not None


@pytest.mark.parametrize("padding", [None, "Xy3"])
def test_where_the_form_changes_the_new_one_is_learned(
    monkeypatch: pytest.MonkeyPatch, padding: str | None
) -> None:
    documents = []
    read_event = chat_stream.read_event
    monkeypatch.setattr(
        chat_stream, "read_event", lambda *args: documents.append(args[1]) or read_event(*args)
    )
    events = [event(chunk("Hi", padding=padding, role="assistant"))]
    for second in range(20):
        data = chunk("word", padding=padding).replace(b'"c1"', b'"c1","created":%d' % second)
        events += [event(data)] * 10
    deltas, _, _ = read([*events, DONE])
    assert len(deltas) == 201
    assert len(documents) == 21


def test_forms_that_change_all_the_time_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    monkeypatch.setattr(
        chat_stream, "form_of", lambda data, *rest: looked.append(data) or form_of(data, *rest)
    )
    events = [event(chunk("a").replace(b'"c1"', b'"c%d"' % number)) for number in range(50)]
    assert len(read([*events, DONE])[0]) == 50
    assert len(looked) == 4


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("padding", [None, "Xy3"])
def test_what_stands_between_two_chunks_in_one_read_is_not_lost(other: bytes, padding: str | None) -> None:
    begun, *said = (event(chunk(word, padding=padding)) for word in "abcd")
    reads = [begun, said[0] + other + said[1] + said[2], DONE]
    assert read(reads) == parsed(reads)
