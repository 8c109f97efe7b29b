"""Race: all are asked, the first to reach the line is heard, the others are cut and paid for."""

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
    Block,
    ConfigurationError,
    Conversation,
    Loop,
    Message,
    MessageStream,
    OpenAILLM,
    Parallel,
    Race,
    RaceError,
    ScriptedLLM,
    Sequence,
    StateUpdate,
    Tool,
    Usage,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm import Call, Reply
from rxagents.operators import markers, messages, text, until
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws
from tests.team_views import QUITTER, STOPPER, ended, only, speakers

WAIT = 10


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def question(marbles: Marbles) -> Observable[Any]:
    return marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))


def runners(marbles: Marbles, **lanes: str) -> tuple[list[Agent], dict[str, Any]]:
    sources = {id: marbles.cold(lane, error=ValueError(f"no {id}")) for id, lane in lanes.items()}
    return [Agent(id, lambda request, id=id: sources[id]) for id in lanes], sources


# -- the first token


def test_the_first_token_wins_and_the_others_are_cut(marbles: Marbles) -> None:
    members, sources = runners(marbles, A="----a|", B="--b-c|", C="---d-e|")
    marbles.expect(question(marbles).pipe(Race("r", members))).to_be(
        """
            ---(r|)
        r   -----B--|
        B   -----m1-|
        m1  -----b-c|
        """
    )
    for id, when in (("A", "---^-!"), ("B", "---^----!"), ("C", "---^-!")):
        marbles.expect_subscriptions(sources[id]).to_be(when)


def test_nothing_of_a_loser_is_shown_or_said(marbles: Marbles) -> None:
    members, _ = runners(marbles, A="-a-a|", B="--b|")
    workflow = Workflow(Sequence("s", [Race("r", members), talker("next")]))
    shown = workflow.observe("q").pipe(only("start"), ops.map(lambda marker: marker[1]), ops.to_list())
    marbles.expect(shown).to_be("----(v|)", v=["s", "r", "A", "next"])
    marbles.flush()
    assert [(message.name, message.text) for message in workflow.conversation][1:] == [
        ("A", "aa"),
        ("next", "next"),
    ]


def test_to_think_is_not_to_speak_and_to_call_a_tool_is(marbles: Marbles) -> None:
    thinks = rx.from_iterable([{"reasoning_content": "hm"}, {"reasoning_content": "so"}])
    thinker = Agent("thinker", lambda request: rx.concat(thinks, rx.never()))
    caller = Agent("caller", ScriptedLLM([Reply(calls=[Call("look")]), "found"]), tools=[look])
    marbles.expect(say("q").pipe(Race("r", [thinker, caller]), speakers)).to_be("(v|)", v="caller")


def look() -> str:
    """Looks."""
    return "seen"


def test_one_that_never_waits_has_won_before_the_next_begins(marbles: Marbles) -> None:
    begun: list[str] = []

    def begins(source: Any) -> Any:
        begun.append("second")
        return rx.never()

    first = as_agent("first", lambda source: just(MessageStream(just("x"), name="first")))
    marbles.expect(say("q").pipe(Race("r", [first, as_agent("second", begins)]), text())).to_be("(x|)")
    marbles.flush()
    assert not begun


def test_the_winner_is_shown_from_its_beginning(marbles: Marbles) -> None:
    words = marbles.cold("-a-b|")
    tells = agent(lambda heard: [StateUpdate("v", variables={"n": 1}), words], id="tells")
    members, _ = runners(marbles, slow="---a|")
    workflow = Workflow(Race("r", [*members, tells]))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("----(r|)", r=("result", "done"))
    marbles.flush()
    assert workflow.conversation.variables == {"n": 1}


def test_one_alone_is_shown_as_it_comes(marbles: Marbles) -> None:
    members, _ = runners(marbles, A="-a-a|")
    marbles.expect(say("q").pipe(Race("r", members), text("")), words=False).to_be("-a-a|")


@pytest.mark.parametrize("said", [{"refusal": "No."}, {"content_parts": [{"type": "text", "text": "x"}]}])
def test_to_refuse_or_to_show_something_is_to_speak(marbles: Marbles, said: Any) -> None:
    waits = rx.timer(3.0).pipe(ops.ignore_elements())
    speaks = Agent("speaks", lambda request: rx.concat(rx.of({"content": None, **said}), waits))
    members, _ = runners(marbles, A="--a|")
    marbles.expect(say("q").pipe(Race("r", [*members, speaks]), speakers)).to_be("---(v|)", v="speaks")


