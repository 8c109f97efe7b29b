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
    MessageStream,
    UserMessage,
    say,
)
from rxagents.engine.emitters import just
from rxagents.operators import answer, messages, responses
from rxagents.testing import Marbles

texts = ops.map(lambda message: message.text)


def test_messages_come_as_they_begin_as_the_diagram_draws_it(marbles: Marbles) -> None:
    m1 = marbles.message("                                         x|")
    m2 = marbles.message("                                         y|")
    probe = marbles.probe()
    items = marbles.cold(" --B------|", B=Block("B", marbles.cold("-m--n--|", m=m1, n=m2)))
    marbles.expect(items.pipe(messages(), probe)).to_be("""
                           ---m1-m2-|
                       m1  ---x|
                       m2  ------y|
    """)
    marbles.flush()
    assert probe.items == [m1, m2]


def test_responses_come_in_the_order_in_which_they_began_as_the_diagram_draws_it(marbles: Marbles) -> None:
    m1 = marbles.message("                                       --a--b-----|")
    m2 = marbles.message("                                       ---c-|")
    probe = marbles.probe()
    marbles.expect(just(m1, m2).pipe(responses(), probe)).to_be("-----------([ab] [c]|)")
    marbles.flush()
    assert probe.items == [m1.result, m2.result]


def test_the_answer_is_the_last_message_as_the_diagram_draws_it(marbles: Marbles) -> None:
    m1 = marbles.message("       --a-|")
    m2 = marbles.message("       -----b-|")
    heard = just(m1, m2).pipe(answer())
    marbles.expect(heard).to_be("-------([b]|)")


def test_inputs_and_aside_blocks_are_skipped_unless_asked_for(marbles: Marbles) -> None:
    def items() -> Observable[Any]:
        note = Block("note", just(MessageStream.of(AssistantMessage("aside"))), entry="aside")
        said = marbles.message("                                ---a-|")
        return just(MessageStream.of(UserMessage("q")), said, note)

    marbles.expect(items().pipe(responses())).to_be("           -----([a]|)")
    marbles.expect(items().pipe(responses(inputs=True))).to_be("[q]--([a]|)")
    marbles.expect(items().pipe(responses(aside=True))).to_be(" -----([a] [aside]|)")
    marbles.expect(items().pipe(messages(inputs=True, aside=True))).to_be("""
             (m m2 m3|)
        m    (q|)
        m2   ---a-|
        m3   (aside|)
    """)
    marbles.expect(items().pipe(answer())).to_be("              -----([a]|)")


def test_the_views_complete_without_messages(marbles: Marbles) -> None:
    marbles.expect(rx.empty().pipe(messages())).to_be(" |")
    marbles.expect(rx.empty().pipe(responses())).to_be("|")


def test_an_answer_that_nobody_gave_is_an_error(marbles: Marbles) -> None:
    probe = marbles.probe()
    marbles.expect(say("q").pipe(answer(), probe)).to_be("#", error=AgentError)
    marbles.flush()
    assert "nobody answered" in str(probe.errors[0])


def test_an_error_comes_in_its_place(marbles: Marbles) -> None:
    error = ValueError("no")
    probe = marbles.probe()

    def failing() -> MessageStream:
        return MessageStream(rx.throw(error))

    one, other = marbles.message("--a-|"), marbles.message("b|")
    first = just(one, failing(), other).pipe(responses(), probe)
    last = just(one, failing()).pipe(answer(), probe)
    marbles.expect(first).to_be("                           ----([a] #)", error=error)
    marbles.expect(last).to_be("                            ----#", error=error)
    marbles.flush()
    assert probe.errors == [error, error]


@pytest.mark.parametrize("view", [messages, responses, answer])
@pytest.mark.parametrize("fails", ["the message", "the block"])
def test_an_error_says_where_it_was_when_it_reaches_the_subscriber(
    marbles: Marbles, view: Any, fails: str
) -> None:
    failing = rx.throw(error := ValueError("no"))
    inner = Block("inner", failing if fails == "the block" else just(MessageStream(failing)))
    probe = marbles.probe()
    notes: list[str] = []
    noted = ops.do_action(on_error=lambda e: notes.extend(e.__notes__))
    items = just(Block("outer", just(inner))).pipe(view(), noted, ops.ignore_elements(), probe)
    marbles.expect(items).to_be("#", error=error)
    marbles.flush()
    assert probe.errors == [error]
    assert notes == ["in outer > inner"]


def test_catch_and_retry_work_behind_the_views(marbles: Marbles) -> None:
    llm = marbles.llm("         --#", "-Hello|", error=ValueError("no"))
    said = say("q").pipe(Agent("a", llm), answer(), ops.retry(2))
    marbles.expect(said).to_be("--------([Hello]|)")
    failing = marbles.llm("     --#")
    sorry = AssistantMessage("sorry")
    said = say("q").pipe(Agent("a", failing), responses(), ops.catch(lambda *_: rx.of(sorry)))
    marbles.expect(said).to_be("--(s|)", s=sorry)


def test_disposing_cancels_the_model(marbles: Marbles) -> None:
    llm = marbles.llm("                                      a--b--c|", "a--b--c|")
    agent = Agent("a", llm)
    for view in (responses, answer):
        heard = say("q").pipe(agent, view())
        marbles.expect(heard, unsubscribe_at="^---!").to_be("-----")
    marbles.expect_subscriptions(llm).to_be("                ^---!", "^---!")


def test_a_message_is_read_once_however_many_views_read_it(marbles: Marbles) -> None:
    source = marbles.cold("                                     -a|")
    stream = MessageStream(source)
    for view in (responses, answer):
        marbles.expect(just(stream).pipe(view(), texts)).to_be("--(a|)")
    marbles.expect_subscriptions(source).to_be("                ^-!")


def test_five_thousand_finished_messages_in_a_row_do_not_recurse(marbles: Marbles) -> None:
    streams = [MessageStream.of(AssistantMessage(str(number))) for number in range(5_000)]
    marbles.expect(just(*streams).pipe(responses(), ops.count())).to_be("(n|)", n=5_000)
    marbles.expect(just(*streams).pipe(answer(), texts)).to_be("         (t|)", t="4999")
