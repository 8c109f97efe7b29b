"""Parallel: all at once on the same conversation; by arrival, in the members' order, and what fails."""

from __future__ import annotations

import asyncio
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
    ScriptedLLM,
    Sequence,
    StateUpdate,
    Team,
    Tool,
    Usage,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm import Call, Reply
from rxagents.operators import markers, messages, text, transcript, until
from rxagents.testing import Marbles, OpenAIServer, Paused, virtual
from rxagents.testing.laws import check_laws
from tests.team_views import QUITTER, STOPPER, ended, only, speakers

WAIT = 10


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def breaker(id: str = "broken") -> Agent:
    return Agent(id, lambda request: rx.throw(ValueError(f"no {id}")))


def question(marbles: Marbles) -> Observable[Any]:
    return marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))


def said(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(transcript(), ops.map(lambda folded: [message.text for message in folded]))


# -- by arrival


def test_all_hear_the_same_and_speak_at_once(marbles: Marbles) -> None:
    a, b = marbles.llm("a----e|"), marbles.llm("-b-|")
    marbles.expect(question(marbles).pipe(Parallel("p", [Agent("A", a), Agent("B", b)]))).to_be(
        """
            ---(p|)
        p   ---(A B)-|
        A   ---m1----|
        m1  ---a----e|
        B   ---m2-|
        m2  ----b-|
        """
    )
    marbles.flush()
    assert [[message["content"] for message in llm.requests[0].messages] for llm in (a, b)] == [["q"], ["q"]]


def test_tokens_alternate_in_the_markers_and_the_path_tells_them_apart(marbles: Marbles) -> None:
    team = Parallel("p", [Agent("A", marbles.llm("a-a|")), Agent("B", marbles.llm("-b-b|"))])
    tokens = say("q").pipe(team, markers(), only("delta"))
    told = tokens.pipe(ops.map(lambda marker: (*marker[0].path, marker[1]["content"])))
    A, B = ("p", "A", "a"), ("p", "B", "b")
    marbles.expect(told).to_be("abab|", a=A, b=B)


def test_what_each_says_is_whole_and_in_the_order_in_which_they_began(marbles: Marbles) -> None:
    words = marbles.cold("(xy|)", x="x1 ", y="x2")
    late = agent(lambda heard: words, id="fn")
    first, second = Agent("A", marbles.llm("a--e|")), Agent("B", marbles.llm("b|"))
    marbles.expect(say("q").pipe(Parallel("p", [first, second, late]), said)).to_be(
        "----(v|)", v=["ae", "b", "x1 ", "x2"]
    )


def test_a_member_that_begins_later_comes_later(marbles: Marbles) -> None:
    slow = Agent("slow", marbles.llm("--a|"))
    lagging = talker("late").pipe(ops.delay(1.0))
    marbles.expect(say("q").pipe(Parallel("p", [lagging, slow]), said)).to_be("---(v|)", v=["a", "late"])


def test_the_variable_of_the_later_in_the_order_counts() -> None:
    def sets(id: str, value: int) -> Any:
        return agent(lambda heard: [StateUpdate("v", variables={"n": value}), id], id=id)

    workflow = Workflow(Parallel("p", [sets("a", 1), sets("b", 2)]))
    workflow.run("q")
    assert workflow.conversation.variables == {"n": 2}


# -- in the members' order


def test_in_the_members_order_all_run_and_the_second_is_shown_when_the_first_has_ended(
    marbles: Marbles,
) -> None:
    a, b = marbles.cold("a----e|"), marbles.cold("-b----------c|")
    members = [Agent("A", lambda request: a), Agent("B", lambda request: b)]
    marbles.expect(question(marbles).pipe(Parallel("p", members, order="member"))).to_be(
        """
            ---(p|)
        p   ---A-----B------|
        A   ---m1----|
        m1  ---a----e|
        B   ---------m2-----|
        m2  ---------b-----c|
        """
    )
    marbles.expect_subscriptions(b).to_be("---^------------!")


def test_in_the_members_order_the_third_waits_though_it_is_done_first(marbles: Marbles) -> None:
    members = [Agent(id, marbles.llm(lane)) for id, lane in (("a", "---a|"), ("b", "--b|"), ("c", "c|"))]
    shown = say("q").pipe(Parallel("p", members, order="member"), text("/"))
    marbles.expect(shown, words=False).to_be("---a(/b/c|)")


def test_what_is_not_shown_when_the_team_is_cut_is_paid_for_all_the_same(marbles: Marbles) -> None:
    slow = Agent("slow", marbles.llm("----a|"))
    costly = Agent("costly", ScriptedLLM([Reply("b", usage=Usage(total_tokens=7))]))
    workflow = Workflow(Parallel("p", [slow, costly], order="member").pipe(until(marbles.hot("--s"))))
    marbles.expect(workflow.observe("q").pipe(only("end", "result"))).to_be(
        "--(epr|)", e=("end", "slow"), p=("end", "p"), r=("result", "interrupted")
    )
    marbles.flush()
    assert [message.text for message in workflow.conversation] == ["q"]
    assert workflow.conversation.transcript.usage.total_tokens == 7


# -- how many at once


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_no_more_run_at_once_than_may(marbles: Marbles, order: Any) -> None:
    lanes = {"a": "--a|", "b": "b|", "c": "-c|", "d": "d|"}
    sources = {id: marbles.cold(lane) for id, lane in lanes.items()}
    members = [Agent(id, lambda request, id=id: sources[id]) for id in lanes]
    team = Parallel("p", members, order=order, max_concurrent=2)
    marbles.expect(say("q").pipe(team, said)).to_be("----(v|)", v=["a", "b", "c", "d"])
    for id, when in (("a", "^--!"), ("b", "^!"), ("c", "-^-!"), ("d", "---^!")):
        marbles.expect_subscriptions(sources[id]).to_be(when)


@pytest.mark.parametrize("order", ["arrival", "member"])
@pytest.mark.parametrize("places", [None, 1, 7])
def test_fifty_members(marbles: Marbles, order: Any, places: int | None) -> None:
    team = Parallel("p", [talker(f"m{n}") for n in range(50)], order=order, max_concurrent=places)
    marbles.expect(say("q").pipe(team, said)).to_be("(v|)", v=[*(f"m{n}" for n in range(50))])


# -- failures


def test_the_first_failure_cuts_the_others_and_fails_the_team(marbles: Marbles) -> None:
    long = marbles.cold("a--b--c|")
    members = [Agent("long", lambda request: long), Agent("bad", marbles.llm("-x-#"))]
    workflow = Workflow(Parallel("p", members, max_concurrent=2))
    marbles.expect_markers(workflow.observe("q"), only=("interrupted", "error", "end", "result")).to_be(
        [
            *((3, "error", ANY), (3, "end", "bad"), (3, "interrupted", "ab"), (3, "end", "long")),
            *((3, "end", "p"), (3, "result", "agent-error")),
        ]
    )
    marbles.expect_subscriptions(long).to_be("^--!")
    marbles.flush()
    assert [message.text for message in workflow.conversation] == ["q", "ab", "x"]


def test_who_waits_does_not_begin_after_a_failure(marbles: Marbles) -> None:
    begun: list[str] = []
    note = agent(lambda heard: begun.append("x"), id="note")
    marbles.expect(say("q").pipe(Parallel("p", [breaker(), note], max_concurrent=1), text())).to_be(
        "#", error=ValueError("no broken")
    )
    marbles.flush()
    assert not begun


def test_in_the_members_order_a_failure_is_shown_at_once_in_place_of_what_waits(marbles: Marbles) -> None:
    first, third = marbles.cold("a----b|"), marbles.cold("c----d|")
    members = [Agent("A", lambda request: first), Agent("B", marbles.llm("x-#")), Agent("C", lambda _: third)]
    workflow = Workflow(Parallel("p", members, order="member"))
    shown = workflow.observe("q").pipe(only("start", "interrupted", "error", "end"))
    told = shown.pipe(ops.map(lambda marker: f"{marker[0]} {'/'.join(marker[0].path)}"))
    wanted = ["interrupted p/A", "end p/A", "start p/B", "error p/B", "end p/B", "end p"]
    marbles.expect(told.pipe(ops.skip(2), ops.to_list())).to_be("--(v|)", v=wanted)
    for source in (first, third):
        marbles.expect_subscriptions(source).to_be("^-!")


def test_an_error_says_where_it_was(marbles: Marbles) -> None:
    told = say("q").pipe(Parallel("p", [talker("a"), breaker()], order="member"), markers(), only("error"))
    marbles.expect(told.pipe(ops.map(lambda marker: marker[1]["where"]))).to_be("(v|)", v="p > broken")


def test_an_operator_that_fails_outside_a_block_fails_the_team(marbles: Marbles) -> None:
    fails = marbles.cold("--#", error=ValueError("outside"))
    bad = talker("bad").pipe(lambda source: fails)
    long = marbles.cold("a--b|")
    team = Parallel("p", [Agent("A", lambda request: long), bad])
    marbles.expect(say("q").pipe(team, text())).to_be("a-#", error=ValueError("outside"))
    marbles.expect_subscriptions(long).to_be("^-!")


def test_an_operator_that_raises_when_it_is_called_fails_the_team(marbles: Marbles) -> None:
    class Raises:
        id = "raises"

        def __call__(self, source: Any) -> Any:
            raise ValueError("at once")

    marbles.expect(say("q").pipe(Parallel("p", [Raises()]), text())).to_be("#", error=ValueError("at once"))  # type: ignore[list-item]


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_errors_are_kept_in_words_and_the_others_go_on(marbles: Marbles, order: Any) -> None:
    members = [Agent("bad", marbles.llm("x-#", error=ValueError("no")))]
    members.append(Agent("good", marbles.llm("a---b|")))
    team = Parallel("p", members, order=order, on_error="keep")
    marbles.expect(say("q").pipe(team, said)).to_be("-----(v|)", v=["x", "Error: no", "ab"])


def test_the_next_hears_that_one_has_failed(marbles: Marbles) -> None:
    heard: list[Any] = []
    reader = agent(lambda transcript: heard.append([(m.name, m.text) for m in transcript]), id="reader")
    team = Parallel("p", [breaker(), talker("ok")], on_error="keep")
    marbles.expect(say("q").pipe(Sequence("s", [team, reader]), ended)).to_be("(done|)")
    marbles.flush()
    assert heard == [[(None, "q"), ("broken", "Error: no broken"), ("ok", "ok")]]


def test_when_all_have_failed_the_team_fails_with_the_first_error(marbles: Marbles) -> None:
    second = Agent("second", marbles.llm("#", error=ValueError("mine")))
    first = Agent("first", marbles.llm("-#", error=KeyError("late")))
    errors: list[Exception] = []
    shown = say("q").pipe(Parallel("p", [first, second], on_error="keep"), text("/"))
    marbles.expect(shown.pipe(ops.do_action(on_error=errors.append))).to_be(
        "-(epf#)", e="Error: mine", p="/", f="Error: 'late'", error=ValueError("mine")
    )
    marbles.flush()
    assert (
        errors[0].__notes__[0] == "parallel p: second failed, and so did all others: first: KeyError: 'late'"
    )


def test_one_that_fails_alone_is_told_as_it_is_and_no_key_is() -> None:
    def failing(*members: Agent) -> list[str]:
        with pytest.raises(ValueError, match="no broken") as failed:
            say("q").pipe(Parallel("p", members, on_error="keep"), text(), ops.to_list()).run()
        return failed.value.__notes__

    key = "sk-" + "a1b2c3d4" * 5
    leaking = Agent("leaking", lambda request: rx.throw(ValueError(f"not with {key}")))
    assert not any("so did all others" in note for note in failing(breaker()))
    told = " ".join(failing(breaker(), leaking))
    assert "leaking: ValueError: not with" in told
    assert key not in told


def test_one_that_raises_when_it_is_called_says_so_too(marbles: Marbles) -> None:
    raises = talker("raises").pipe(lambda source: 1 / 0)  # type: ignore[arg-type, return-value]
    team = Parallel("p", [raises, talker("a")], on_error="keep")
    marbles.expect(say("q").pipe(team, said)).to_be("(v|)", v=["Error: division by zero", "a"])


# -- stops


def test_a_stop_of_the_run_is_not_forgotten_for_one_of_a_team(marbles: Marbles) -> None:
    def stops(scope: Any) -> Any:
        stop = marbles.cold("--(s|)", s=StateUpdate("stop", stop="enough", scope=scope))
        return as_agent(scope, lambda source: stop)

    team = Sequence("s", [Parallel("p", [stops("run"), stops("team")]), talker("next")])
    marbles.expect(say("q").pipe(team, speakers, ops.to_list())).to_be("--(v|)", v=[])


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_a_stop_lets_those_who_speak_end_and_begins_nobody_else(marbles: Marbles, order: Any) -> None:
    long = Agent("long", marbles.llm("--a|"))
    team = Parallel("p", [long, STOPPER, talker("never")], order=order, max_concurrent=2)
    shown = say("q").pipe(Sequence("s", [team, talker("next")]), text("/"))
    marbles.expect(shown, words=False).to_be("--a(/n|)", n="next")
    marbles.expect(say("q").pipe(Parallel("p", [STOPPER, talker("a")]), ended)).to_be("(v|)", v="agent-stop")


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_a_stop_of_the_run_cuts_the_others_and_goes_on(marbles: Marbles, order: Any) -> None:
    long = marbles.cold("a--b|")
    quits = Sequence("quits", [Agent("w", marbles.llm("-w|")), QUITTER])
    team = Parallel("p", [Agent("long", lambda request: long), quits], order=order)
    shown = say("q").pipe(Sequence("s", [team, talker("never")]), markers(), only("interrupted", "result"))
    marbles.expect(shown).to_be("--(ir|)", i=("interrupted", ANY), r=("result", "agent-stop"))
    marbles.expect_subscriptions(long).to_be("^-!")


@pytest.mark.parametrize(("scope", "after"), [("team", ["a", "next"]), ("run", ["a"])])
def test_a_stop_outside_a_block_counts_too(marbles: Marbles, scope: Any, after: list[str]) -> None:
    stop = StateUpdate("stop", stop="enough", scope=scope, variables={"n": 1})
    stops = talker("a").pipe(lambda source: rx.concat(source, rx.of(stop)))
    workflow = Workflow(Sequence("s", [Parallel("p", [stops]), talker("next")]))
    shown = workflow.observe("q").pipe(only("response"), ops.map(lambda marker: marker[1][0]["name"]))
    marbles.expect(shown.pipe(ops.to_list())).to_be("(v|)", v=after)
    marbles.flush()
    assert workflow.conversation.variables == {"n": 1}


# -- around it, and in it


def test_it_nests(marbles: Marbles) -> None:
    inner = Parallel("in", [talker("a"), Sequence("s", [talker("b"), talker("c")])])
    team = Loop("l", Parallel("out", [inner, talker("d")]), max_turns=2)
    marbles.expect(say("q").pipe(team, said)).to_be("(v|)", v=[*"abcd", *"abcd"])


def test_it_is_a_member_of_a_team_whose_model_hears_it(marbles: Marbles) -> None:
    router = ScriptedLLM(['{"agent_id": "p", "reason": ""}', '{"agent_id": "z", "reason": ""}'])
    team = Team(router, [Parallel("p", [talker("a"), talker("b")]), talker("z")], "t", max_turns=2)
    marbles.expect(say("q").pipe(team, said)).to_be("(v|)", v=["a", "b", "z"])


def test_members_with_operators_behind_them_and_other_ways_into_the_conversation(marbles: Marbles) -> None:
    hidden = Agent("hidden", lambda request: rx.of("h"), update_strategy="none")
    loud = talker("b").pipe(lambda source: source)
    marbles.expect(say("q").pipe(Parallel("p", [hidden, talker("a"), loud]), said)).to_be(
        "(v|)", v=["a", "b"]
    )


def test_a_user_may_be_a_member(marbles: Marbles) -> None:
    async def types(prompt: str) -> str:
        await asyncio.sleep(3)
        return "typed"

    user = User("u", interaction_function=types)
    marbles.expect(say("q").pipe(Parallel("p", [user, Agent("a", marbles.llm("-a|"))]), said)).to_be(
        "---(v|)", v=["typed", "a"]
    )


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_who_leaves_cancels_all(marbles: Marbles, order: Any) -> None:
    sources = [marbles.cold("a--b|"), marbles.cold("-a--b|")]
    members = [Agent(f"m{n}", lambda request, n=n: sources[n]) for n in range(2)]
    shown = say("q").pipe(Parallel("p", members, order=order), text(order="arrival"))
    marbles.expect(shown, unsubscribe_at=2.0, words=False).to_be("a" if order == "member" else "aa")
    for source in sources:
        marbles.expect_subscriptions(source).to_be("^-!")


def test_who_reads_a_message_may_read_on_when_the_team_is_left(marbles: Marbles) -> None:
    members = [Agent("a", marbles.llm("a-b|")), Agent("b", lambda request: rx.never())]
    first = say("q").pipe(Parallel("p", members), messages(), ops.take(1), ops.flat_map(lambda m: m))
    told = first.pipe(ops.map(lambda token: token["content"]))
    marbles.expect(told, words=False).to_be("a-b|")


def test_its_usage_is_that_of_all(marbles: Marbles) -> None:
    members = [Agent(id, ScriptedLLM([Reply(id, usage=Usage(total_tokens=3))])) for id in "ab"]
    workflow = Workflow(Sequence("s", [Parallel("p", members), talker("z")]))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert workflow.conversation.transcript.usage.total_tokens == 6


def test_the_model_of_a_team_around_it_reads_what_tools_its_members_have() -> None:
    def look() -> str:
        """Looks."""
        return "seen"

    router = ScriptedLLM(['{"agent_id": "p", "reason": ""}'])
    inner = Parallel("p", [Agent("a", ScriptedLLM(["x"]), tools=[look])], "Two at once.")
    team = Team(router, [inner, talker("z")], "t", include_tools_descriptions=True, max_turns=1)
    Workflow(team).run("q")
    asked = str(router.requests[0].messages)
    assert "Two at once." in asked


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"order": "random"}, "parallel p: order is 'arrival' or 'member', not 'random'"),
        ({"on_error": "ignore"}, "parallel p: on_error is 'fail' or 'keep', not 'ignore'"),
        ({"max_concurrent": 0}, "parallel p: max_concurrent is 0; it must be a number, 1 or more"),
        ({"members": []}, "parallel p has no members; give it at least one"),
    ],
)
def test_what_will_not_do_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Parallel("p", **{"members": [talker("a")], **options})
    assert str(refused.value) == told