def test_who_speaks_aside_speaks(marbles: Marbles) -> None:
    block = Block("in", just(MessageStream(just("x"), name="in")), entry="aside")
    aside = as_agent(
        "aside", lambda source: rx.concat(just(block), rx.timer(3.0).pipe(ops.ignore_elements()))
    )
    members, _ = runners(marbles, A="--a|")
    marbles.expect(say("q").pipe(Race("r", [*members, aside]), speakers)).to_be("v--|", v="in")


# -- the first response


def test_the_first_answer_that_is_whole_wins(marbles: Marbles) -> None:
    members, sources = runners(marbles, A="a------e|", B="---b-c|")
    marbles.expect(question(marbles).pipe(Race("r", members, winner="first_response"))).to_be(
        """
            ---(r|)
        r   ---------(B|)
        B   ---------(m1|)
        m1  ---------(b c|)
        """
    )
    marbles.expect_subscriptions(sources["A"]).to_be("---^-----!")


def test_an_answer_that_is_empty_or_was_cut_does_not_win_by_itself(marbles: Marbles) -> None:
    members, _ = runners(marbles, empty="-|", cut="a--a--a|", whole="----b|")
    empty, cut, whole = members
    team = [empty, cut.pipe(until(marbles.hot("--s"))), whole]
    marbles.expect(say("q").pipe(Race("r", team, "first_response"), speakers)).to_be("-----(v|)", v="whole")
    told = "race r: nobody has won: empty: gave no answer; cut: was cut"
    marbles.expect(say("q").pipe(Race("r", team[:2], "first_response"), text())).to_be(
        "--#", error=RaceError(told)
    )
    judged: list[Any] = []
    judge = Race("r", team[:2], lambda answer: judged.append((answer.text, answer.finish_reason)))
    marbles.expect(say("q").pipe(judge, text())).to_be("--#", error=RaceError)
    marbles.flush()
    assert judged == [("", None), ("a", "interrupted")]


def test_a_refusal_is_an_answer() -> None:
    def refuses(request: Any) -> Any:
        return rx.of({"content": None, "refusal": "No."})

    workflow = Workflow(Race("r", [Agent("a", refuses)], "first_response"))
    assert workflow.run("q") == "done"
    assert workflow.conversation[-1].refusal == "No."


def test_the_answer_of_a_team_is_its_last(marbles: Marbles) -> None:
    judged: list[str] = []

    def is_b(answer: Message) -> bool:
        judged.append(answer.text)
        return answer.text == "b"

    both = Sequence("both", [talker("a"), talker("b")])
    marbles.expect(say("q").pipe(Race("r", [talker("c"), both], is_b), speakers)).to_be("(a b|)")
    marbles.flush()
    assert judged == ["c", "b"]


def test_a_user_may_be_in_a_race(marbles: Marbles) -> None:
    async def types(prompt: str) -> str:
        await asyncio.sleep(2)
        return "typed"

    members, _ = runners(marbles, A="------a|")
    user = User("u", interaction_function=types)
    for winner in ("first_token", "first_response"):
        shown = say("q").pipe(Race("r", [*members, user], winner), messages(inputs=True))
        marbles.expect(shown.pipe(ops.flat_map(lambda message: message.message))).to_be(
            "--(m|)", m=Message(role="user", name="u", content="typed")
        )


# -- a function of the answer


@pytest.mark.parametrize("is_async", [False, True])
def test_the_first_answer_that_will_do_wins(marbles: Marbles, is_async: bool) -> None:
    async def later(answer: Message) -> bool:
        await asyncio.sleep(1)
        return "yes" in answer.text

    judge: Any = later if is_async else lambda answer: "yes" in answer.text
    members, sources = runners(marbles, A="-no|", B="--yes|", C="-----yes--|")
    seconds = 6 if is_async else 5
    marbles.expect(say("q").pipe(Race("r", members, judge), speakers)).to_be("-" * seconds + "(B|)")
    marbles.expect_subscriptions(sources["C"]).to_be("^" + "-" * (seconds - 1) + "!")


def test_when_no_answer_will_do_the_team_fails_and_says_why(marbles: Marbles) -> None:
    members, _ = runners(marbles, A="-a|", B="b#", C="c|")
    silent = agent(lambda heard: None, id="silent")
    told = (
        "race r: nobody has won: silent: gave no answer; B: ValueError: no B; C: its answer will not do; "
        "A: its answer will not do"
    )
    error: list[Exception] = []
    shown = say("q").pipe(Race("r", [*members, silent], lambda answer: False), text())
    marbles.expect(shown.pipe(ops.do_action(on_error=error.append))).to_be("--#", error=RaceError(told))
    marbles.flush()
    assert str(error[0].__cause__) == "no B"


def test_when_nobody_says_anything_nobody_has_won(marbles: Marbles) -> None:
    silent = agent(lambda heard: None, id="silent")
    marbles.expect(say("q").pipe(Race("r", [silent]), text())).to_be(
        "#", error=RaceError("race r: nobody has won: silent: said nothing")
    )


