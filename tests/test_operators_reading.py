"""reading, last_n, top_k_last_n, token_budget, summarize: what comes behind hears only what was read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    Completion,
    ConfigurationError,
    Conversation,
    LastNMessagesStrategy,
    MessageStream,
    OpenAILLM,
    Reading,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Transcript,
    Usage,
    UserMessage,
    Workflow,
    say,
)
from rxagents.engine.emitters import just
from rxagents.engine.loops import current_loop
from rxagents.operators import (
    last_n,
    reading,
    responses,
    summarize,
    token_budget,
    top_k_last_n,
    transcript,
)
from rxagents.replays import Replay
from rxagents.testing import Marbles, OpenAIServer


def texts(messages: Iterable[Any]) -> list[str]:
    return [message.text for message in messages]


def heard(source: rx.Observable[Any]) -> tuple[list[Any], list[Exception]]:
    """What comes, to its end."""
    items: list[Any] = []
    errors: list[Exception] = []

    def note(item: Any) -> None:
        items.append(item)
        if isinstance(item, Replay):
            item.hold()

    with Marbles() as marbles:
        marbles.at(0, lambda: source.subscribe(note, errors.append))
    return items, errors


def said(text: str, *, tokens: int = 0) -> MessageStream:
    return MessageStream.of(AssistantMessage(text, usage=Usage(total_tokens=tokens) if tokens else None))


def test_one_transcript_with_the_messages_read_and_the_variables() -> None:
    state = StateUpdate("x", variables={"room": 7})
    items, errors = heard(say("a", "b", state, "c").pipe(last_n(2)))
    (update, read) = items
    assert (update.variables, errors) == ({"room": 7}, [])
    assert isinstance(read, Transcript)
    assert (texts(read), dict(read.variables)) == (["b", "c"], {"room": 7})


@pytest.mark.parametrize(
    ("operator", "left"),
    [
        (last_n(1), ["do", "d"]),
        (top_k_last_n(1, 2), ["do", "a", "c", "d"]),
        (top_k_last_n(3, 3), ["do", "a", "b", "c", "d"]),
        (token_budget(3, lambda message: 1), ["do", "b", "c", "d"]),
        (token_budget(1), ["do", "d"]),
        (token_budget(10**6), ["do", "a", "b", "c", "d"]),
        (summarize(lambda _: rx.of("in short")), ["do", "in short", "d"]),
        (summarize(lambda _: rx.of("in short"), "Sum up.", keep_last=2), ["do", "in short", "c", "d"]),
        (reading(lambda transcript: transcript[1:2]), ["a"]),
    ],
)  # fmt: skip
def test_the_short_ones_read_as_their_strategies(operator: Any, left: list[str]) -> None:
    items, errors = heard(say(SystemMessage("do"), *"abcd").pipe(operator))
    assert errors == []
    (read,) = items
    assert texts(read) == left


def test_what_comes_behind_hears_what_was_read() -> None:
    llm = ScriptedLLM(["ok"])
    run = say("one", "two", "three").pipe(last_n(2), Agent("bot", llm), responses())
    items, _ = heard(run)
    assert texts(items) == ["ok"]
    assert [message["content"] for message in llm.requests[0].messages] == ["two", "three"]


def test_it_reads_when_all_of_it_has_ended(marbles: Marbles) -> None:
    source = marbles.cold("""
        --(bot|)
        bot  --m----|
        m    --Hi---|
    """)
    marbles.expect(source.pipe(last_n(1), ops.map(texts), ops.map(tuple))).to_be("-------(x|)", x=("Hi",))


def test_a_pipe_loses_no_cost_and_counts_none_twice() -> None:
    costly = lambda heard: Reading(heard.messages[-1:], Usage(total_tokens=100))  # noqa: E731
    state = StateUpdate("x", usage=Usage(total_tokens=1), log=(("info", "upstream"),))
    block = Block(
        "a", just(said("x", tokens=10), StateUpdate("y", variables={"b": 2}, log=(("info", "inside"),)))
    )
    answer = lambda _: rx.of("ok", Completion(usage=Usage(total_tokens=1000)))  # noqa: E731
    stages = [reading(costly), reading(costly), Agent("bot", answer), last_n(5)]
    for length, tokens in ((1, 111), (2, 211), (3, 1211), (4, 1211)):
        items, errors = heard(rx.of(state, block).pipe(*stages[:length]))
        assert errors == []
        whole = Transcript().fold_all(items)
        assert whole.usage.total_tokens == tokens
        assert sorted(whole.log) == [("info", "inside"), ("info", "upstream")]
        assert whole.variables == {"b": 2}
        for item in items:
            if isinstance(item, Transcript):  # by itself, too
                assert (item.usage, sorted(item.log)) == (whole.usage, sorted(whole.log))
    items, _ = heard(rx.of(state, block).pipe(reading(costly), transcript()))
    assert items[0].usage.total_tokens == 111


TEXTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    TEXTS,
    st.lists(st.sampled_from([last_n(2), top_k_last_n(1, 2), token_budget(2, lambda _: 1)]), max_size=3),
)
def test_what_was_read_adds_nothing_to_a_conversation_that_has_it(
    texts_: list[str], stages: list[Any]
) -> None:
    whole = Conversation([UserMessage(text) for text in texts_]).transcript
    items, _ = heard(just(whole).pipe(*stages))
    assert whole.fold_all(items) == whole


def test_a_workflow_of_a_pipe_keeps_the_whole_conversation_and_sends_a_part() -> None:
    llm = ScriptedLLM(["one", "two", "three"])
    agent = Agent("bot", llm)
    workflow = Workflow(lambda source: source.pipe(last_n(1), agent))
    for text in "abc":
        assert workflow.run(text) == "done"
    assert texts(workflow.conversation) == ["a", "one", "b", "two", "c", "three"]
    assert [len(request.messages) for request in llm.requests] == [1, 1, 1]


def test_at_the_end_of_a_workflow_what_was_read_is_what_is_kept() -> None:
    workflow = Workflow(lambda source: source.pipe(Agent("bot", ScriptedLLM(["one"])), last_n(1)))
    assert workflow.run("a") == "done"
    assert texts(workflow.conversation) == ["a", "one"]
    assert workflow.conversation.metrics["total_tokens"] > 0


def test_a_stopped_run_is_not_read() -> None:
    asked: list[Any] = []
    stop = StateUpdate("stop", stop="enough", scope="run")
    items, errors = heard(rx.of(said("a"), stop).pipe(reading(lambda heard: asked.append(heard) or heard)))
    assert (items, asked, errors) == ([stop], [], [])


def test_a_source_that_fails_fails_it_and_what_it_cost_is_told() -> None:
    failing = Block("a", rx.concat(rx.of(said("x", tokens=3)), rx.throw(ValueError("no"))))
    items, errors = heard(rx.of(failing).pipe(last_n(1)))
    assert [item.usage.total_tokens for item in items] == [3]
    assert [str(error) for error in errors] == ["no"]


def test_a_strategy_that_fails_is_the_failure_of_the_conversation() -> None:
    def strategy(_: Transcript) -> Any:
        raise ValueError("no")

    items, errors = heard(say("q").pipe(reading(strategy)))
    assert items == []
    (error,) = errors
    assert (str(error), error.__notes__) == ("no", ["in reading_strategy"])


def test_leaving_cancels_the_reading(marbles: Marbles) -> None:
    left: list[float] = []

    def summarizer(_: Any) -> rx.Observable[Any]:
        return rx.never().pipe(ops.finally_action(lambda: left.append(current_loop().time())))

    marbles.expect(say("a", "b").pipe(summarize(summarizer)), unsubscribe_at=4).to_be("-")
    marbles.flush()
    assert left == [4.0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: reading(5), "reading: reading_strategy is a int; give a function"),  # type: ignore[arg-type]
        (lambda: reading(LastNMessagesStrategy), "is the class LastNMessagesStrategy; give what it makes"),  # type: ignore[arg-type]
        (lambda: last_n(0), "n is 0"),
        (lambda: top_k_last_n(-1, 1), "k is -1"),
        (lambda: token_budget(0), "max_tokens is 0"),
        (lambda: summarize(None), "llm is a NoneType; give a model"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_does_not_do_is_refused_at_once(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_a_summary_in_a_pipe_over_the_wire() -> None:
    with OpenAIServer(["Ada asked for the price.", "It is 5."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        workflow = Workflow(lambda source: source.pipe(summarize(llm, "Sum up."), Agent("bot", llm)))
        history = Conversation([UserMessage("I am Ada"), AssistantMessage("Hi", name="bot")])
        workflow = Workflow(workflow.askable, history)
        result = workflow.run("What is the price?")
        assert (result, result.text) == ("done", "It is 5.")
        first, second = ([(m["role"], m["content"]) for m in r.body["messages"]] for r in server.requests)
    assert first == [("system", "Sum up."), ("user", "user: I am Ada\nbot: Hi\nuser: What is the price?")]
    assert second == [("assistant", "Ada asked for the price."), ("user", "What is the price?")]
    assert texts(history) == ["I am Ada", "Hi", "What is the price?", "It is 5."]
    assert history.metrics == result.usage.model_dump()
    assert result.usage.completion_tokens > 0