# -- going on when a call was approved


def payer(id: str, *replies: Any) -> Agent:
    def pay() -> str:
        """Pays."""
        return "paid"

    return Agent(id, ScriptedLLM(replies), tools=[Tool(pay, approval=True)])


def asks(id: str) -> Agent:
    return payer(id, Reply(id, calls=[Call("pay", {}, f"call_{id}")]))


def gone_on(first: Parallel, then: Parallel, call_id: str = "call_bot") -> Workflow:
    """Runs until a call waits, and goes on with it elsewhere."""
    workflow = Workflow(first, on_waiting="stop")
    assert workflow.run("q") == "waiting"
    kept = Conversation.from_dict(workflow.conversation.to_dict())
    workflow = Workflow(then, kept, on_waiting="stop")
    workflow.approve(call_id)
    return workflow


def texts(workflow: Workflow) -> list[str]:
    return [message.text for message in workflow.conversation]


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, ["q", "a", "bot, paid.", "z"]),  # z had spoken
        ({"max_concurrent": 2}, ["q", "a", "bot, paid.", "z now"]),  # the run had stopped before z could
        ({"max_concurrent": 1}, ["q", "a", "bot, paid.", "z now"]),  # z had not begun
        ({"order": "member"}, ["q", "a", "bot, paid.", "z now"]),  # z was not shown
        ({"order": "member", "on_error": "keep"}, ["q", "a", "bot, paid.", "z now"]),
    ],
)
def test_gone_on_with_it_asks_those_who_waited_and_those_of_whom_nothing_was_shown(
    options: dict[str, Any], after: list[str]
) -> None:
    first = Parallel("p", [talker("a"), asks("bot"), talker("z")], **options)
    then = Parallel("p", [talker("a", "again"), payer("bot", ", paid."), talker("z", "z now")], **options)
    workflow = gone_on(first, then)
    assert workflow.run() == "done"
    assert sorted(texts(workflow)) == sorted(after)


