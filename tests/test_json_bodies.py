"""The bytes of a request: what `json.dumps` would write, whoever writes it."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rxagents import AssistantMessage, Message, SystemMessage, UserMessage
from rxagents.errors import ConfigurationError
from rxagents.llm import json_bodies
from rxagents.llm.json_bodies import encoded
from rxagents.llm.responses_input import input_items
from rxagents.llm.wire import wire_messages
from rxagents.values import ToolCall


class Kind(enum.StrEnum):
    """What is a text, and more."""

    TEXT = "text"


def plain(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def outcome(write: Callable[[dict[str, Any]], bytes], body: dict[str, Any]) -> bytes | str:
    try:
        return write(body)
    except (TypeError, ValueError, ConfigurationError) as error:
        return str(error)


texts = st.text(max_size=6) | st.sampled_from(
    ['"\\/\b\f\n\r\t\x00\x1f\x7f', "\u2028\u2029\ufeff", "\ud800", "a\udfffb", "é漢😀", Kind.TEXT]
)
usual = texts | st.none()
rare = (
    st.booleans() | st.integers() | st.floats() | st.sampled_from([1e16, 1e-7, 10**40, b"x", object(), {1}])
)
values = st.recursive(
    usual | rare,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.integers() | st.none(), inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(texts, inner, max_size=2).map(OrderedDict)
    ),
    max_leaves=8,
)
KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "output_items", "type", "x")
flat = st.dictionaries(texts, texts, max_size=2)
parts = st.lists(st.dictionaries(st.sampled_from(["type", "text", "image_url"]), texts | flat), max_size=3)
calls = st.lists(st.fixed_dictionaries({"id": texts, "function": flat, "type": texts}), max_size=2)
as_usual = st.fixed_dictionaries(
    {"role": texts, "content": usual | parts}, optional={"name": texts, "tool_calls": calls, "x": texts}
)
messages = st.lists(
    as_usual | st.dictionaries(st.sampled_from(KEYS), values, max_size=4) | values, max_size=4
)
same = settings(max_examples=50, deadline=None)


@same
@given(st.sampled_from(["messages", "input", "tools"]), st.lists(as_usual, max_size=4) | messages, values)
@example("messages", [{"role": "user", "content": None, "temperature": 1e16}], 1e16)
@example("messages", [{"role": "user", "content": [{"type": "x", "at": 1e16}, {"at": {"s": True}}]}], 0)
@example("messages", [{"role": "user", "content": "q", 1: "x"}, {"content": {1: "x"}}], {"b": {None: 1.0}})
@example("input", [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}], "\ud800")
def test_the_bytes_are_those_of_json_dumps(key: str, history: list[Any], other: Any) -> None:
    body = {"model": "m", key: history, "temperature": 0.7, "other": other}
    expected = outcome(plain, body)
    got = outcome(encoded, body)
    if isinstance(expected, bytes):
        assert got == expected
    else:
        assert "cannot be sent as JSON" in str(got)
        assert str(got).endswith(expected)


CALLS = (ToolCall(id="1", function={"arguments": '{"q": "x"}', "name": "look"}),)
HISTORY = [
    SystemMessage("Be brief."),
    UserMessage('"What" is\n\x00 it? 😀', name="ann"),
    AssistantMessage(
        "Done.",
        name="a",
        steps=(
            AssistantMessage(None, name="a", tool_calls=CALLS),
            Message(role="tool", content="r1", name="look", tool_call_id="1"),
        ),
    ),
    UserMessage(
        [
            {"type": "text", "text": "and this?"},
            {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            {"type": "file", "file": {"file_id": "f"}},
        ]
    ),
    AssistantMessage("", name="a", refusal="No."),
    AssistantMessage("I would", name="b", finish_reason="interrupted"),
    AssistantMessage("Well", name="a", finish_reason="interrupted"),
    UserMessage(""),
    Message(role="assistant", content=None, name="a", tool_calls=CALLS),
    Message(role="tool", content="r1", name="look", tool_call_id="1"),
]


@pytest.mark.skipif(not json_bodies._IS_STRICT, reason="an older pydantic")
@pytest.mark.parametrize("speaker", ["a", "b", None])
def test_what_messages_usually_hold_is_written_the_fast_way(
    speaker: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = wire_messages(HISTORY, speaker=speaker)
    bodies = [{"messages": sent}, {"input": input_items(sent, speaker)}]
    expected = [plain(body) for body in bodies]
    slow: list[object] = []
    dumped = json_bodies._dumped
    monkeypatch.setattr(json_bodies, "_dumped", lambda value: slow.append(value) or dumped(value))
    assert [encoded(body) for body in bodies] == expected
    assert slow == ["messages", "input"]  # the names of the fields


def test_a_history_that_is_none_is_written_as_it_is() -> None:
    for history in ("words", None, {"a": 1.5}, ({"role": "user"},), [], 1e16):
        assert encoded({"input": history}) == plain({"input": history})
    assert encoded({1: {}, "messages": []}) == plain({1: {}, "messages": []})  # type: ignore[dict-item]
    assert encoded({}) == b"{}"


def test_a_message_that_was_changed_in_place_is_sent_as_it_is_now() -> None:
    shown = [{"type": "text", "text": "before"}]
    calling = ToolCall(id="1", function={"arguments": "before", "name": "look"})
    answer = AssistantMessage(None, name="a", tool_calls=(calling,), metadata={"phases": ["before"]})
    result = Message(role="tool", content="r", tool_call_id="1")
    history = [UserMessage(shown), AssistantMessage("ok", name="a", steps=(answer, result))]

    def sent() -> bytes:
        return encoded({"messages": wire_messages(history, speaker="a")})

    assert sent().count(b"before") == 3
    history[0].content[0]["text"] = "after"  # type: ignore[index]
    calling.function["arguments"] = "after"
    answer.metadata["phases"][0] = "after"
    assert (sent().count(b"before"), sent().count(b"after")) == (0, 3)


@pytest.mark.parametrize("wrong", [object(), {1, 2}, b"x", float("nan"), {"a": [object()]}])
def test_what_has_no_json_is_named(wrong: object) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": wrong}],
    }
    with pytest.raises(
        ConfigurationError, match=r"^`messages\[1\]\.content.*` of the request cannot be sent"
    ):
        encoded(body)


def test_a_circle_is_named() -> None:
    circle: list[Any] = [{"type": "text", "text": "q"}]
    circle.append({"type": circle})
    with pytest.raises(ConfigurationError, match=r"^`messages\[0\]\.content.*` .*: Circular reference"):
        encoded({"messages": [{"role": "user", "content": circle}]})
