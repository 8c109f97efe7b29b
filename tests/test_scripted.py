"""Scripts, and the model that answers from one."""

import asyncio
import json
from dataclasses import replace

import pytest
import reactivex.operators as ops
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxagents.assembly import assemble
from rxagents.errors import ConfigurationError, ModelStatusError, ScriptError
from rxagents.llm.replies import Call, Reply, request_text, tokenize
from rxagents.llm.requests import LLM, ChatRequest, LLMConstraints
from rxagents.llm.scripted import ScriptedLLM
from rxagents.llm.scripts import Rule, Script
from rxagents.testing.server.faults import Dropped
from rxagents.values import Completion, Usage, delta

HELLO = ChatRequest(({"role": "user", "content": "Hello there"},), agent="agent1")
EMPTY = delta()


def asking(text: str) -> ChatRequest:
    return replace(HELLO, messages=({"role": "user", "content": text},))


def heard(source: Observable) -> tuple[list, list]:
    """All items and the errors of what emits on subscribe."""
    items: list = []
    errors: list = []
    source.subscribe(items.append, errors.append)
    return items, errors


def contents(items: list) -> list:
    return [item["content"] for item in items if not isinstance(item, Completion)]


@given(st.text())
def test_cutting_loses_nothing(text):
    assert "".join(tokenize(text)) == text


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_the_fragments_of_a_call_are_the_json_of_its_arguments(arguments):
    assert json.loads("".join(Call("tool", arguments).cut())) == arguments


def test_text_is_cut_into_words_with_their_space_and_punctuation():
    assert tokenize("Hi there, it's  fine.\n\nBye 2022") == [
        *("Hi", " there", ",", " it", "'", "s", " ", " fine", "."),
        *("\n\n", "Bye", " ", "202", "2"),
    ]


def test_arguments_are_cut_as_models_do():
    assert Call("get_delivery_date", {"order_id": "214"}).cut() == ['{"', "order", "_id", '":"', "214", '"}']
    assert Call("get_order_id").cut() == ["{}"]


def test_arguments_may_be_broken_and_fragments_given():
    assert Call("tool", "{broken").cut() == ["{", "broken"]
    assert Call("tool", {"a": 1}, fragments=['{"a"', ":1}"]).cut() == ['{"a"', ":1}"]


def test_a_text_begins_with_an_empty_delta_and_ends_with_one_that_carries_nothing():
    items, _ = heard(ScriptedLLM(["Hi there."])(HELLO))
    assert items[:-1] == [delta(""), delta("Hi"), delta(" there"), delta("."), EMPTY]
    assert items[-1] == Completion(
        usage=Usage(completion_tokens=3, prompt_tokens=2, total_tokens=5), finish_reason="stop"
    )


def test_a_call_has_its_id_in_the_first_fragment_only():
    items, _ = heard(ScriptedLLM([Call("look", {"a": "b"})])(HELLO))
    fragments = [item["tool_calls"][0] for item in items[:-2]]
    assert fragments[0] == {
        "id": "call_1",
        "function": {"arguments": "", "name": "look"},
        "type": "function",
        "index": 0,
    }
    assert fragments[1] == {
        "id": None,
        "function": {"arguments": '{"', "name": None},
        "type": None,
        "index": 0,
    }
    assert [fragment["function"]["arguments"] for fragment in fragments] == ["", '{"', "a", '":"', "b", '"}']
    assert items[-2] == EMPTY
    assert items[-1].finish_reason == "tool_calls"


def test_text_and_several_calls_make_one_message():
    reply = Reply("Let me look.", [Call("look", {"a": 1}), Call("listen", id="mine")])
    items, _ = heard(ScriptedLLM([reply])(HELLO))
    message = assemble(items[:-1], items[-1:])
    assert message.text == "Let me look."
    assert [(call.id, call.function["name"]) for call in message.tool_calls] == [
        ("call_1", "look"),
        ("mine", "listen"),
    ]
    assert [call.function["arguments"] for call in message.tool_calls] == ['{"a":1}', "{}"]


def test_ids_are_unique_over_the_life_of_a_model():
    llm = ScriptedLLM([[Call("a"), Call("b")], Call("c")])
    ids = []
    for _ in range(2):
        items, _ = heard(llm(HELLO))
        ids += [call.id for call in assemble(items[:-1]).tool_calls]
    assert ids == ["call_1", "call_2", "call_3"]


def test_tokens_usage_and_finish_reason_may_be_given():
    usage = Usage(completion_tokens=7, prompt_tokens=8, total_tokens=15)
    reply = Reply(tokens=["He", "llo"], usage=usage, finish_reason="length")
    items, _ = heard(ScriptedLLM([reply])(HELLO))
    assert contents(items) == ["", "He", "llo", None]
    assert items[-1] == Completion(usage=usage, finish_reason="length")


def test_a_refusal_comes_in_its_own_field():
    items, _ = heard(ScriptedLLM([Reply(refusal="I cannot.")])(HELLO))
    message = assemble(items[:-1], items[-1:])
    assert (message.text, message.refusal, message.finish_reason) == ("", "I cannot.", "stop")


def test_deltas_may_be_given_as_they_are():
    deltas = [delta(reasoning="Hm."), delta("Yes"), EMPTY]
    items, _ = heard(ScriptedLLM([Reply(deltas=deltas)])(HELLO))
    assert items[:-1] == deltas
    assert items[-1].usage.completion_tokens == 2


def test_a_dict_is_sent_as_json():
    request = replace(HELLO, response_format={"type": "json_object"})
    items, _ = heard(ScriptedLLM([{"agent_id": "agent1"}])(request))
    assert assemble(items[:-1]).text == '{"agent_id":"agent1"}'