@virtual
async def test_gone_on_with_it_does_not_ask_those_again_who_spoke_while_one_waited() -> None:
    async def slow(heard: Any) -> str:
        await asyncio.sleep(3)
        return "slow"

    def team(bot: Agent) -> Parallel:
        return Parallel("p", [bot, agent(slow, id="slow"), talker("z")], max_concurrent=2)

    workflow = Workflow(team(asks("bot")), on_waiting="stop")
    assert await workflow.arun("q") == "waiting"
    assert texts(workflow) == ["q", "bot", "slow"]
    workflow = Workflow(team(payer("bot", ".")), workflow.conversation)
    workflow.approve("call_bot")
    assert await workflow.arun() == "done"
    assert sorted(texts(workflow)) == ["bot.", "q", "slow", "z"]


def test_gone_on_with_it_does_not_ask_those_again_who_had_nothing_to_say() -> None:
    asked: list[str] = []
    silent = agent(lambda heard: asked.append("silent"), id="silent")
    gone_on(Parallel("p", [asks("bot"), silent]), Parallel("p", [payer("bot", "."), silent])).run()
    assert asked == ["silent"]


def test_in_the_members_order_a_second_one_that_waits_does_so_when_it_is_shown() -> None:
    first = Parallel("p", [asks("bot"), asks("too")], order="member")
    workflow = gone_on(first, Parallel("p", [payer("bot", "."), asks("too")], order="member"))
    assert workflow.run() == "waiting"
    assert [call.call_id for call in workflow.waiting] == ["call_too"]
    assert texts(workflow) == ["q", "bot.", "too"]


