"""text and deltas: the tokens of a conversation, in both orders, over time."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import Agent, Block, ConfigurationError, Message, MessageStream, ScriptedLLM, UserMessage, say
from rxagents.operators import deltas, text
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline
from rxagents.values import delta


def marbles(diagram: str) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0)


def message(diagram: str, **options: Any) -> MessageStream:
    return MessageStream(marbles(diagram), **options)


def contents(entries: list[tuple[float, Any]]) -> list[tuple[float, Any]]:
    return [(at, item["content"] if type(item) is dict else item) for at, item in entries]


def test_deltas_come_message_by_message_as_the_diagram_draws_them() -> None:
    both = just(message("--a--b--|"), message("---c---d--|"))
    assert contents(timeline(both.pipe(deltas()))) == [
        *((2, "a"), (5, "b"), (8, "c"), (8, "d"), (10, END)),
    ]


def test_deltas_come_as_they_arrive_as_the_diagram_draws_them() -> None:
    both = just(message("--a--b--|"), message("---c---d--|"))
    assert contents(timeline(both.pipe(deltas(order="arrival")))) == [
        *((2, "a"), (3, "c"), (5, "b"), (7, "d"), (10, END)),
    ]


def test_text_comes_as_the_diagram_draws_it() -> None:
    both = just(message("--Hel-lo-|"), message("---Yes-|"))
    assert timeline(both.pipe(text())) == [(2, "Hel"), (6, "lo"), (9, "\n\n"), (9, "Yes"), (9, END)]


def test_text_in_the_order_of_arrival_has_no_separators() -> None:
    both = just(message("--Hel-lo-|"), message("---Yes-|"))
    assert timeline(both.pipe(text(order="arrival"))) == [(2, "Hel"), (3, "Yes"), (6, "lo"), (9, END)]


def test_a_second_message_that_is_still_open_streams_when_its_turn_comes() -> None:
    both = just(message("-a-|"), message("--b--c-|"))
    assert timeline(both.pipe(text())) == [(1, "a"), (3, "\n\n"), (3, "b"), (5, "c"), (7, END)]


def test_messages_that_wait_for_their_turn_run_meanwhile() -> None:
    began: list[str] = []
    waiting = MessageStream(marbles("-b|").pipe(ops.do_action(began.append)))
    entries = timeline(just(message("-----a-|"), waiting).pipe(text(), ops.take(1)))
    assert entries == [(5, "a"), (5, END)]
    assert began == ["b"]


def test_text_holds_non_empty_content_only() -> None:
    stream = MessageStream(just(delta(""), delta(None), delta("a"), delta(None, refusal="no"), delta("b")))
    assert timeline(just(stream).pipe(text())) == [(0, "a"), (0, "b"), (0, END)]


def test_messages_without_text_are_not_separated() -> None:
    silent = MessageStream(just(delta(None)))
    items = just(silent, message("a|"), silent, message("b|"), silent)
    assert [item for _, item in timeline(items.pipe(text("/")))] == ["a", "/", "b", END]


def test_no_separator_is_emitted_when_it_is_empty() -> None:
    items = just(message("a|"), message("b|"))
    assert [item for _, item in timeline(items.pipe(text("")))] == ["a", "b", END]


def test_the_views_reach_into_blocks_and_skip_inputs_and_aside_blocks() -> None:
    def items() -> Observable[Any]:
        inner = Block("inner", just(message("b|")))
        aside = Block("note", just(message("x|")), entry="aside")
        outer = Block("outer", just(inner))
        items = {"q": MessageStream.of(UserMessage("q")), "a": message("a|"), "o": outer, "n": aside}
        return rx.from_marbles("q-a-o-n-c|", timespan=1.0, lookup={**items, "c": message("c|")})

    def words(**options: Any) -> list[str]:
        return [item for _, item in timeline(items().pipe(text("", **options)))[:-1]]

    assert words() == ["a", "b", "c"]
    assert words(inputs=True) == ["q", "a", "b", "c"]
    assert words(aside=True) == ["a", "b", "x", "c"]


def test_an_error_comes_in_its_place_after_the_tokens_before_it() -> None:
    error = ValueError("lost")
    failing = MessageStream(rx.concat(marbles("-b|"), rx.throw(error)))
    entries = timeline(just(message("-----a-|"), failing, message("c|")).pipe(text()))
    assert entries == [(5, "a"), (7, "\n\n"), (7, "b"), (7, error)]


def test_an_error_of_the_conversation_waits_for_the_messages_before_it() -> None:
    error = ValueError("lost")
    items = rx.concat(just(message("--a--b-|")), rx.throw(error))
    assert timeline(items.pipe(text())) == [(2, "a"), (5, "b"), (7, error)]


def test_in_the_order_of_arrival_an_error_comes_as_it_arrives() -> None:
    error = ValueError("lost")
    failing = MessageStream(rx.concat(marbles("--b|"), rx.throw(error)))
    entries = timeline(just(message("-a---a-|"), failing).pipe(text(order="arrival")))
    assert entries == [(1, "a"), (2, "b"), (3, error)]


def test_in_the_order_of_arrival_an_error_of_the_conversation_waits_for_nothing_that_came_before() -> None:
    error = ValueError("lost")
    items = rx.concat(just(message("--a--b-|")), rx.throw(error))
    assert timeline(items.pipe(text(order="arrival"))) == [(2, "a"), (5, "b"), (7, error)]


def test_five_thousand_finished_messages_in_a_row_do_not_recurse() -> None:
    streams = [MessageStream.of(Message(role="assistant", content=str(number))) for number in range(5_000)]
    for order in ("message", "arrival"):
        entries = timeline(just(*streams).pipe(text("", order=order)))  # type: ignore[arg-type]
        assert [item for _, item in entries] == [*map(str, range(5_000)), END]


def test_five_thousand_messages_that_waited_for_one_do_not_recurse() -> None:
    streams = [MessageStream.of(Message(role="assistant", content="x")) for _ in range(5_000)]
    assert len(timeline(just(message("-a|"), *streams).pipe(text("")))) == 5_002


def test_five_thousand_messages_that_end_at_once_do_not_recurse() -> None:
    streams = [MessageStream(just(str(number))) for number in range(5_000)]
    assert len(timeline(just(*streams).pipe(deltas()))) == 5_001


def model(delay: float = 1.0) -> tuple[Agent, list[str]]:
    cancelled: list[str] = []

    def llm(request: Any) -> Observable[Any]:
        return marbles("a-b-c-d-e|").pipe(ops.finally_action(lambda: cancelled.append("gone")))

    return Agent("a", llm), cancelled


def test_take_cancels_the_model() -> None:
    agent, gone = model()
    entries = timeline(say("q").pipe(agent, text(), ops.take(2), ops.do_action(on_completed=lambda: None)))
    assert entries == [(0, "a"), (2, "b"), (2, END)]
    assert gone == ["gone"]


def test_take_until_cuts_below_text_and_cancels_the_model() -> None:
    agent, gone = model()
    entries = timeline(say("q").pipe(agent, text(), ops.take_until(rx.timer(5.0))))
    assert entries == [(0, "a"), (2, "b"), (4, "c"), (5, END)]
    assert gone == ["gone"]


def test_delay_works_in_virtual_time() -> None:
    agent, _ = model()
    entries = timeline(say("q").pipe(agent, text(), ops.delay(10.0), ops.take(2)))
    assert entries == [(10, "a"), (12, "b"), (12, END)]


def test_disposing_cancels_the_model() -> None:
    agent, gone = model()
    assert timeline(say("q").pipe(agent, text()), dispose_at=3) == [(0, "a"), (2, "b")]
    assert gone == ["gone"]


def test_catch_goes_on_with_something_else() -> None:
    agent = Agent("a", ScriptedLLM([ValueError("no")]))
    entries = timeline(say("q").pipe(agent, text(), ops.catch(lambda error, _: rx.of("sorry"))))
    assert [item for _, item in entries] == ["sorry", END]


def test_a_retry_is_a_new_run() -> None:
    llm = ScriptedLLM([ValueError("no"), ValueError("no"), "Hello"])
    entries = timeline(say("q").pipe(Agent("a", llm), text(), ops.retry(3)))
    assert [item for _, item in entries] == ["Hello", END]
    assert len(llm.requests) == 3
    assert llm.requests[0] == llm.requests[2]


def test_the_error_passes_after_the_last_retry() -> None:
    error = ValueError("no")
    llm = ScriptedLLM(lambda _: error)
    entries = timeline(say("q").pipe(Agent("a", llm), text(), ops.retry(3)))
    assert entries == [(0, error)]
    assert error.__notes__ == ["in a"]


@pytest.mark.parametrize("view", [text(), text(order="arrival"), deltas(), deltas(order="arrival")])
def test_an_error_says_where_it_was_when_it_reaches_the_subscriber(view: Any) -> None:
    inner = Block("inner", just(MessageStream(rx.throw(error := ValueError("no")))))
    notes: list[str] = []
    noted = ops.do_action(on_error=lambda e: notes.extend(e.__notes__))
    assert timeline(just(Block("outer", just(inner))).pipe(view, noted))[-1] == (0, error)
    assert notes == ["in outer > inner"]


@pytest.mark.parametrize("view", [text, deltas])
def test_another_order_is_refused(view: Any) -> None:
    with pytest.raises(ConfigurationError, match="'message' or 'arrival', not 'random'"):
        view(order="random")