def test_a_function_that_raises_fails_the_team_and_cuts(marbles: Marbles) -> None:
    def judge(answer: Message) -> bool:
        raise KeyError("score")

    members, sources = runners(marbles, A="-a|", B="--b-c|")
    shown = say("q").pipe(Race("r", members, judge), markers(), only("error"))
    marbles.expect(shown.pipe(ops.map(lambda marker: marker[1]["where"]))).to_be("--(v|)", v="r > winner")
    marbles.expect_subscriptions(sources["B"]).to_be("^-!")


# -- failures


@pytest.mark.parametrize("winner", ["first_token", "first_response"])
def test_who_fails_is_out_and_the_others_go_on(marbles: Marbles, winner: Any) -> None:
    members, _ = runners(marbles, A="-#", B="---b|")
    workflow = Workflow(Race("r", members, winner))
    marbles.expect(workflow.observe("q").pipe(only("response", "error", "result"))).to_be(
        "----(er|)", e=("response", ANY), r=("result", "done")
    )
    marbles.flush()
    assert workflow.conversation.log == (
        ("error", "race/failed", "r", "A", "ValueError: no A"),
        ("info", "race/won", "r", "B"),
    )


@pytest.mark.parametrize("winner", ["first_token", "first_response", bool])
def test_when_all_fail_it_fails_with_the_first_error(marbles: Marbles, winner: Any) -> None:
    members, _ = runners(marbles, A="--#", B="-#", C="---#")
    errors: list[Exception] = []
    shown = say("q").pipe(Race("r", members, winner), text())
    marbles.expect(shown.pipe(ops.do_action(on_error=errors.append))).to_be("---#", error=ValueError("no B"))
    marbles.flush()
    assert (
        "race r: B failed, and so did all others: A: ValueError: no A; C: ValueError: no C"
        in errors[0].__notes__
    )


def test_one_that_raises_when_it_is_called_is_out(marbles: Marbles) -> None:
    raises = talker("raises").pipe(lambda source: 1 / 0)  # type: ignore[arg-type, return-value]
    marbles.expect(say("q").pipe(Race("r", [raises, talker("a")]), text())).to_be("(a|)")


def test_a_winner_that_fails_fails_the_team(marbles: Marbles) -> None:
    members, sources = runners(marbles, A="a-#", B="-b-c|")
    marbles.expect(say("q").pipe(Race("r", members), text()), words=False).to_be(
        "a-#", error=ValueError("no A")
    )
    marbles.expect_subscriptions(sources["B"]).to_be("(^!)")


def test_a_winner_that_fails_outside_a_block_fails_the_team(marbles: Marbles) -> None:
    fails = marbles.cold("m-#", m=MessageStream(just("x"), name="m"), error=ValueError("outside"))
    bad = talker("bad").pipe(lambda source: fails)
    members, _ = runners(marbles, A="---a|")
    marbles.expect(say("q").pipe(Race("r", [bad, *members]), text())).to_be(
        "x-#", error=ValueError("outside")
    )


# -- what it costs


def test_a_loser_that_hands_on_what_it_heard_costs_nothing(marbles: Marbles) -> None:
    first = Agent("first", ScriptedLLM([Reply("x", usage=Usage(total_tokens=3))]))
    passing = as_agent("passing", lambda source: source)
    workflow = Workflow(Sequence("s", [first, Race("r", [passing, talker("a")], "first_response")]))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert workflow.conversation.transcript.usage.total_tokens == 3


def test_what_the_losers_took_counts(marbles: Marbles) -> None:
    def paid(id: str, tokens: int, said: str) -> Agent:
        return Agent(id, ScriptedLLM([Reply(said, usage=Usage(total_tokens=tokens))]))

    members = [paid("a", 3, "no"), paid("b", 5, "yes"), paid("c", 7, "no")]
    workflow = Workflow(Sequence("s", [Race("r", members, lambda answer: answer.text == "yes"), talker("z")]))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert [message.text for message in workflow.conversation] == ["q", "yes", "z"]
    assert workflow.conversation.transcript.usage.total_tokens == 15


@pytest.mark.parametrize("cut", [False, True])
def test_what_all_took_counts_also_where_nobody_wins(marbles: Marbles, cut: bool) -> None:
    members, _ = runners(marbles, slow="----a|")
    quick = Agent("quick", ScriptedLLM([Reply("no", usage=Usage(total_tokens=3))]))
    race = Race("r", [quick, *members], lambda answer: False)
    workflow = Workflow(race.pipe(until(marbles.hot("--s"))) if cut else race)
    code = "interrupted" if cut else "agent-error"
    lane = "--(r|)" if cut else "-----(r|)"
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be(lane, r=("result", code))
    marbles.flush()
    assert [message.text for message in workflow.conversation] == ["q"]
    assert workflow.conversation.transcript.usage.total_tokens == 3