@pytest.mark.parametrize("on_error", ["fail", "keep"])
@virtual
async def test_one_that_waits_unseen_stops_the_run_when_it_is_shown(on_error: Any) -> None:
    async def slow(heard: Any) -> str:
        await asyncio.sleep(3)
        return "a"

    team = Parallel("p", [agent(slow, id="a"), asks("bot")], order="member", on_error=on_error)
    workflow = Workflow(team, on_waiting="stop")
    assert await workflow.arun("q") == "waiting"
    assert asyncio.get_running_loop().time() == 3
    assert texts(workflow) == ["q", "a", "bot"]


def test_those_who_failed_when_it_went_on_were_not_all() -> None:
    first = Parallel("p", [talker("a"), asks("bot")], on_error="keep")
    workflow = gone_on(first, Parallel("p", [talker("a"), payer("bot")], on_error="keep"))
    assert workflow.run() == "done"
    assert "Error: " in texts(workflow)[-1]


# -- the laws


LAWS = ["contract", "release", "replay", "balance", "folding", "wrapping", "loss"]


@pytest.mark.parametrize("options", [{}, {"order": "member", "max_concurrent": 2}, {"on_error": "keep"}])
def test_it_keeps_the_laws(options: dict[str, Any]) -> None:
    echo = agent(lambda heard: [f"heard {len(heard)}", "and more"], id="echo")
    passing = as_agent("passing", lambda source: source.pipe(messages()))
    check_laws(lambda: Parallel("p", [echo, passing, talker("t")], **options), laws=LAWS, max_examples=5)


def test_in_the_members_order_it_keeps_that_whatever_the_timing() -> None:
    echo = agent(lambda heard: [f"heard {len(heard)}", "and more"], id="echo")
    check_laws(lambda: Parallel("p", [echo, talker("t")], order="member"), laws=["timing"], max_examples=15)


# -- over HTTP


@pytest.mark.parametrize("order", ["arrival", "member"])
def test_a_failure_closes_the_responses_of_the_others(order: Any) -> None:
    with OpenAIServer(lambda body: Paused(2, "one two three four")) as server:
        model = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")

        @agent
        async def bad(heard: Any) -> None:
            assert await asyncio.to_thread(server.wait_for_requests, 2, WAIT)
            raise ValueError("bad")

        workflow = Workflow(Parallel("p", [Agent("a", model), Agent("b", model), bad], order=order))
        assert list(workflow.run_stream("q"))[-1] == ("result", "agent-error")
        assert all(request.wait_closed(WAIT) for request in server.requests)
        assert [request.completed for request in server.requests] == [False, False]
