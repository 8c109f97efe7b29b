"""text and deltas: the tokens of a conversation, in both orders, over time."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import Agent, Block, ConfigurationError, Message, MessageStream, UserMessage, say
from rxagents.engine.emitters import just
from rxagents.operators import deltas, text
from rxagents.testing import Marbles
from rxagents.values import delta


def test_deltas_come_message_by_message_as_the_diagram_draws_them(marbles: Marbles) -> None:
    one = marbles.message("      --a---b--|")
    other = marbles.message("    ----c---d-----|")
    heard = just(one, other).pipe(deltas())
    marbles.expect(heard).to_be("--a---b--(c d)|")


def test_deltas_come_as_they_arrive_as_the_diagram_draws_them(marbles: Marbles) -> None:
    one = marbles.message("      --a---b--|")
    other = marbles.message("    ----c---d-----|")
    heard = just(one, other).pipe(deltas(order="arrival"))
    marbles.expect(heard).to_be("--a-c-b-d-----|")


def test_text_comes_as_the_diagram_draws_it(marbles: Marbles) -> None:
    one = marbles.message("       --Hel-lo-|")
    other = marbles.message("     ---Yes-|")
    heard = just(one, other).pipe(text())
    marbles.expect(heard).to_be(r"--Hel-lo-('\n\n' Yes|)")


def test_text_in_the_order_of_arrival_has_no_separators(marbles: Marbles) -> None:
    one = marbles.message("      --Hel-----lo-|")
    other = marbles.message("    ------Yes-|")
    heard = just(one, other).pipe(text(order="arrival"))
    marbles.expect(heard).to_be("--Hel-Yes-lo-|")


def test_a_second_message_that_is_still_open_streams_when_its_turn_comes(marbles: Marbles) -> None:
    one = marbles.message("       -a-|")
    other = marbles.message("     --b----------c-|")
    heard = just(one, other).pipe(text())
    marbles.expect(heard).to_be(r"-a-('\n\n' b)c-|")


def test_messages_that_wait_for_their_turn_run_meanwhile(marbles: Marbles) -> None:
    probe = marbles.probe()
    one = marbles.message("                     -----a-|")
    source = marbles.cold("                     -b|")
    waiting = MessageStream(source.pipe(probe))
    heard = just(one, waiting).pipe(text(), ops.take(1))
    marbles.expect(heard).to_be("               -----(a|)")
    marbles.expect_subscriptions(source).to_be("^-!")
    marbles.flush()
    assert probe.items == ["b"]


def test_text_holds_non_empty_content_only(marbles: Marbles) -> None:
    stream = MessageStream(just(delta(""), delta(None), delta("a"), delta(None, refusal="no"), delta("b")))
    marbles.expect(just(stream).pipe(text())).to_be("(a b|)")


def test_messages_without_text_are_not_separated(marbles: Marbles) -> None:
    silent = MessageStream(just(delta(None)))
    one = marbles.message("      a|")
    other = marbles.message("    b|")
    heard = just(silent, one, silent, other, silent).pipe(text("/"))
    marbles.expect(heard).to_be("a(/ b|)")


def test_no_separator_is_emitted_when_it_is_empty(marbles: Marbles) -> None:
    one = marbles.message("      a|")
    other = marbles.message("    b|")
    heard = just(one, other).pipe(text(""))
    marbles.expect(heard).to_be("a(b|)")


def test_the_views_reach_into_blocks_and_skip_inputs_and_aside_blocks(marbles: Marbles) -> None:
    def items() -> rx.Observable[Any]:
        said = MessageStream.of(UserMessage("q"))
        inner = Block("inner", just(marbles.message("b|")))
        aside = Block("note", just(marbles.message("x|")), entry="aside")
        one, outer, other = marbles.message("a|"), Block("outer", just(inner)), marbles.message("c|")
        return marbles.cold("q-a-o-n-c|", q=said, a=one, o=outer, n=aside, c=other)

    marbles.expect(items().pipe(text(""))).to_be("--a-b---c|")
    marbles.expect(items().pipe(text("", inputs=True))).to_be("q-a-b---c|")
    marbles.expect(items().pipe(text("", aside=True))).to_be("--a-b-x-c|")


def test_an_error_comes_in_its_place_after_the_tokens_before_it(marbles: Marbles) -> None:
    error = ValueError("lost")
    probe = marbles.probe()
    one = marbles.message("       -----a-|")
    failing = marbles.message("   -b#", error=error)
    other = marbles.message("     c|")
    heard = just(one, failing, other).pipe(text(), probe)
    marbles.expect(heard).to_be(r"-----a-('\n\n' b #)", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_an_error_of_the_conversation_waits_for_the_messages_before_it(marbles: Marbles) -> None:
    error = ValueError("lost")
    probe = marbles.probe()
    said = marbles.message("     --a--b-|")
    heard = rx.concat(just(said), rx.throw(error)).pipe(text(), probe)
    marbles.expect(heard).to_be("--a--b-#", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_in_the_order_of_arrival_an_error_comes_as_it_arrives(marbles: Marbles) -> None:
    error = ValueError("lost")
    probe = marbles.probe()
    one = marbles.message("      -a-----a-|")
    failing = marbles.message("  ---b-#", error=error)
    heard = just(one, failing).pipe(text(order="arrival"), probe)
    marbles.expect(heard).to_be("-a-b-#", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_in_the_order_of_arrival_an_error_of_the_conversation_waits_for_nothing_that_came_before(
    marbles: Marbles,
) -> None:
    error = ValueError("lost")
    probe = marbles.probe()
    said = marbles.message("     --a--b-|")
    heard = rx.concat(just(said), rx.throw(error)).pipe(text(order="arrival"), probe)
    marbles.expect(heard).to_be("--a--b-#", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_five_thousand_finished_messages_in_a_row_do_not_recurse(marbles: Marbles) -> None:
    numbers = [str(number) for number in range(5_000)]
    items = just(*[MessageStream.of(Message(role="assistant", content=number)) for number in numbers])
    marbles.expect(items.pipe(text(""), ops.to_list())).to_be("                 (n|)", n=numbers)
    marbles.expect(items.pipe(text("", order="arrival"), ops.to_list())).to_be("(n|)", n=numbers)


def test_five_thousand_messages_that_waited_for_one_do_not_recurse(marbles: Marbles) -> None:
    streams = [MessageStream.of(Message(role="assistant", content="x")) for _ in range(5_000)]
    items = just(marbles.message("-a|"), *streams)
    heard = items.pipe(text(""), ops.count())
    marbles.expect(heard).to_be(" --(n|)", n=5_001)


def test_five_thousand_messages_that_end_at_once_do_not_recurse(marbles: Marbles) -> None:
    streams = [MessageStream(just(str(number))) for number in range(5_000)]
    marbles.expect(just(*streams).pipe(deltas(), ops.count())).to_be("(n|)", n=5_000)


def test_take_cancels_the_model(marbles: Marbles) -> None:
    llm = marbles.llm("                      a-b-c-d-e|")
    said = say("q").pipe(Agent("a", llm), text(), ops.take(2))
    marbles.expect(said).to_be("             a-(b|)")
    marbles.expect_subscriptions(llm).to_be("^-!")


def test_take_until_cuts_below_text_and_cancels_the_model(marbles: Marbles) -> None:
    llm = marbles.llm("                      a-b-c-d-e|")
    stop = marbles.hot("                     -----s")
    said = say("q").pipe(Agent("a", llm), text(), ops.take_until(stop))
    marbles.expect(said).to_be("             a-b-c|")
    marbles.expect_subscriptions(llm).to_be("^----!")


def test_delay_works_in_virtual_time(marbles: Marbles) -> None:
    llm = marbles.llm("                      a-b-c-d-e|")
    said = say("q").pipe(Agent("a", llm), text(), ops.delay(10.0), ops.take(2))
    marbles.expect(said).to_be("             ----------a-(b|)")
    marbles.expect_subscriptions(llm).to_be("^--------!")


def test_disposing_cancels_the_model(marbles: Marbles) -> None:
    llm = marbles.llm("                                a-b-c-d-e|")
    said = say("q").pipe(Agent("a", llm), text())
    marbles.expect(said, unsubscribe_at="^--!").to_be("a-b-")
    marbles.expect_subscriptions(llm).to_be("          ^--!")


def test_catch_goes_on_with_something_else(marbles: Marbles) -> None:
    llm = marbles.llm("         --#", error=ValueError("no"))
    said = say("q").pipe(Agent("a", llm), text(), ops.catch(lambda error, _: rx.of("sorry")))
    marbles.expect(said).to_be("--(sorry|)")


def test_a_retry_is_a_new_run(marbles: Marbles) -> None:
    llm = marbles.llm("                      --#", "--#", "-Hello|", error=ValueError("no"))
    said = say("q").pipe(Agent("a", llm), text(), ops.retry(3))
    marbles.expect(said).to_be("             -----Hello|")
    marbles.expect_subscriptions(llm).to_be("^-!", "--^-!", "----^-----!")
    marbles.flush()
    assert len(llm.requests) == 3
    assert llm.requests[0] == llm.requests[2]


def test_the_error_passes_after_the_last_retry(marbles: Marbles) -> None:
    error = ValueError("no")
    probe = marbles.probe()
    llm = marbles.llm("                      --#", "--#", "--#", error=error)
    said = say("q").pipe(Agent("a", llm), text(), ops.retry(3), probe)
    marbles.expect(said).to_be("             ------#", error=error)
    marbles.expect_subscriptions(llm).to_be("^-!", "--^-!", "----^-!")
    marbles.flush()
    assert probe.errors == [error]
    assert error.__notes__ == ["in a"]


@pytest.mark.parametrize("view", [text(), text(order="arrival"), deltas(), deltas(order="arrival")])
def test_an_error_says_where_it_was_when_it_reaches_the_subscriber(marbles: Marbles, view: Any) -> None:
    error = ValueError("no")
    inner = Block("inner", just(MessageStream(rx.throw(error))))
    probe = marbles.probe()
    notes: list[str] = []
    noted = ops.do_action(on_error=lambda e: notes.extend(e.__notes__))
    marbles.expect(just(Block("outer", just(inner))).pipe(view, noted, probe)).to_be("#", error=error)
    marbles.flush()
    assert probe.errors == [error]
    assert notes == ["in outer > inner"]


@pytest.mark.parametrize("view", [text, deltas])
def test_another_order_is_refused(view: Any) -> None:
    with pytest.raises(ConfigurationError, match="'message' or 'arrival', not 'random'"):
        view(order="random")
