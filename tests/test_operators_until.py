"""until: a stop button that cuts in mid-message, and leaves a clean conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    Block,
    Conversation,
    MessageStream,
    ScriptedLLM,
    Team,
    Workflow,
    say,
)
from rxagents.llm.replies import Call
from rxagents.operators import markers, responses, shared, text, until
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def tokens(diagram: str) -> MessageStream:
    return MessageStream(marbles(diagram))


def model(diagram: str, gone: list[Any], note: Any = "gone") -> Any:
    source = marbles(diagram).pipe(ops.finally_action(lambda: gone.append(note)))
    return lambda request: source


def kinds(entries: list[tuple[float, Any]]) -> list[tuple[float, str]]:
    return [(at, str(item[0])) for at, item in entries[:-1]]


def test_it_cuts_in_mid_message_as_the_diagram_draws_it() -> None:
    m = tokens("--Well-let-me-see|")
    entries = timeline(just(m).pipe(until(marbles("----------s")), text()))
    assert entries == [(2, "Well"), (7, "let"), (10, END)]
    assert m.result is not None
    assert (m.result.text, m.result.finish_reason) == ("Welllet", "interrupted")


def test_the_innermost_is_cut_first_and_all_at_that_very_instant() -> None:
    gone: list[str] = []
    ends: list[str] = []
    inner_message = MessageStream(marbles("-a---a|").pipe(ops.finally_action(lambda: ends.append("source"))))
    inner = Block("inner", just(inner_message))
    outer = Block("outer", just(inner))
    for item, name in ((outer, "outer"), (inner, "inner"), (inner_message, "message")):
        item.on_end(lambda _, name=name: ends.append(name))
    stop: rx.Subject[Any] = rx.Subject()
    press = rx.timer(3.0).pipe(
        ops.do_action(lambda _: (stop.on_next("s"), gone.extend(ends))), ops.filter(lambda _: False)
    )
    entries = timeline(rx.merge(just(outer).pipe(until(stop), markers()), press))
    assert gone == ["source", "message", "inner", "outer"], "before on_next of the signal returned"
    assert kinds(entries)[-4:] == [(3, "interrupted"), (3, "end"), (3, "end"), (3, "result")]
    assert entries[-2][1] == ("result", "interrupted")


def test_it_cancels_the_model_of_an_agent() -> None:
    gone: list[str] = []
    agent = Agent("a", model("-a-b-c-d|", gone))
    entries = timeline(say("q").pipe(agent, until(rx.timer(4.0)), text()))
    assert entries == [(1, "a"), (3, "b"), (4, END)]
    assert gone == ["gone"]


def test_the_conversation_holds_what_had_come() -> None:
    conversation = Conversation()
    agent = Agent("a", model("-a-b-c-d|", []))
    workflow = Workflow(lambda source: source.pipe(agent, until(rx.timer(4.0))), conversation)
    entries = timeline(workflow.observe("q"))
    assert entries[-2][1] == ("result", "interrupted")
    assert [(message.text, message.finish_reason) for message in conversation] == [
        ("q", None),
        ("ab", "interrupted"),
    ]


def test_no_further_tool_starts() -> None:
    started: list[str] = []
    stop: rx.Subject[Any] = rx.Subject()

    async def first() -> None:
        started.append("first")
        stop.on_next("s")
        await asyncio.sleep(1)
        started.append("first went on")

    async def second() -> None:
        started.append("second")

    agent = Agent("a", ScriptedLLM([[Call("first"), Call("second")]]), tools=[first, second])
    entries = timeline(say("q").pipe(agent, until(stop), markers()))
    assert started == ["first"]
    assert entries[-2:] == [(0, ("result", "interrupted")), (0, END)]


def test_a_signal_that_comes_at_once_lets_nothing_start() -> None:
    asked: list[Any] = []
    agent = Agent("a", lambda request: asked.append(request) or rx.of("x"))  # type: ignore[func-returns-value]
    assert timeline(say("q").pipe(agent, until(rx.of("s")), text())) == [(0, END)]
    assert asked == []


@pytest.mark.parametrize("signal", [rx.never(), rx.empty()], ids=["never", "empty"])
def test_without_a_signal_nothing_is_cut(signal: Observable[Any]) -> None:
    agent = Agent("a", model("-a-b|", []))
    assert timeline(say("q").pipe(agent, until(signal), text())) == [(1, "a"), (3, "b"), (4, END)]


def test_it_completes_when_what_passed_has_ended_and_not_before() -> None:
    run = say("q").pipe(Agent("a", model("-a-b|", [])), shared())
    (_, block), end = timeline(
        rx.merge(run.pipe(until(rx.never())), run.pipe(text(), ops.filter(lambda _: False)))
    )
    assert block.name == "a"
    assert end == (4, END)


def test_a_signal_that_fails_fails_the_conversation_and_cuts_what_is_open() -> None:
    error = ValueError("button")
    gone: list[str] = []
    agent = Agent("a", model("-a-b-c|", gone))
    broken = rx.concat(rx.timer(2.0).pipe(ops.ignore_elements()), rx.throw(error))
    entries = timeline(say("q").pipe(agent, until(broken), markers()))
    assert kinds(entries)[-4:] == [(2, "interrupted"), (2, "end"), (2, "error"), (2, "result")]
    assert entries[-2][1] == ("result", "agent-error")
    assert gone == ["gone"]
    entries = timeline(say("q").pipe(agent, until(broken), text()))
    assert entries == [(1, "a"), (2, error)]


def test_at_one_instant_the_signal_wins_over_a_token() -> None:
    m = tokens("--a--b|")
    assert timeline(just(m).pipe(until(marbles("-----s")), text())) == [(2, "a"), (5, END)]


def test_at_one_instant_the_signal_wins_over_a_message() -> None:
    said = marbles("--m|", m=tokens("x|"))
    assert timeline(said.pipe(until(marbles("--s")), text())) == [(2, END)]


def test_a_second_signal_does_nothing() -> None:
    agent = Agent("a", model("-a-b-c-d|", []))
    entries = timeline(say("q").pipe(agent, until(rx.timer(2.0, 1.0)), markers()))
    assert [kind for _, kind in kinds(entries)] == ["start", "delta", "interrupted", "end", "result"]


def test_the_next_agent_in_the_pipe_hears_what_there_was_and_takes_its_turn() -> None:
    llm = ScriptedLLM(["Go on"])
    first = Agent("a", model("-Hel-lo-|", []))
    entries = timeline(say("q").pipe(first, until(rx.timer(3.0)), Agent("b", llm), markers()))
    assert [item for _, item in entries[:-1]][-1] == ("result", "done")
    assert llm.requests[0].messages == ({"role": "user", "content": "Hel", "name": "a"},)


def test_what_the_next_agent_was_still_hearing_is_cut_too() -> None:
    gone: list[str] = []
    llm = ScriptedLLM(["never"])
    pipe = say("q").pipe(Agent("a", model("-a-b-c|", gone)), Agent("b", llm), until(rx.timer(2.0)))
    assert timeline(pipe.pipe(markers())) == [(2, ("result", "interrupted")), (2, END)]
    assert gone == ["gone"]
    assert llm.requests == []


def test_a_team_is_cut_while_its_model_is_asked() -> None:
    gone: list[str] = []
    members = [Agent("a", ScriptedLLM([])), Agent("b", ScriptedLLM([]))]
    entries = timeline(
        say("q").pipe(Team(model("-a|", gone), members, "team"), until(rx.timer(1.5)), markers())
    )
    assert kinds(entries) == [(0, "start"), (1.5, "end"), (1.5, "result")]
    assert entries[-2][1] == ("result", "interrupted")
    assert gone == ["gone"]


def test_a_team_is_cut_with_the_member_that_speaks() -> None:
    gone: list[str] = []
    team = Team(ScriptedLLM([]), [Agent("a", model("-a-b|", gone))], "team")
    entries = timeline(say("q").pipe(team, until(rx.timer(6.0)), markers()))
    shown = [(at, str(mark), content) for at, (mark, content) in entries[:-1] if mark != "delta"]
    assert [(at, kind) for at, kind, _ in shown][-5:] == [
        *((4, "start"), (6, "interrupted"), (6, "end"), (6, "end"), (6, "result")),
    ]
    assert shown[-1][2] == "interrupted"
    assert gone == ["gone", "gone"]


def test_all_that_runs_side_by_side_is_cut() -> None:
    one, other = tokens("-a-a-a|"), tokens("-b-b-b|")
    entries = timeline(just(one, other).pipe(until(rx.timer(2.5)), responses()))
    assert [(at, item.text) for at, item in entries[:-1]] == [(2.5, "a"), (2.5, "b")]
    assert all(stream.interrupted for stream in (one, other))


def test_disposing_lets_go_of_the_signal_too() -> None:
    gone: list[str] = []
    signal = rx.never().pipe(ops.finally_action(lambda: gone.append("signal")))
    agent = Agent("a", model("-a-b|", gone, "model"))
    timeline(say("q").pipe(agent, until(signal), text()), dispose_at=2)
    assert sorted(gone) == ["model", "signal"]
    gone.clear()
    timeline(say("q").pipe(agent, until(signal), text()))
    assert sorted(gone) == ["model", "signal"]


def test_a_stock_take_until_over_items_cuts_nothing() -> None:
    agent = Agent("a", model("-a-b|", []))
    assert timeline(say("q").pipe(agent, ops.take_until(rx.timer(2.0)), text())) == [
        (1, "a"),
        (3, "b"),
        (4, END),
    ]
