"""messages, responses, answer: the messages of a conversation, out of all its blocks."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    AgentError,
    AssistantMessage,
    Block,
    Message,
    MessageStream,
    ScriptedLLM,
    UserMessage,
    say,
)
from rxagents.operators import answer, messages, responses
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def tokens(diagram: str) -> MessageStream:
    return MessageStream(marbles(diagram))


def texts(entries: list[tuple[float, Any]]) -> list[tuple[float, Any]]:
    return [(at, item.text if isinstance(item, Message) else item) for at, item in entries]


def test_messages_come_as_they_begin_as_the_diagram_draws_it() -> None:
    m, n = tokens("m|"), tokens("n|")
    block = Block("B", marbles("-m--n--|", m=m, n=n))
    assert timeline(marbles("--B|", B=block).pipe(messages())) == [(3, m), (6, n), (9, END)]


def test_responses_come_in_the_order_in_which_they_began_as_the_diagram_draws_it() -> None:
    m1, m2 = tokens("--a--b-----|"), tokens("---c-|")
    entries = timeline(just(m1, m2).pipe(responses()))
    assert entries == [(11, m1.result), (11, m2.result), (11, END)]
    assert texts(entries)[:2] == [(11, "ab"), (11, "c")]


def test_the_answer_is_the_last_message_as_the_diagram_draws_it() -> None:
    m1, m2 = tokens("--a-|"), tokens("-----b-|")
    assert texts(timeline(just(m1, m2).pipe(answer()))) == [(7, "b"), (7, END)]


def test_inputs_and_aside_blocks_are_skipped_unless_asked_for() -> None:
    def items() -> Observable[Any]:
        note = Block("note", just(MessageStream.of(AssistantMessage("aside"))), entry="aside")
        said = MessageStream.of(AssistantMessage("a"))
        return just(MessageStream.of(UserMessage("q")), said, note)

    def heard(**options: Any) -> list[str]:
        return [item.text for _, item in timeline(items().pipe(responses(**options)))[:-1]]

    assert heard() == ["a"]
    assert heard(inputs=True) == ["q", "a"]
    assert heard(aside=True) == ["a", "aside"]
    assert len(timeline(items().pipe(messages(inputs=True, aside=True)))) == 4
    assert texts(timeline(items().pipe(answer()))) == [(0, "a"), (0, END)]


def test_the_views_complete_without_messages() -> None:
    assert timeline(rx.empty().pipe(messages())) == [(0, END)]
    assert timeline(rx.empty().pipe(responses())) == [(0, END)]


def test_an_answer_that_nobody_gave_is_an_error() -> None:
    ((_, error),) = timeline(say("q").pipe(answer()))
    assert isinstance(error, AgentError)
    assert "nobody answered" in str(error)


def test_an_error_comes_in_its_place() -> None:
    error = ValueError("no")
    failing = MessageStream(rx.throw(error))
    entries = timeline(just(tokens("--a-|"), failing, tokens("b|")).pipe(responses()))
    assert texts(entries) == [(4, "a"), (4, error)]
    assert timeline(just(tokens("--a-|"), failing).pipe(answer()))[-1] == (4, error)


@pytest.mark.parametrize("view", [messages, responses, answer])
@pytest.mark.parametrize("fails", ["the message", "the block"])
def test_an_error_says_where_it_was_when_it_reaches_the_subscriber(view: Any, fails: str) -> None:
    failing = rx.throw(error := ValueError("no"))
    inner = Block("inner", failing if fails == "the block" else just(MessageStream(failing)))
    notes: list[str] = []
    noted = ops.do_action(on_error=lambda e: notes.extend(e.__notes__))
    assert timeline(just(Block("outer", just(inner))).pipe(view(), noted))[-1] == (0, error)
    assert notes == ["in outer > inner"]


def test_catch_and_retry_work_behind_the_views() -> None:
    llm = ScriptedLLM([ValueError("no"), "Hello"])
    entries = timeline(say("q").pipe(Agent("a", llm), answer(), ops.retry(2)))
    assert texts(entries) == [(0, "Hello"), (0, END)]
    failing = say("q").pipe(Agent("a", ScriptedLLM([ValueError("no")])), responses())
    sorry = AssistantMessage("sorry")
    assert timeline(failing.pipe(ops.catch(lambda *_: rx.of(sorry)))) == [(0, sorry), (0, END)]


def test_disposing_cancels_the_model() -> None:
    gone: list[str] = []
    agent = Agent(
        "a", lambda request: marbles("a--b--c|").pipe(ops.finally_action(lambda: gone.append("gone")))
    )
    for view in (responses, answer):
        assert timeline(say("q").pipe(agent, view()), dispose_at=4) == []
    assert gone == ["gone", "gone"]


def test_a_message_is_read_once_however_many_views_read_it() -> None:
    runs: list[int] = []
    stream = MessageStream(rx.defer(lambda _: runs.append(1) or marbles("-a|")))  # type: ignore[func-returns-value]
    both = rx.merge(just(stream).pipe(responses()), just(stream).pipe(answer()))
    assert texts(timeline(both)) == [(2, "a"), (2, "a"), (2, END)]
    assert runs == [1]


def test_five_thousand_finished_messages_in_a_row_do_not_recurse() -> None:
    streams = [MessageStream.of(AssistantMessage(str(number))) for number in range(5_000)]
    assert len(timeline(just(*streams).pipe(responses()))) == 5_001
    assert texts(timeline(just(*streams).pipe(answer())))[0] == (0, "4999")
