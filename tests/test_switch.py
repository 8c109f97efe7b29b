"""Switch: who speaks is selected, and another takes over in mid-sentence."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    Conversation,
    Loop,
    MessageStream,
    OpenAILLM,
    Parallel,
    RoutingError,
    ScriptedLLM,
    Sequence,
    StateUpdate,
    Switch,
    Tool,
    Transcript,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm import Call
from rxagents.operators import markers, messages, text, until
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws
from tests.team_views import QUITTER, STOPPER, ended, only, speakers

WAIT = 10


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def question(marbles: Marbles) -> Observable[Any]:
    return marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))


# -- a function


def test_a_function_selects_who_has_the_turn(marbles: Marbles) -> None:
    team = Switch("s", [talker("a"), talker("b")], lambda heard: "b" if len(heard) == 1 else "a")
    marbles.expect(say("q").pipe(Loop("l", team, max_turns=3), speakers)).to_be("(b a a|)")


def test_it_is_asked_once_in_a_turn_and_may_be_async(marbles: Marbles) -> None:
    asked: list[list[str]] = []

    async def select(heard: Transcript) -> str:
        asked.append([message.text for message in heard])
        return "a"

    marbles.expect(say("q").pipe(Switch("s", [talker("a"), talker("b")], select), text())).to_be("(a|)")
    marbles.flush()
    assert asked == [["q"]]


def test_where_it_names_nobody_nobody_speaks(marbles: Marbles) -> None:
    marbles.expect_markers(say("q").pipe(Switch("s", [talker("a")], lambda heard: None), markers())).to_be(
        [(0, "start", "s"), (0, "end", "s"), (0, "result", "done")]
    )


def test_the_choice_stands_in_the_log(marbles: Marbles) -> None:
    workflow = Workflow(Switch("s", [talker("a"), talker("b")], lambda heard: "b"))
    workflow.run("q")
    assert workflow.conversation.log == (("info", "switch/choice", "s", "b"),)


def fails(heard: Transcript) -> str:
    raise KeyError("no idea")


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        (lambda heard: "c", "switch s: the selector gave 'c', who is no member; the members are a, b"),
        (lambda heard: 1, "switch s: the selector gave 1, who is no member; the members are a, b"),
        (fails, "'no idea'"),
    ],
)
def test_what_goes_wrong_in_it_is_located_there(marbles: Marbles, selector: Any, told: str) -> None:
    team = Switch("s", [talker("a"), talker("b")], selector)
    shown = say("q").pipe(team, markers(), only("error"), ops.map(lambda marker: marker[1]))
    marbles.expect(shown.pipe(ops.map(lambda error: (error["message"], error["where"])))).to_be(
        "(e|)", e=(told, "s > selector")
    )


# -- an observable


def test_another_id_takes_over_in_mid_sentence(marbles: Marbles) -> None:
    ann, bob = marbles.cold("-a-b-c-d|"), marbles.llm("-e|")
    select = marbles.hot("    ----a---b|", a="A", b="B")
    team = Switch("s", [Agent("A", lambda request: ann), Agent("B", bob)], select)
    marbles.expect(question(marbles).pipe(team)).to_be(
        """
            ---(s|)
        s   ----A---B-|
        A   ----m1--~
        m1  -----a-b~
        B   --------m2|
        m2  ---------e|
        """
    )
    marbles.expect_subscriptions(ann).to_be("----^---!")
    marbles.flush()
    heard = [(message["role"], message["content"]) for message in bob.requests[0].messages]
    assert heard[0] == ("user", "q")
    assert "ab" in heard[1][1]


def test_who_is_cut_has_ended_before_the_next_begins(marbles: Marbles) -> None:
    happened: list[str] = []
    never = marbles.cold("a-", name="never")
    first = Agent("A", lambda request: never.pipe(ops.finally_action(lambda: happened.append("released"))))
    second = agent(lambda heard: happened.append(heard[-1].finish_reason or ""), id="B")
    team = Switch("s", [first, second], marbles.hot("(a)-b|", a="A", b="B"))
    marbles.expect(say("q").pipe(team, markers(), only("interrupted"))).to_be(
        "----i|", i=("interrupted", ANY)
    )
    marbles.flush()
    assert happened == ["released", "interrupted"]


def test_the_id_of_who_speaks_changes_nothing_and_afterwards_it_is_another_turn(marbles: Marbles) -> None:
    team = Switch("s", [Agent("A", marbles.llm("a--b|", "c|"))], marbles.hot("x-x---x|", x="A"))
    marbles.expect(say("q").pipe(team, text("")), words=False).to_be("a--b--c|")


def test_none_cuts_and_nobody_speaks(marbles: Marbles) -> None:
    team = Switch("s", [Agent("A", marbles.llm("a-b-c|", "d|"))], marbles.hot("x--n--x|", x="A", n=None))
    marbles.expect(say("q").pipe(team, text("")), words=False).to_be("a-b---d|")


def test_between_turns_the_team_waits_and_the_last_turn_ends_it(marbles: Marbles) -> None:
    members = [Agent("A", marbles.llm("a|")), Agent("B", marbles.llm("b--c|"))]
    team = Switch("s", members, marbles.hot("x---y|", x="A", y="B"))
    marbles.expect(say("q").pipe(team, text("")), words=False).to_be("a---b--c|")


def test_without_an_id_it_is_done_when_the_selector_has_completed(marbles: Marbles) -> None:
    marbles.expect(say("q").pipe(Switch("s", [talker("a")], marbles.hot("--|")), ended)).to_be(
        "--(d|)", d="done"
    )


def test_of_ids_that_come_at_one_instant_the_last_counts(marbles: Marbles) -> None:
    unasked = Agent("A", lambda request: rx.throw(AssertionError("was asked")))
    team = Switch("s", [unasked, talker("b")], rx.of("A", "b", "A", "b"))
    marbles.expect(say("q").pipe(team, speakers)).to_be("(b|)")


def test_each_turn_of_the_team_subscribes_anew(marbles: Marbles) -> None:
    select = marbles.cold("x|", x="a")
    team = Loop("l", Switch("s", [talker("a")], select), max_turns=2)
    marbles.expect(say("q").pipe(team, speakers), words=False).to_be("aa|")
    marbles.expect_subscriptions(select).to_be("^!", "-^!")


def test_a_selector_that_fails_cuts_and_fails_the_team(marbles: Marbles) -> None:
    words = marbles.cold("a-b-c|")
    select = marbles.hot("x--#", x="A", error=ValueError("lost"))
    team = Switch("s", [Agent("A", lambda request: words)], select)
    shown = say("q").pipe(team, markers(), only("interrupted", "error", "end"))
    told = shown.pipe(ops.map(lambda marker: marker[1]["where"] if marker[0] == "error" else str(marker[0])))
    marbles.expect(told.pipe(ops.to_list())).to_be("---(v|)", v=["interrupted", "end", "s > selector", "end"])
    marbles.expect_subscriptions(words).to_be("^--!")


def test_when_the_selector_has_failed_nobody_begins(marbles: Marbles) -> None:
    unasked = Agent("A", lambda request: rx.throw(AssertionError("was asked")))

    def lose(sink: Any, _: Any) -> Any:
        sink.on_next("A")
        sink.on_error(ValueError("lost"))

    team = Switch("s", [unasked], rx.create(lose))
    marbles.expect(say("q").pipe(team, text())).to_be("#", error=ValueError("lost"))


def test_an_id_that_is_no_members_cuts_and_fails_the_team(marbles: Marbles) -> None:
    words = marbles.cold("a-b-c|")
    team = Switch("s", [Agent("A", lambda request: words)], marbles.hot("x--y", x="A", y="Z"))
    told = "switch s: the selector gave 'Z', who is no member; the members are A"
    marbles.expect(say("q").pipe(team, text()), words=False).to_be("a-b#", error=RoutingError(told))
    marbles.expect_subscriptions(words).to_be("^--!")


def test_a_member_that_fails_fails_the_team_and_lets_go_of_the_selector(marbles: Marbles) -> None:
    select = marbles.hot("x------x", x="A")
    team = Switch("s", [Agent("A", marbles.llm("a-#", error=ValueError("no")))], select)
    marbles.expect(say("q").pipe(team, text()), words=False).to_be("a-#", error=ValueError("no"))
    marbles.expect_subscriptions(select).to_be("^-!")


@pytest.mark.parametrize(("stopper", "after"), [(STOPPER, ["next"]), (QUITTER, [])])
def test_a_stop_ends_it(marbles: Marbles, stopper: Any, after: list[str]) -> None:
    select = marbles.hot("x-y-x", x="a", y=stopper.id)
    team = Sequence(
        "all", [Switch("s", [Agent("a", marbles.llm("a---b|")), stopper], select), talker("next")]
    )
    shown = say("q").pipe(team, speakers, ops.to_list())
    marbles.expect(shown).to_be("--(v|)", v=after)
    marbles.expect_subscriptions(select).to_be("^-!")


def test_what_a_member_sets_is_there_for_the_next(marbles: Marbles) -> None:
    sets = agent(lambda heard: [StateUpdate("v", variables={"n": 1}), "set"], id="sets")
    reads = agent(lambda heard: f"n={heard.variables['n']}", id="reads")
    team = Switch("s", [sets, reads], marbles.hot("x-(y|)", x="sets", y="reads"))
    marbles.expect(say("q").pipe(team, text("/"))).to_be("s-(pr|)", s="set", p="/", r="n=1")


def test_an_id_that_is_given_within_an_on_next_of_a_reader(marbles: Marbles) -> None:
    select: rx.Subject[str] = rx.Subject()
    words = marbles.cold("a-b-c|")
    team = Switch("s", [Agent("A", lambda request: words), talker("z")], select.pipe(ops.start_with("A")))

    def hear(marker: Any) -> None:
        if marker[0] == "delta" and marker[1]["content"] == "b":
            select.on_next("z")
            select.on_completed()

    shown = say("q").pipe(team, markers(), ops.do_action(hear), only("interrupted", "response"))
    marbles.expect(shown.pipe(ops.map(lambda marker: marker[1][0]["content"]))).to_be("--(vz|)", v="ab")
    marbles.expect_subscriptions(words).to_be("^-!")


@pytest.mark.parametrize("selected", ["A", "z"])
def test_an_id_that_is_given_when_the_end_of_who_speaks_is_heard_is_another_turn(
    marbles: Marbles, selected: str
) -> None:
    select: rx.Subject[str] = rx.Subject()
    words = iter(["a", "b"])
    first = Agent("A", lambda request: rx.of(next(words)))
    team = Switch("s", [first, talker("z", "b")], select.pipe(ops.start_with("A")))

    def hear(marker: Any) -> None:
        if marker == ("end", "A") and not said:
            said.append("A")
            select.on_next(selected)
            select.on_completed()

    said: list[str] = []
    shown = say("q").pipe(team, markers(), ops.do_action(hear), only("response", "interrupted"))
    told = shown.pipe(ops.map(lambda marker: f"{marker[0]} {marker[1][0]['content']}"))
    marbles.expect(told).to_be("(ab|)", a="response a", b="response b")


def test_who_is_cut_and_named_again_at_once_has_another_turn(marbles: Marbles) -> None:
    both = marbles.hot("x-y|", x=["A"], y=["z", "A"]).pipe(ops.flat_map(rx.from_iterable))
    team = Switch("s", [Agent("A", marbles.llm("a--b|", "c|")), talker("z")], both)
    marbles.expect(say("q").pipe(team, text("")), words=False).to_be("a-c|")


def test_who_leaves_cancels_the_member_and_the_selector(marbles: Marbles) -> None:
    words, select = marbles.cold("a-b-c|"), marbles.hot("x-------", x="A")
    team = Switch("s", [Agent("A", lambda request: words)], select)
    marbles.expect(say("q").pipe(team, text()), unsubscribe_at=3.0, words=False).to_be("a-b")
    for source in (words, select):
        marbles.expect_subscriptions(source).to_be("^--!")


def test_a_stop_button_cuts_it_between_turns(marbles: Marbles) -> None:
    select = marbles.hot("x---------", x="A")
    team = Switch("s", [Agent("A", marbles.llm("a|"))], select)
    shown = say("q").pipe(team, until(marbles.hot("---s")), text())
    marbles.expect(shown, words=False).to_be("a--|")
    marbles.expect_subscriptions(select).to_be("^--!")


def test_a_team_may_be_a_member_and_all_of_it_is_cut(marbles: Marbles) -> None:
    sources = [marbles.cold("a--b|"), marbles.cold("-a--b|")]
    both = Parallel("both", [Agent(f"m{n}", lambda request, n=n: sources[n]) for n in range(2)])
    team = Switch("s", [both, talker("z")], marbles.hot("x-(z|)", x="both", z="z"))
    marbles.expect(say("q").pipe(team, markers(), only("interrupted", "response"))).to_be(
        "--(iir|)", i=("interrupted", ANY), r=("response", ANY)
    )
    for source in sources:
        marbles.expect_subscriptions(source).to_be("^-!")


@pytest.mark.parametrize("selector", ["a", None, ["a"]])
def test_a_selector_that_is_none_is_refused(selector: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Switch("s", [talker("a")], selector)
    assert str(refused.value) == (
        f"switch s: selector is a {type(selector).__name__}; give a function of the Transcript, or an "
        "observable, that gives ids of members"
    )


# -- going on when a call was approved


@pytest.mark.parametrize("live", [False, True])
def test_it_goes_on_with_whom_it_waited_for(live: bool) -> None:
    def pay() -> str:
        """Pays."""
        return "paid"

    def team(*replies: Any, selector: Any) -> Switch:
        bot = Agent("bot", ScriptedLLM(replies), tools=[Tool(pay, approval=True)])
        return Switch("s", [talker("z"), bot], selector)

    first = Workflow(team([Call("pay", {}, "c1")], selector=lambda heard: "bot"), on_waiting="stop")
    assert first.run("q") == "waiting"
    kept = Conversation.from_dict(first.conversation.to_dict())
    selector: Any = rx.empty() if live else lambda heard: "z"
    workflow = Workflow(team("Done.", selector=selector), kept)
    workflow.approve("c1")
    workflow.run()
    assert [message.text for message in workflow.conversation] == ["q", "Done."]


# -- the laws


@pytest.mark.parametrize("live", [False, True])
def test_it_keeps_the_laws(live: bool) -> None:
    echo = agent(lambda heard: [f"heard {len(heard)}", "and more"], id="echo")
    passing = as_agent("passing", lambda source: source.pipe(messages()))

    def make() -> Switch:
        selector: Any = rx.of("passing") if live else lambda heard: "echo" if len(heard) % 2 else "passing"
        return Switch("s", [echo, passing], selector)

    check_laws(make, max_examples=6)


# -- over HTTP, and from other threads


def test_an_id_from_another_thread_closes_the_response_before_its_next_token() -> None:
    with OpenAIServer([Paused(2, "one two three four"), "Here I am."]) as server:
        model = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        select: rx.Subject[str] = rx.Subject()
        team = Switch("s", [Agent("a", model), Agent("b", model)], select.pipe(ops.start_with("a")))

        def change() -> None:
            select.on_next("b")
            select.on_completed()

        seen: list[str] = []
        for mark, content in Workflow(team).run_stream("q"):
            seen.append(mark)
            if mark == "delta" and content["content"] == "one":
                threading.Thread(target=change).start()
        first, second = server.requests
        assert first.wait_closed(WAIT)
        assert (first.completed, second.completed) == (False, True)
        assert first.events_sent <= 3
        assert "'content': 'one'" in str(second.body["messages"])
        assert (seen.count("interrupted"), seen.count("response"), seen[-1]) == (1, 1, "result")