def test_replies_of_a_list_answer_in_order_and_each_subscription_is_a_request():
    llm = ScriptedLLM(["one", "two"])
    answer = llm(HELLO)
    assert llm.requests == []
    assert [contents(heard(answer)[0])[1], contents(heard(answer)[0])[1]] == ["one", "two"]
    assert llm.requests == [HELLO, HELLO]


def test_a_script_that_ran_out_names_the_request():
    llm = ScriptedLLM(["one"])
    heard(llm(HELLO))
    items, [error] = heard(llm(asking("And now?")))
    assert items == []
    assert isinstance(error, ScriptError)
    for part in ("1 replies", "request 2", "agent1", "And now?"):
        assert part in str(error)


def test_the_first_rule_that_fits_answers():
    llm = ScriptedLLM(
        [
            Rule(lambda body: "name" in request_text(body), "Ada"),
            Rule(lambda body: "age" in request_text(body), lambda body: f"{len(body['messages'])}"),
            Rule(lambda body: "name" in request_text(body), "never"),
        ]
    )
    assert contents(heard(llm(asking("age?")))[0])[1] == "1"
    assert contents(heard(llm(asking("name?")))[0])[1] == "Ada"
    _, [error] = heard(llm(asking("height?")))
    assert isinstance(error, ScriptError)
    assert "3 rules" in str(error)
    assert "height?" in str(error)


def test_a_function_gets_the_request():
    llm = ScriptedLLM(lambda request: f"{request.agent}")
    assert contents(heard(llm(HELLO))[0])[1:3] == ["agent", "1"]


@pytest.mark.parametrize("script", [lambda error: [error], lambda error: raising(error)])
def test_an_exception_of_the_script_is_the_error_of_the_answer(script):
    error = ModelStatusError("slow down", status=429)
    assert heard(ScriptedLLM(script(error))(HELLO)) == ([], [error])


def raising(error: Exception):
    def function(request: ChatRequest) -> str:
        raise error

    return function


@pytest.mark.parametrize("answer", [42, [], ["a"], [Call("a"), "b"], None, Dropped(1, "one")])
def test_what_is_no_answer_is_a_script_error(answer):
    _, [error] = heard(ScriptedLLM([answer])(HELLO))
    assert isinstance(error, ScriptError)
    assert type(answer).__name__ in str(error)


@pytest.mark.parametrize("script", ["Hello", 7, None, ["one", Rule(lambda _: True, "two")]])
def test_what_is_no_script_is_refused_at_construction(script):
    with pytest.raises(ConfigurationError, match="a script"):
        ScriptedLLM(script)


def test_a_script_in_use_can_be_shared():
    script = Script(["one", "two"])
    assert contents(heard(ScriptedLLM(script)(HELLO))[0])[1] == "one"
    assert contents(heard(ScriptedLLM(script)(HELLO))[0])[1] == "two"


def test_it_is_a_model_with_constraints():
    llm = ScriptedLLM([], constraints=LLMConstraints(structured_output=False))
    assert isinstance(llm, LLM)
    assert llm.constraints.structured_output is False
    assert ScriptedLLM([]).constraints == LLMConstraints()


def test_without_delay_take_cuts_and_a_scheduler_does_not_delay():
    items: list = []
    done: list = []
    source = ScriptedLLM(["one two three"])(HELLO).pipe(ops.take(2))
    source.subscribe(items.append, on_completed=lambda: done.append(1), scheduler=VirtualTimeScheduler())
    assert (contents(items), done) == (["", "one"], [1])


def test_with_delay_the_scheduler_tells_the_time():
    scheduler = TestScheduler()
    llm = ScriptedLLM(["one two"], delay=10.0)
    result = scheduler.start(lambda: llm(HELLO))
    assert [(message.time, message.value.kind) for message in result.messages] == [
        (200.0, "N"),
        (210.0, "N"),
        (220.0, "N"),
        (230.0, "N"),
        (230.0, "N"),
        (230.0, "C"),
    ]
    assert [message.value.value for message in result.messages[:-2]] == [
        delta(""),
        delta("one"),
        delta(" two"),
        EMPTY,
    ]


def test_with_delay_nothing_comes_after_dispose():
    scheduler = TestScheduler()
    result = scheduler.start(lambda: ScriptedLLM(["one two"], delay=10.0)(HELLO), disposed=215)
    assert [message.time for message in result.messages] == [200.0, 210.0]


def test_with_delay_take_cuts():
    scheduler = TestScheduler()
    llm = ScriptedLLM(["one two"], delay=10.0)
    result = scheduler.start(lambda: llm(HELLO).pipe(ops.take(2)))
    assert result.messages[-1] == ReactiveTest.on_completed(210.0)
    assert len(result.messages) == 3


def test_with_delay_and_without_scheduler_the_running_loop_tells_the_time():
    async def main() -> list:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        items: list = []
        ScriptedLLM(["one"], delay=0.001)(HELLO).subscribe(
            items.append, done.set_exception, lambda: done.set_result(items)
        )
        assert items == []
        return await done

    assert contents(asyncio.run(main())) == ["", "one", None]


def test_with_delay_and_without_any_clock_it_says_what_is_missing():
    _, [error] = heard(ScriptedLLM(["one"], delay=1.0)(HELLO))
    assert isinstance(error, ConfigurationError)
    assert "scheduler" in str(error)


def test_reply_with_no_deltas_still_completes():
    scheduler = TestScheduler()
    llm = ScriptedLLM([Reply(deltas=[])], delay=10.0)
    result = scheduler.start(lambda: llm(HELLO))
    assert [(message.time, message.value.kind) for message in result.messages] == [(200.0, "N"), (200.0, "C")]
