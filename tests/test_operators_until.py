"""until: a stop button that cuts in mid-message, and leaves a clean conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    Block,
    Conversation,
    MessageStream,
    Team,
    Workflow,
    say,
)
from rxagents.engine.emitters import just
from rxagents.operators import markers, responses, shared, text, until
from rxagents.testing import Marbles


def test_it_cuts_in_mid_message_as_the_diagram_draws_it(marbles: Marbles) -> None:
    m = marbles.message("        --Well-let-me-see|")
    stop = marbles.hot("         ----------s")
    heard = just(m).pipe(until(stop), text())
    marbles.expect(heard).to_be("--Well-let|")
    marbles.flush()
    assert m.result is not None
    assert (m.result.text, m.result.finish_reason) == ("Welllet", "interrupted")


def test_the_innermost_is_cut_first_and_all_at_that_very_instant(marbles: Marbles) -> None:
    gone: list[str] = []
    ends: list[str] = []
    source = marbles.cold("                     -a---a|")
    inner_message = MessageStream(source.pipe(ops.finally_action(lambda: ends.append("source"))))
    inner = Block("inner", just(inner_message))
    outer = Block("outer", just(inner))
    for item, name in ((outer, "outer"), (inner, "inner"), (inner_message, "message")):
        item.on_end(lambda _, name=name: ends.append(name))
    stop: rx.Subject[Any] = rx.Subject()

    def press() -> None:
        stop.on_next("s")
        gone.extend(ends)

    marbles.at(3, press)
    marbles.expect_subscriptions(source).to_be("^--!")
    marbles.expect_markers(just(outer).pipe(until(stop), markers())).to_be(
        [
            *((0, "start", "outer"), (0, "start", "inner"), (1, "delta", "a")),
            *((3, "interrupted", "a"), (3, "end", "inner"), (3, "end", "outer")),
            (3, "result", "interrupted"),
        ]
    )
    marbles.flush()
    assert gone == ["source", "message", "inner", "outer"], "before on_next of the signal returned"


def test_it_cancels_the_model_of_an_agent(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b-c-d|")
    stop = marbles.hot("                     ----s")
    said = say("q").pipe(Agent("bot", llm), until(stop))
    marbles.expect(said.pipe(text())).to_be("-a-b|")
    marbles.expect_subscriptions(llm).to_be("^---!")


def test_the_conversation_holds_what_had_come(marbles: Marbles) -> None:
    conversation = Conversation()
    llm = marbles.llm("                      -a-b-c-d|")
    stop = marbles.hot("                     ----s")
    workflow = Workflow(lambda source: source.pipe(Agent("bot", llm), until(stop)), conversation)
    marbles.expect_markers(workflow.observe("q")).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (3, "delta", "b")),
            *((4, "interrupted", "ab"), (4, "end", "bot"), (4, "result", "interrupted")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^---!")
    marbles.flush()
    assert [(message.text, message.finish_reason) for message in conversation] == [
        ("q", None),
        ("ab", "interrupted"),
    ]


def test_no_further_tool_starts(marbles: Marbles) -> None:
    started: list[str] = []
    stop: rx.Subject[Any] = rx.Subject()

    async def first() -> None:
        started.append("first")
        stop.on_next("s")
        await asyncio.sleep(1)
        started.append("first went on")

    second = marbles.tool("second", "-done|")
    llm = marbles.llm("                      ----(@first @second|)")
    said = say("q").pipe(Agent("bot", llm, tools=[first, second]), until(stop))
    marbles.expect(said, state=True).to_be(
        """
             bot-(<result:interrupted>|)
        bot  m---~
        m    ----(@first @second~)
        """
    )
    marbles.expect_subscriptions(llm).to_be("^---!")
    marbles.expect_subscriptions(second).to_be()
    marbles.flush()
    assert started == ["first"]


def test_a_signal_that_comes_at_once_lets_nothing_start(marbles: Marbles) -> None:
    llm = marbles.llm("                      x|")
    said = say("q").pipe(Agent("bot", llm), until(rx.of("s")))
    marbles.expect(said.pipe(text())).to_be("|")
    marbles.expect_subscriptions(llm).to_be()
    marbles.allow("unused")


@pytest.mark.parametrize("signal", ["-", "|"], ids=["never", "empty"])
def test_without_a_signal_nothing_is_cut(marbles: Marbles, signal: str) -> None:
    llm = marbles.llm("                      -a-b|")
    said = say("q").pipe(Agent("bot", llm), until(marbles.cold(signal)))
    marbles.expect(said.pipe(text())).to_be("-a-b|")
    marbles.expect_subscriptions(llm).to_be("^---!")


def test_it_completes_when_what_passed_has_ended_and_not_before(marbles: Marbles) -> None:
    llm = marbles.llm("                     -a-b|")
    run = say("q").pipe(Agent("bot", llm), shared())
    names = run.pipe(until(rx.never()), ops.map(lambda block: block.name))
    marbles.expect(run.pipe(text())).to_be("-a-b|")
    marbles.expect(names).to_be("           bot-|")


def test_a_signal_that_fails_fails_the_conversation_and_cuts_what_is_open(marbles: Marbles) -> None:
    error = ValueError("button")
    llm = marbles.llm("                             -a-b-c|", "-a-b-c|")
    broken = marbles.hot("                          --#", error=error)
    probe = marbles.probe()
    said = say("q").pipe(Agent("bot", llm), until(broken))
    shown = {"type": "ValueError", "message": "button", "where": ""}
    marbles.expect(said.pipe(text(), probe)).to_be("-a#", error=error)
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (2, "interrupted", "a"), (2, "end", "bot")),
            *((2, "error", shown), (2, "result", "agent-error")),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("       ^-!", "^-!")
    marbles.flush()
    assert probe.errors == [error]


# A cold signal, since a hot lane wins by itself.


def test_at_one_instant_the_signal_wins_over_a_token(marbles: Marbles) -> None:
    m = marbles.message("        --a--b|")
    signal = marbles.cold("      -----s")
    heard = just(m).pipe(until(signal), text())
    marbles.expect(heard).to_be("--a--|")


def test_at_one_instant_the_signal_wins_over_a_message(marbles: Marbles) -> None:
    items = marbles.cold("       --m|", m=MessageStream(rx.of("x")))
    signal = marbles.cold("      --s")
    heard = items.pipe(until(signal), text())
    marbles.expect(heard).to_be("--|")


def test_a_second_signal_does_nothing(marbles: Marbles) -> None:
    llm = marbles.llm("   -a-b-c-d|")
    signal = marbles.hot("--s-s-s")
    said = say("q").pipe(Agent("bot", llm), until(signal))
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (2, "interrupted", "a"), (2, "end", "bot")),
            (2, "result", "interrupted"),
        ]
    )


def test_the_next_agent_in_the_pipe_hears_what_there_was_and_takes_its_turn(marbles: Marbles) -> None:
    first = marbles.llm("                      -Hel-lo-|")
    stop = marbles.hot("                       ----s")
    second = marbles.llm("                     -Go_on|")
    said = say("q").pipe(Agent("a", first), until(stop), Agent("b", second))
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((4, "start", "b"), (5, "delta", "Go on"), (10, "response", "Go on")),
            *((10, "end", "b"), (10, "result", "done")),
        ]
    )
    marbles.expect_subscriptions(first).to_be("^---!")
    marbles.flush()
    assert second.requests[0].messages == ({"role": "user", "content": "Hel", "name": "a"},)


def test_what_the_next_agent_was_still_hearing_is_cut_too(marbles: Marbles) -> None:
    first = marbles.llm("                      -a-b-c|")
    stop = marbles.hot("                       --s")
    second = marbles.llm("                     never|")
    said = say("q").pipe(Agent("a", first), Agent("b", second), until(stop))
    probe = marbles.probe()
    marbles.expect_markers(said.pipe(markers(), probe)).to_be([(2, "result", "interrupted")])
    marbles.expect_subscriptions(probe).to_be("^-!")
    marbles.expect_subscriptions(first).to_be("^-!")
    marbles.expect_subscriptions(second).to_be()
    marbles.allow("unused")


def test_a_team_is_cut_while_its_model_is_asked(marbles: Marbles) -> None:
    nobody = marbles.llm()
    router = marbles.llm("                      -a---|")
    stop = marbles.hot("                        ---s")
    team = Team(router, [Agent("a", nobody), Agent("b", nobody)], "team")
    marbles.expect_markers(say("q").pipe(team, until(stop), markers())).to_be(
        [(0, "start", "team"), (3, "end", "team"), (3, "result", "interrupted")]
    )
    marbles.expect_subscriptions(router).to_be("^--!")


def test_a_team_is_cut_with_the_member_that_speaks(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b|", "-a-b|")
    stop = marbles.hot("                     ------s")
    team = Team(marbles.llm(), [Agent("bot", llm)], "team")
    marbles.expect_markers(say("q").pipe(team, until(stop), markers())).to_be(
        [
            *((0, "start", "team"), (0, "start", "bot"), (1, "delta", "a"), (3, "delta", "b")),
            *((4, "response", "ab"), (4, "end", "bot"), (4, "start", "bot"), (5, "delta", "a")),
            *((6, "interrupted", "a"), (6, "end", "bot"), (6, "end", "team")),
            (6, "result", "interrupted"),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^---!", "----^-!")


def test_all_that_runs_side_by_side_is_cut(marbles: Marbles) -> None:
    one = marbles.message("      -a-a-a|")
    other = marbles.message("    -b-b-b|")
    stop = marbles.hot("         --s")
    heard = just(one, other).pipe(until(stop), responses())
    marbles.expect(heard).to_be("--([a] [b]|)")
    marbles.flush()
    assert all(stream.interrupted for stream in (one, other))


def test_disposing_lets_go_of_the_signal_too(marbles: Marbles) -> None:
    llm = marbles.llm("                               -a-b|", "-a-b|")
    signal = marbles.cold("                           -")
    said = say("q").pipe(Agent("bot", llm), until(signal), text())
    marbles.expect(said, unsubscribe_at="^-!").to_be("-a-")
    marbles.expect(said).to_be("                      -a-b|")
    marbles.expect_subscriptions(llm).to_be("         ^-!", "^---!")
    marbles.expect_subscriptions(signal).to_be("      ^-!", "^---!")


def test_a_stock_take_until_over_items_cuts_nothing(marbles: Marbles) -> None:
    llm = marbles.llm("                      -a-b|")
    stop = marbles.hot("                     --s")
    said = say("q").pipe(Agent("bot", llm), ops.take_until(stop))
    marbles.expect(said.pipe(text())).to_be("-a-b|")
    marbles.expect_subscriptions(llm).to_be("^---!")
