"""Values and assembly: frozen messages, sums of tokens, and how deltas make a message."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rxagents import (
    AssistantMessage,
    Completion,
    FunctionResult,
    InputError,
    Message,
    SystemMessage,
    Usage,
    UserMessage,
)
from rxagents.assembly import assemble, assemble_calls
from rxagents.values import ToolCall, delta, message_from

RICH = Message(
    role="assistant",
    content="Hello, wörld",
    name="poet",
    tool_calls=(ToolCall(id="c1", function={"name": "f", "arguments": "{}"}),),
    usage=Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3),
    steps=(Message(role="tool", content="42", tool_call_id="c0"),),
    metadata={"b": [1, 2.5, None], "a": "x"},
)


class Rated(Message):
    """A message with a field of its own."""

    stars: int = 0


# Message


def test_a_message_is_frozen() -> None:
    message = Message(role="user", content="x")
    with pytest.raises(ValidationError, match="frozen"):
        message.content = "y"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        message.usage = Usage()  # type: ignore[misc]


def test_a_message_reads_as_its_text_and_by_its_fields() -> None:
    message = Message(role="user", content="Hello", name="ada", metadata={"mood": "good"})
    assert (str(message), message.text, message["content"], message["role"]) == (
        "Hello",
        "Hello",
        "Hello",
        "user",
    )
    assert (message["mood"], message.get("mood"), message.get("none", 3)) == ("good", "good", 3)
    with pytest.raises(KeyError, match="'none'; it has role, content"):
        message["none"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "text"}], ""),
    ],
)
def test_the_text_of_content_parts_is_that_of_the_text_parts(content: Any, text: str) -> None:
    assert Message(role="user", content=content).text == text


def test_equal_messages_have_equal_keys_and_hashes() -> None:
    again = Message(**json.loads(json.dumps(RICH.to_dict())))
    assert again == RICH
    assert (again.hash_key, hash(again)) == (RICH.hash_key, hash(RICH))
    assert len({again, RICH, UserMessage("x")}) == 2
    shuffled = RICH.model_copy(update={"metadata": {"a": "x", "b": [1, 2.5, None]}})
    assert shuffled.hash_key == RICH.hash_key
    assert Message(role="user", content="x") == UserMessage("x") != AssistantMessage("x")
    assert UserMessage("x") != "x"
    assert Message(role="user", content="x") != Rated(role="user", content="x")
    for change in ({"content": "x"}, {"name": None}, {"steps": ()}, {"metadata": {}}, {"role": "user"}):
        assert RICH.model_copy(update=change).hash_key != RICH.hash_key


def test_the_key_of_a_message_never_changes() -> None:
    assert UserMessage("Hello").hash_key == "44726a03f59f90c1e3b9e019759615167e8201a965c6749aa0b2433acd9c74e9"
    assert RICH.hash_key == "bbe2022601abb4bd4715e150235568510c535320a99fa23aedcba51d7feb3582"


def test_a_message_survives_json_validation_copies_and_pickle() -> None:
    assert Message.model_validate(RICH.to_dict()) == RICH
    assert Message.model_validate_json(RICH.model_dump_json()) == RICH
    assert copy.deepcopy(RICH) == RICH
    assert pickle.loads(pickle.dumps(RICH)) == RICH
    assert json.loads(json.dumps(RICH.to_dict())) == RICH.to_dict()


def test_a_dict_of_a_message_has_no_empty_fields() -> None:
    assert UserMessage("x").to_dict() == {"role": "user", "content": "x"}
    assert Message(role="tool", tool_call_id="c").to_dict() == {"role": "tool", "tool_call_id": "c"}


@pytest.mark.parametrize(
    ("kind", "role"), [(UserMessage, "user"), (SystemMessage, "system"), (AssistantMessage, "assistant")]
)
def test_the_short_forms_take_the_text_first(kind: Any, role: str) -> None:
    message = kind("Hello", name="x")
    assert (message.role, message.content, message.name) == (role, "Hello", "x")
    assert type(kind.model_validate({"role": role, "content": "Hello"})) is kind
    assert kind(content="a").content == "a"
    assert kind().content is None
    assert type(pickle.loads(pickle.dumps(message))) is kind
    assert type(message.model_copy(update={"name": "y"})) is kind


def test_a_subclass_has_fields_of_its_own() -> None:
    rated = Rated(role="user", content="x", stars=4)
    assert (rated["stars"], rated.to_dict()["stars"]) == (4, 4)
    assert Rated(**rated.to_dict()) == rated
    assert rated.hash_key != Rated(role="user", content="x", stars=5).hash_key


@pytest.mark.parametrize(
    "data", [{"role": "robot"}, {"role": "user", "content": 7}, {"role": "user", "steps": [1]}]
)
def test_what_is_no_message_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Message(**data)
    with pytest.raises(InputError, match="no message"):
        message_from(data)


def test_a_dict_becomes_a_message_and_what_it_has_beside_metadata() -> None:
    message = message_from({"content": "x", "mood": "good", "name": None, "metadata": {"a": 1}})
    assert message == UserMessage("x", metadata={"a": 1, "mood": "good"})
    given_data = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {}, "type": "function"}],
    }
    assert message_from(given_data).tool_calls == (ToolCall(id="1", function={}),)
    assert message_from(RICH.to_dict()) == RICH


# Usage, Completion, Delta


COUNTS = st.builds(
    Usage,
    completion_tokens=st.integers(0, 99),
    prompt_tokens=st.integers(0, 99),
    total_tokens=st.integers(0, 99),
)


@given(COUNTS, COUNTS, COUNTS)
def test_usage_adds_up(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Usage() == a
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens
    assert bool(a) == any(a.model_dump().values())


def test_usage_and_completion_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Usage().total_tokens = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Completion().usage = Usage()  # type: ignore[misc]


def test_a_delta_has_its_keys_in_their_order_and_what_is_added_after_them() -> None:
    assert list(delta("x", refusal="no", reasoning="hm").items()) == [
        *(("content", "x"), ("function_call", None), ("refusal", "no"), ("tool_calls", None)),
        ("reasoning", "hm"),
    ]
    assert list(delta()) == ["content", "function_call", "refusal", "tool_calls"]


def test_a_function_result_is_the_content_of_its_marker() -> None:
    assert FunctionResult("f", "42", "c").to_dict() == {"name": "f", "result": "42", "id": "c"}


# Assembly


def fragment(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: str | None = None
) -> dict[str, Any]:
    part: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        part["index"] = index
    if id is not None:
        part["id"] = id
    return part


def calling(*fragments: dict[str, Any]) -> Any:
    return delta(tool_calls=list(fragments))


def calls(*deltas: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.function["name"], call.function["arguments"]) for call in assemble_calls(deltas)]


def test_fragments_are_joined_by_their_index() -> None:
    assert calls(
        calling(fragment(0, "a", "f", "")),
        calling(fragment(0, None, None, '{"x"')),
        calling(fragment(0, arguments=":1}")),
    ) == [("a", "f", '{"x":1}')]


def test_calls_may_be_interleaved_and_come_several_in_a_chunk() -> None:
    assert calls(
        calling(fragment(1, "b", "g", "("), fragment(0, "a", "f", "[")),
        calling(fragment(0, arguments="]"), fragment(1, arguments=")")),
    ) == [("a", "f", "[]"), ("b", "g", "()")]


def test_where_the_index_is_missing_a_new_id_begins_a_new_call() -> None:
    assert calls(
        calling(fragment(None, "a", "f", "[")),
        calling(fragment(None, "a", None, "]")),
        calling(fragment(None, "b", "g", "(")),
        calling(fragment(None, None, None, ")")),
    ) == [("a", "f", "[]"), ("b", "g", "()")]


def test_where_the_id_is_missing_one_is_made_and_stays_the_same() -> None:
    deltas = [calling(fragment(0, None, "f", "{}"), fragment(1, "", "g", "{}"))]
    assert [call.id for call in assemble_calls(deltas, "x")] == ["x_0", "x_1"]
    assert assemble_calls(deltas, "x") == assemble_calls(deltas, "x")


def test_a_fragment_may_have_no_function() -> None:
    assert calls(delta(tool_calls=[{"index": 0, "id": "a", "function": None}])) == [("a", "", "")]


@given(
    st.lists(st.lists(st.text(max_size=3), min_size=1, max_size=5), max_size=4),
    st.randoms(use_true_random=False),
)
def test_however_the_fragments_are_interleaved_the_calls_are_the_same(
    arguments: list[list[str]], random: Any
) -> None:
    queues = [
        [fragment(n, f"id{n}", f"f{n}", parts[0]), *(fragment(n, arguments=part) for part in parts[1:])]
        for n, parts in enumerate(arguments)
    ]
    deltas = []
    while any(queues):
        deltas.append(calling(random.choice([queue for queue in queues if queue]).pop(0)))
    assert calls(*deltas) == [(f"id{n}", f"f{n}", "".join(parts)) for n, parts in enumerate(arguments)]


def test_rounds_become_steps_and_the_last_words_the_content() -> None:
    one, two = (
        calling(fragment(0, "a", "f", "{}")),
        calling(fragment(0, "b", "g", "{}"), fragment(1, "c", "h", "{}")),
    )
    items = [
        *(delta("Let me see. "), one, FunctionResult("f", "1", "a")),
        *(two, FunctionResult("g", "2", "b"), FunctionResult("h", "3", "c")),
        *(delta("It is "), delta("6.")),
    ]
    spent = Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3)
    ends = [Completion(spent, "tool_calls"), Completion(None, "tool_calls"), Completion(spent, "stop")]
    message = assemble(items, ends, name="agent1")
    assert message.text == "Let me see. It is 6."
    assert [(step.role, step.content, [call.id for call in step.tool_calls]) for step in message.steps] == [
        ("assistant", "Let me see. ", ["a"]),
        ("tool", "1", []),
        ("assistant", None, ["b", "c"]),
        ("tool", "2", []),
        ("tool", "3", []),
    ]
    assert [step.tool_call_id for step in message.steps if step.role == "tool"] == ["a", "b", "c"]
    assert (message.usage, message.finish_reason, message.tool_calls) == (spent + spent, "stop", ())


def test_calls_that_nobody_answered_stay_also_of_an_earlier_round() -> None:
    items = [
        calling(fragment(0, "a", "f", "{}"), fragment(1, "b", "g", "{}")),
        FunctionResult("f", "1", "a"),
        calling(fragment(0, "c", "h", "{}")),
    ]
    message = assemble(items, finish_reason="interrupted")
    assert [call.id for call in message.tool_calls] == ["b", "c"]
    assert [call.id for call in message.steps[0].tool_calls] == ["a"]
    assert message.finish_reason == "interrupted"


def test_a_part_of_a_stream_gives_the_same_ids_as_the_whole() -> None:
    first = [calling(fragment(0, None, "f", "{}"))]
    [call] = assemble(first, fallback_id="m").tool_calls
    second = [calling(fragment(0, None, "g", "{}"))]
    items = [*first, FunctionResult("f", "1", call.id), *second]
    [part] = assemble(second, fallback_id="m", offset=2).tool_calls
    whole = assemble(items, fallback_id="m")
    assert [whole.steps[0].tool_calls[0], *whole.tool_calls] == [call, part]
    assert call.id != part.id


def test_what_a_provider_adds_goes_to_the_metadata() -> None:
    items = [
        delta(None, reasoning="Let me ", score=1, parts=[1]),
        delta("x", reasoning="think.", score=2, parts=[2], nothing=None),
    ]
    message = assemble(items, [Completion(model="m", request_id="r")])
    assert message.metadata == {
        "reasoning": "Let me think.",
        "score": 2,
        "parts": [1, 2],
        "model": "m",
        "request_id": "r",
    }


def test_a_refusal_is_joined_and_no_content_is_empty() -> None:
    message = assemble([delta(None, refusal="I "), delta(None, refusal="cannot.")])
    assert (message.refusal, message.content, message.usage, message.finish_reason) == (
        "I cannot.",
        "",
        None,
        None,
    )
    assert assemble([]).content == ""


def test_reading_twenty_thousand_deltas_looks_at_each_a_fixed_number_of_times() -> None:
    class Counted(dict[str, Any]):
        looked = 0

        def __getitem__(self, key: str) -> Any:
            Counted.looked += 1
            return super().__getitem__(key)

        def items(self) -> Any:
            Counted.looked += 1
            return super().items()

    def looks(count: int) -> int:
        Counted.looked = 0
        items: Any = [Counted(delta("x", reasoning="y")) for _ in range(count)]
        message = assemble(items)
        assert message.metadata["reasoning"] == "y" * count
        return Counted.looked

    assert looks(20_000) == 20 * looks(1_000)


def test_many_rounds_look_at_each_delta_a_fixed_number_of_times() -> None:
    class Counted(dict[str, Any]):
        looked = 0

        def __getitem__(self, key: str) -> Any:
            Counted.looked += 1
            return super().__getitem__(key)

    def looks(rounds: int) -> int:
        Counted.looked = 0
        items: list[Any] = []
        for n in range(rounds):
            items += [Counted(calling(fragment(0, f"c{n}", "f", "{}"))), FunctionResult("f", "1", f"c{n}")]
        assert len(assemble(items).steps) == 2 * rounds
        return Counted.looked

    assert looks(1_000) == 10 * looks(100)