# -- stops


@pytest.mark.parametrize(("stopper", "after"), [(STOPPER, ["a", "next"]), (QUITTER, ["a"])])
def test_a_stop_of_the_winner_counts_and_that_of_a_loser_does_not(
    marbles: Marbles, stopper: Any, after: list[str]
) -> None:
    stops = Sequence("stops", [talker("a"), stopper])
    won = Sequence("s", [Race("r", [stops]), talker("next")])
    marbles.expect(say("q").pipe(won, speakers, ops.to_list())).to_be("(v|)", v=after)
    lost = Sequence("s", [Race("r", [stopper, talker("b")]), talker("next")])
    marbles.expect(say("q").pipe(lost, speakers)).to_be("(b next|)")
    marbles.expect(say("q").pipe(Race("r", [Sequence("x", [talker("a"), QUITTER])]), ended)).to_be(
        "(v|)", v="agent-stop"
    )


# -- around it, and in it


def test_it_nests(marbles: Marbles) -> None:
    members, _ = runners(marbles, A="---a|", B="--b|", C="----c|")
    inner = Race("in", [members[0], Parallel("both", members[1:])], "first_response")
    team = Loop("l", Race("out", [inner, talker("z")], "first_response"), max_turns=2)
    marbles.expect(say("q").pipe(team, speakers)).to_be("(z z|)")
    marbles.expect(say("q").pipe(inner, speakers)).to_be("----(v|)", v="A")


@pytest.mark.parametrize("winner", ["first_token", "first_response"])
def test_who_leaves_cancels_all(marbles: Marbles, winner: Any) -> None:
    members, sources = runners(marbles, A="---a|", B="----b|")
    marbles.expect(say("q").pipe(Race("r", members, winner), text()), unsubscribe_at=2.0).to_be("")
    for source in sources.values():
        marbles.expect_subscriptions(source).to_be("^-!")


@pytest.mark.parametrize("winner", ["last", None, 3])
def test_a_winner_that_is_none_is_refused(winner: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Race("r", [talker("a")], winner)
    assert str(refused.value) == (
        f"race r: winner is {winner!r}; give 'first_token', 'first_response', or a function of the "
        "finished Message"
    )


def test_the_winner_may_wait_for_approval_and_goes_on_alone() -> None:
    def pay() -> str:
        """Pays."""
        return "paid"

    def race(*replies: Any) -> Race:
        bot = Agent("bot", ScriptedLLM(replies), tools=[Tool(pay, approval=True)])
        return Race("r", [bot, Agent("slow", lambda request: rx.never())])

    first = Workflow(race([Call("pay", {}, "c1")]), on_waiting="stop")
    assert first.run("q") == "waiting"
    workflow = Workflow(race("Done."), Conversation.from_dict(first.conversation.to_dict()))
    workflow.approve("c1")
    assert workflow.run() == "done"
    assert [message.text for message in workflow.conversation] == ["q", "Done."]


# -- the laws


@pytest.mark.parametrize("winner", ["first_token", "first_response", lambda answer: len(answer.text) % 2])
def test_it_keeps_the_laws(winner: Any) -> None:
    echo = agent(lambda heard: [f"heard {len(heard)}", "and more"], id="echo")
    passing = as_agent("passing", lambda source: source.pipe(messages()))
    laws = ["contract", "release", "replay", "balance", "folding", "wrapping"]
    check_laws(lambda: Race("r", [passing, echo, talker("t")], winner), laws=laws, max_examples=5)


# -- over HTTP


@pytest.mark.parametrize("winner", ["first_token", "first_response"])
def test_the_responses_of_the_losers_are_closed_before_their_next_token(winner: Any) -> None:
    def answers(body: dict[str, Any]) -> Any:
        slow = Paused(0 if winner == "first_token" else 2, "one two three four")
        return "Quick." if body["model"] == "quick" else slow

    with OpenAIServer(answers) as server:
        models = [
            OpenAILLM(name, base_url=server.base_url, api_key="any") for name in ("slow", "quick", "slower")
        ]
        race = Race("r", [Agent(model.model, model) for model in models], winner)
        seen = list(Workflow(race).run_stream("q"))
        assert [content[0]["content"] for mark, content in seen if mark == "response"] == ["Quick."]
        assert {mark.path for mark, _ in seen if mark == "delta"} == {("r", "quick")}
        losers = [request for request in server.requests if request.body["model"] != "quick"]
        assert all(request.wait_closed(WAIT) for request in losers)
        assert not any(request.completed for request in losers)
        assert all(request.events_sent <= 3 for request in losers)
