"""Server-sent events by the standard, and the dialects of streamed chat completions."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.assembly import assemble
from rxagents.errors import ModelConnectionError, ModelError, ModelProtocolError, ModelStreamError
from rxagents.kept_deltas import Deltas
from rxagents.llm.chat_stream import ChatStreamDecoder
from rxagents.llm.sse import SSEDecoder
from rxagents.values import Completion, Delta, Usage, delta

# --- the standard -----------------------------------------------------------------------------------

Event = tuple[str | None, bytes]


def events_of(*reads: bytes) -> list[Event]:
    """All events of a body that comes in these reads and then ends."""
    decoder = SSEDecoder()
    events = [event for read in reads for event in decoder.feed(read)]
    return [tuple(event) for event in events + decoder.close()]


def cut(body: bytes, positions: list[int]) -> list[bytes]:
    places = sorted(min(position, len(body)) for position in positions)
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"data: a\n\n", [(None, b"a")], id="one event"),
        pytest.param(b"data: a\n\ndata: b\n\n", [(None, b"a"), (None, b"b")], id="two events"),
        pytest.param(
            b"data: YHOO\ndata: +2\ndata: 10\n\n", [(None, b"YHOO\n+2\n10")], id="the standard's first"
        ),
        pytest.param(
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            [(None, b"first event"), (None, b"second event"), (None, b" third event")],
            id="the standard's second, whose last event ends with the body",
        ),
        pytest.param(b"data\n\ndata\ndata\n\n", [(None, b""), (None, b"\n")], id="the standard's third"),
        pytest.param(b"data:test\n\ndata: test\n\n", [(None, b"test")] * 2, id="the standard's fourth"),
        pytest.param(
            b"event: add\ndata: 7\n\ndata: 8\n\n", [("add", b"7"), (None, b"8")], id="names last one event"
        ),
        pytest.param(b"event: a\nevent: b\ndata: 1\n\n", [("b", b"1")], id="the last name counts"),
        pytest.param(b"event:\ndata: 1\n\n", [(None, b"1")], id="an empty name is none"),
        pytest.param(
            b"event: lost\n\ndata: 1\n\n", [(None, b"1")], id="no data, no event, and its name is gone"
        ),
        pytest.param(b"\n\n\n\n", [], id="blank lines"),
        pytest.param(b":\n:beat\n: beat\n\n", [], id="comments"),
        pytest.param(b"data: a\n: beat\ndata: b\n\n", [(None, b"a\nb")], id="a comment within an event"),
        pytest.param(b"id: 1\nretry: 10\nDATA: x\n data: y\nfoo: z\nbar\n\n", [], id="unknown fields"),
        pytest.param(b"data: a: b\n\n", [(None, b"a: b")], id="only the first colon parts"),
        pytest.param(b"data:\t a \n\n", [(None, b"\t a ")], id="only one space is taken off"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [(None, b"a"), (None, b"b")], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [(None, b"a"), (None, b"b")], id="CR"),
        pytest.param(b"data: a\r\ndata: b\rdata: c\n\r\n", [(None, b"a\nb\nc")], id="mixed line ends"),
        pytest.param(b"data: a\r\n", [(None, b"a")], id="the end instead of the blank line"),
        pytest.param(b"data: a\r", [(None, b"a")], id="the end within a line end"),
        pytest.param(b"data: a", [(None, b"a")], id="the end instead of the line end"),
        pytest.param(b"data: a\n\n\n\ndata: b\n\n", [(None, b"a"), (None, b"b")], id="many blank lines"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [(None, b"a")], id="a byte order mark"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [], id="only one byte order mark"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(None, b"a")], id="a byte order mark elsewhere"),
        pytest.param("data: 😊\n\n".encode(), [(None, "😊".encode())], id="UTF-8"),
        pytest.param("event: 😊\ndata: 1\n\n".encode(), [("😊", b"1")], id="a name in UTF-8"),
        pytest.param(b"event: \xff\ndata: 1\n\n", [("�", b"1")], id="a name that is no UTF-8"),
    ],
)
def test_the_standards_cases_hold_however_the_body_is_cut(body: bytes, events: list[Event]) -> None:
    assert events_of(body) == events
    assert events_of(*(body[at : at + 1] for at in range(len(body)))) == events
    for at in range(len(body)):
        assert events_of(b"", body[:at], b"", body[at:]) == events


def test_only_the_beginning_of_the_body_may_have_a_byte_order_mark() -> None:
    event, mark = b"data: a\n\n", b"\xef\xbb\xbf"
    assert events_of(b"", mark + event, mark + event) == [(None, b"a")]
    assert events_of(b"", event, mark + event) == [(None, b"a")]
    assert events_of(event, mark + event) == [(None, b"a")]


def test_an_event_is_delivered_with_the_read_that_ends_it() -> None:
    decoder = SSEDecoder()
    reads = [b"data: a\n\n", b"data: b\n", b"\n", b"data: c\r\r", b"\n", b"data: d\n\ndata: e\n\ndata"]
    assert [len(decoder.feed(read)) for read in reads] == [1, 0, 1, 1, 0, 2]


@pytest.mark.parametrize(
    "read",
    [
        b"data: a\n\n",
        b"data: a\n\ndata: b\n\n",
        b"data: a\ndata: b\n\n",
        b"data: a\n\n\ndata: b\n\n",
        b"data: a\n\n: beat\n\n",
        b"data: a\n\nevent: e\ndata: b\n\n",
        b"data: a\n\ndata:b\n\n",
        b"data: a\rdata: b\n\n",
        b"data: a\n\ndata: \n\n",
        b"data: \n\n",
    ],
)
def test_a_read_of_whole_events_is_decoded_like_the_same_bytes_one_by_one(read: bytes) -> None:
    begun = b"data: 0\n\n"
    assert events_of(begun, read, read) == events_of(*(bytes((byte,)) for byte in begun + read + read))


def test_a_long_line_in_many_reads_is_put_together_once() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(100_000):
        assert decoder.feed(b"0123456789") == []
    assert not decoder.cuts  # it would join each read with all those before it
    assert [len(event.data) for event in decoder.feed(b"\n\n")] == [1_000_000]


line_texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
names = st.none() | line_texts.filter(bool)
generated_events = st.lists(st.tuples(names, st.lists(line_texts, min_size=1, max_size=3)), max_size=6)


@settings(deadline=None)
@given(
    events=generated_events,
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    comments=st.lists(line_texts, max_size=8),
    space=st.sampled_from(["", " "]),
    mark=st.booleans(),
    positions=st.lists(st.integers(0, 400), max_size=30),
)
def test_decoding_gives_back_the_events_that_were_written(
    events: list[tuple[str | None, list[str]]],
    line_end: str,
    comments: list[str],
    space: str,
    mark: bool,
    positions: list[int],
) -> None:
    lines: list[str] = []
    remarks = iter(comments)
    for name, data in events:
        # Without the space after the colon, a text that begins with one would lose it.
        fields = [("event", name)] if name is not None else []
        for field, value in [*fields, *(("data", text) for text in data)]:
            lines.append(f"{field}:{space or (' ' if value.startswith(' ') else '')}{value}")
            lines.extend(f":{remark}" for remark in [next(remarks, None)] if remark is not None)
        lines.append("")
    body = ("\ufeff" if mark else "").encode() + "".join(line + line_end for line in lines).encode()
    written = [(name, "\n".join(data).encode()) for name, data in events]
    assert events_of(*cut(body, positions)) == written
    assert events_of(body) == written


# --- chat completions -------------------------------------------------------------------------------


def chunk(*deltas: dict[str, Any] | None, finish_reason: str | None = None, **fields: Any) -> bytes:
    """A chunk with one choice for each delta (None: a choice without one), as an event."""
    choices = [
        {"index": index, "finish_reason": finish_reason} | ({} if each is None else {"delta": each})
        for index, each in enumerate(deltas)
    ]
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices} | fields)


def event(data: object, name: str | None = None) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


DONE = event("[DONE]")
STOP = chunk({}, finish_reason="stop")


def read(*reads: bytes) -> tuple[list[Delta], ChatStreamDecoder]:
    """The deltas of a body that comes in these reads and then ends."""
    decoder, deltas = ChatStreamDecoder(), []
    for each in reads:
        decoder.feed(each, deltas)
    decoder.close(deltas)
    return list(Deltas(deltas)), decoder


def failing(*reads: bytes) -> tuple[list[Delta], ModelError]:
    """The deltas of a body that comes in these reads, up to the error that it ends with."""
    decoder, deltas = ChatStreamDecoder(), []
    try:
        for each in reads:
            decoder.feed(each, deltas)
        decoder.close(deltas)
    except ModelError as error:
        return list(Deltas(deltas)), error
    pytest.fail("this body should have failed")


def test_deltas_have_the_four_keys_in_order_and_no_role() -> None:
    deltas, _ = read(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), STOP, DONE)
    assert deltas == [delta(""), delta("Hi"), delta()]
    assert [list(each) for each in deltas] == [["content", "function_call", "refusal", "tool_calls"]] * 3


def test_refusals_and_old_function_calls_are_kept() -> None:
    call = {"name": "f", "arguments": "{}"}
    deltas, _ = read(chunk({"refusal": "No."}), chunk({"function_call": call}), DONE)
    assert deltas == [delta(refusal="No."), delta(function_call=call)]


def test_what_a_provider_adds_is_kept_under_its_own_key() -> None:
    details = [{"type": "reasoning.text", "text": "We", "index": 0}]
    deltas, _ = read(
        chunk({"reasoning": "We", "channel": "analysis", "reasoning_details": details}),
        chunk({"content": "Hi", "reasoning_content": None}),
        chunk({"content": "!"}),
        DONE,
    )
    assert deltas == [
        delta(None, reasoning="We", channel="analysis", reasoning_details=details),
        delta("Hi", reasoning_content=None),
        delta("!"),
    ]


def test_content_as_a_list_gives_its_text_and_its_parts() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]
    both = [*thinking, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    deltas, _ = read(chunk({"content": thinking}), chunk({"content": both}), chunk({"content": []}), DONE)
    assert deltas == [
        delta(None, content_parts=thinking),
        delta("Hello", content_parts=both),
        delta(None, content_parts=[]),
    ]


def test_tool_call_fragments_have_all_keys_in_the_order_of_the_markers() -> None:
    deltas, _ = read(
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({"content": None, "tool_calls": None}),
        DONE,
    )
    begin, more = deltas[0]["tool_calls"], deltas[1]["tool_calls"]
    assert begin == [{"id": "a", "function": {"arguments": "", "name": "f"}, "type": "function", "index": 0}]
    assert more == [{"id": None, "function": {"arguments": "{}", "name": None}, "type": None, "index": 0}]
    assert [list(each) for each in (*begin, *more)] == [["id", "function", "type", "index"]] * 2
    assert [list(each["function"]) for each in (*begin, *more)] == [["arguments", "name"]] * 2
    assert deltas[2] == delta()


def test_several_tool_calls_in_one_chunk_are_several_calls() -> None:
    calls = [
        {
            "index": index,
            "id": f"id{index}",
            "type": "function",
            "function": {"name": name, "arguments": "{}"},
        }
        for index, name in enumerate("fg")
    ]
    deltas, decoder = read(chunk({"tool_calls": calls}, finish_reason="tool_calls"), DONE)
    message = assemble(deltas, [decoder.completion])
    assert [(call.id, call.function["name"]) for call in message.tool_calls] == [("id0", "f"), ("id1", "g")]
    assert message.finish_reason == "tool_calls"


def test_tool_calls_without_an_index_and_with_additions_are_kept() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"signature": "x"}}
    deltas, _ = read(chunk({"tool_calls": [call, None]}), chunk({"tool_calls": []}), DONE)
    assert deltas[0]["tool_calls"] == [
        {
            "id": "a",
            "function": {"arguments": "{}", "name": "f"},
            "type": None,
            "index": None,
            "extra_content": {"signature": "x"},
        }
    ]
    assert deltas[1]["tool_calls"] == []


def test_only_the_first_choice_is_read() -> None:
    deltas, decoder = read(
        chunk({"content": "a"}, {"content": "b"}),
        chunk(choices=[{"index": 1, "delta": {"content": "c"}, "finish_reason": "length"}]),
        chunk(choices=[{"delta": {"content": "d"}, "finish_reason": "stop"}]),
        DONE,
    )
    assert deltas == [delta("a"), delta("d")]
    assert decoder.completion.finish_reason == "stop"


def test_chunks_without_choices_give_no_delta_but_their_usage_and_model() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": {}}
    deltas, decoder = read(
        chunk(model="", prompt_filter_results=[{"prompt_index": 0}]),
        chunk({"content": "a"}, usage=None),
        STOP,
        chunk(usage=usage),
        DONE,
    )
    assert deltas == [delta("a"), delta()]
    assert decoder.completion == Completion(
        Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7), "stop", "m", None
    )


def test_null_choices_and_a_choice_without_delta_give_no_delta() -> None:
    deltas, decoder = read(
        chunk(choices=None), event({"usage": {"prompt_tokens": 1}}), chunk(None, finish_reason="stop"), DONE
    )
    assert deltas == []
    assert decoder.completion == Completion(Usage(prompt_tokens=1, total_tokens=1), "stop", "m", None)


def test_of_several_usages_the_last_wins_also_in_the_last_choice_chunk() -> None:
    _, decoder = read(
        chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}),
        chunk(
            {}, finish_reason="stop", usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": None}
        ),
    )
    assert decoder.completion.usage == Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7)


def test_the_first_model_that_is_named_is_the_one_that_answered() -> None:
    _, decoder = read(chunk({}, model=""), chunk({}, model="m1"), chunk({}, model="m2"), DONE)
    assert decoder.completion.model == "m1"


def test_the_request_id_goes_into_the_completion() -> None:
    assert ChatStreamDecoder("req_1").completion == Completion(request_id="req_1")
    assert ChatStreamDecoder(request_id="req_1").completion.usage is None


def test_what_follows_done_is_ignored() -> None:
    late = chunk({"content": "late"}, usage={"prompt_tokens": 1})
    deltas, decoder = read(chunk({"content": "a"}) + DONE + late, b"data: no json\n\n", late, b"data: {")
    assert deltas == [delta("a")]
    assert decoder.done
    assert decoder.completion.usage is None


def test_heartbeats_give_nothing() -> None:
    deltas, _ = read(
        b": PROCESSING\n\n", b"data: \n\n", b"data:\n\n", chunk({"content": "a"}), b":\n\n", DONE
    )
    assert deltas == [delta("a")]


@pytest.mark.parametrize(
    "end",
    [[STOP], [DONE], [STOP, DONE], [STOP[:-1]], [STOP[:-2]], [b"data: [DONE]"], [STOP, b"data: [DONE]"]],
)
def test_a_finish_reason_or_done_makes_the_answer_whole(end: list[bytes]) -> None:
    deltas, decoder = read(chunk({"content": "a"}), *end)
    assert deltas[0] == delta("a")
    assert decoder.done is (b"[DONE]" in end[-1])


@pytest.mark.parametrize("body", [b"", b": beat\n\n", chunk({"content": "a"}), b"<html>\n\n</html>"])
def test_a_body_that_ends_early_is_a_lost_connection(body: bytes) -> None:
    _, error = failing(body)
    assert isinstance(error, ModelConnectionError)
    assert "ended before the answer was whole" in str(error)


@pytest.mark.parametrize("left", range(len(b"data: {"), len(chunk({"content": "a"})) - 3))
def test_a_body_that_ends_within_a_chunk_is_a_lost_connection(left: int) -> None:
    deltas, error = failing(chunk({"content": "a"}), chunk({"content": "a"})[:left])
    assert deltas == [delta("a")]
    assert isinstance(error, ModelConnectionError)
    assert "ended within a chunk, before the answer was whole" in str(error)


@pytest.mark.parametrize(
    ("failure", "message", "body"),
    [
        (
            event({"error": {"message": "Overloaded", "code": 1}}),
            "Overloaded",
            {"message": "Overloaded", "code": 1},
        ),
        (event({"error": "Overloaded"}), "Overloaded", "Overloaded"),
        (
            chunk({"content": "lost"}, error={"message": "Overloaded"}),
            "Overloaded",
            {"message": "Overloaded"},
        ),
        (event({"error": {"message": "Bad call"}}, "error"), "Bad call", {"message": "Bad call"}),
        (event({"message": "Bad call", "code": 2}, "error"), "Bad call", {"message": "Bad call", "code": 2}),
        (event("upstream is gone", "error"), "upstream is gone", "upstream is gone"),
        (event('"gone"', "error"), "gone", "gone"),
        (event({"error": {"code": 7}}), 'the service reported an error: {"code":7}', {"code": 7}),
        (event({"detail": "x"}, "error"), 'the service reported an error: {"detail":"x"}', {"detail": "x"}),
    ],
)
def test_an_error_in_the_stream_comes_after_the_deltas_before_it_in_the_same_read(
    failure: bytes, message: str, body: object
) -> None:
    deltas, error = failing(chunk({"content": "a"}) + chunk({"content": "b"}) + failure + DONE)
    assert deltas == [delta("a"), delta("b")]
    assert isinstance(error, ModelStreamError)
    assert (str(error), error.body) == (message, body)


def test_an_error_without_its_blank_line_is_reported_at_the_end() -> None:
    _, error = failing(b'event: error\ndata: {"error": {"message": "Overloaded"}}')
    assert isinstance(error, ModelStreamError)
    assert str(error) == "Overloaded"


def test_the_usage_of_an_error_chunk_is_taken() -> None:
    decoder = ChatStreamDecoder()
    with pytest.raises(ModelStreamError, match="Limit"):
        decoder.feed(chunk(error={"message": "Limit"}, usage={"prompt_tokens": 4}), [])
    assert decoder.completion.usage == Usage(prompt_tokens=4, total_tokens=4)


def test_an_event_with_another_name_need_not_be_a_chunk() -> None:
    named = event({"choices": [{"delta": {"content": "a"}}]}, "chunk")
    deltas, _ = read(event({"type": "ping"}, "ping"), named, DONE)
    assert deltas == [delta("a")]


def test_usage_and_model_of_another_shape_are_left_out() -> None:
    _, decoder = read(chunk({"content": "a"}, usage="many", model=1), chunk({}, usage={}, model="m"), DONE)
    assert decoder.completion == Completion(model="m")


def test_an_error_key_that_holds_nothing_is_no_error() -> None:
    deltas, _ = read(chunk({"content": "a"}, error=None), chunk({"content": "b"}, error={}), DONE)
    assert deltas == [delta("a"), delta("b")]


def with_call(**fields: Any) -> bytes:
    return chunk({"tool_calls": [fields]})


@pytest.mark.parametrize(
    ("malformed", "what"),
    [
        (event('{"choices": [}'), "no JSON"),
        (event("Internal Server Error"), "no JSON"),
        (b"data: \xff\n\n", "no JSON"),
        (event("[1]"), "a chunk is list"),
        (event('"text"'), "a chunk is str"),
        (event("null"), "a chunk is NoneType"),
        (event({}), "choices of a chunk are NoneType"),
        (event({"detail": "quota exceeded"}), "quota exceeded"),
        (chunk(choices={}), "choices of a chunk are dict"),
        (chunk(choices="x"), "choices of a chunk are str"),
        (chunk(choices=[None]), "a choice is NoneType"),
        (chunk(choices=[[]]), "a choice is list"),
        (chunk(choices=[{"index": "1", "delta": {}}]), "index of a choice is str"),
        (chunk(choices=[{"delta": "x"}]), "delta is str"),
        (chunk(choices=[{"delta": {}, "finish_reason": 1}]), "finish_reason is int"),
        (chunk({"content": 1}), "content is int"),
        (chunk({"content": {"text": "x"}}), "content is dict"),
        (chunk({"refusal": ["x"]}), "refusal is list"),
        (chunk({"function_call": "f"}), "function_call is str"),
        (chunk({"tool_calls": {"index": 0}}), "tool_calls is dict"),
        (chunk({"tool_calls": ["f"]}), "entry of tool_calls is str"),
        (with_call(index="0"), "index of a tool call is str"),
        (with_call(index=True), "index of a tool call is bool"),
        (with_call(id=1), "id of a tool call is int"),
        (with_call(type=1), "type of a tool call is int"),
        (with_call(function="f"), "function of a tool call is str"),
        (with_call(function={"name": 1}), "name of a tool call is int"),
        (with_call(function={"arguments": {"a": 1}}), "arguments of a tool call is dict"),
    ],
)
def test_a_malformed_chunk_is_named_after_the_deltas_before_it(malformed: bytes, what: str) -> None:
    deltas, error = failing(chunk({"content": "a"}) + malformed + DONE)
    assert deltas == [delta("a")]
    assert isinstance(error, ModelProtocolError)
    assert what in str(error)
    assert "the service sent: " in str(error)


@pytest.mark.parametrize("length", [1, 200, 201, 100_000])
def test_the_excerpt_of_a_malformed_chunk_has_at_most_200_characters(length: int) -> None:
    _, error = failing(event("é" * length))
    excerpt = str(error).partition("the service sent: ")[2]
    assert excerpt == ("é" * length if length <= 200 else "é" * 199 + "…")


def test_broken_characters_are_replaced_as_the_standard_says() -> None:
    deltas, _ = read(chunk({"content": "X"}).replace(b"X", b"a\xffb"), DONE)
    assert deltas == [delta("a�b")]


wire_names = st.sampled_from(
    [
        "choices",
        "delta",
        "index",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "usage",
        "prompt_tokens",
        "error",
        "message",
        "finish_reason",
        "model",
        "type",
        "text",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "x", "0"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(wire_names, children, max_size=4),
    max_leaves=12,
)
deltas_of_any_shape = st.dictionaries(
    st.sampled_from(["content", "tool_calls", "refusal", "function_call", "role", "extra"]),
    json_values,
    max_size=3,
)


@settings(deadline=None)
@given(
    datas=st.lists(
        json_values
        | deltas_of_any_shape.map(lambda d: {"choices": [{"index": 0, "delta": d}]})
        | st.builds(lambda c: {"choices": [{"delta": {"tool_calls": [c]}}]}, json_values),
        max_size=4,
    ),
    name=st.sampled_from([None, "error", "ping"]),
)
def test_no_chunk_of_whatever_shape_raises_anything_but_our_errors(
    datas: list[object], name: str | None
) -> None:
    decoder, deltas = ChatStreamDecoder(), []
    with suppress(ModelError):
        for data in datas:
            decoder.feed(event(data, name), deltas)
        decoder.close(deltas)
    # The Completion and the Message can be made of it, too.
    assemble(deltas, [decoder.completion])
    assert all(list(each)[:4] == ["content", "function_call", "refusal", "tool_calls"] for each in deltas)
