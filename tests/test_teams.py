"""Team: who speaks next, how it ends, how it nests, what it counts, and what it refuses."""

from __future__ import annotations

import asyncio
import json
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
    LLMConstraints,
    MessageStream,
    RoutingError,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Team,
    Transcript,
    Usage,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.engine.emitters import just
from rxagents.llm.replies import Reply
from rxagents.llm.requests import ChatRequest
from rxagents.operators import markers, messages, text, transcript, until
from rxagents.testing import Marbles
from rxagents.testing.marbles.drawn_models import MarbleLLM
from tests.team_views import RESPONSE, STOPPER, only, speakers


def result(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(markers(), ops.last())


def chosen(agent_id: str, reason: str = "why") -> str:
    return json.dumps({"agent_id": agent_id, "reason": reason})


def router(marbles: Marbles, *ids: str) -> MarbleLLM:
    return marbles.llm(*(f"({id}|)" for id in ids), **{id: chosen(id) for id in ids})


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def team(llm: Any, *members: Any, id: str = "team", **options: Any) -> Team:
    return Team(llm, members or [talker("a"), talker("b")], id, **options)


# -- turns


def test_members_take_turns_in_one_block_as_the_diagram_draws_it(marbles: Marbles) -> None:
    source = marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))
    said_a = marbles.cold("   a--|")
    said_b = marbles.cold("      b-|")
    a = as_agent("A", lambda source: just(MessageStream(said_a)))
    b = as_agent("B", lambda source: just(MessageStream(said_b)))
    drawn, marked = (team(router(marbles, "A", "B"), a, b, max_turns=2) for _ in range(2))
    marbles.expect(source.pipe(drawn)).to_be(
        """
              ---(team|)
        team  ---A--B-|
        A     ---m1-|
        m1    ---a--|
        B     ------m2|
        m2    ------b-|
        """
    )
    ended = marbles.probe()
    shown = source.pipe(marked, markers(), only("start", "end", "result"), ended)
    marbles.expect_markers(shown).to_be(
        [
            *((3, "start", "team"), (3, "start", "A"), (6, "end", "A"), (6, "start", "B"), (8, "end", "B")),
            *((8, "end", "team"), (8, "result", "max-turns")),
        ]
    )
    marbles.flush()
    assert ended.completions == 1


def test_a_member_hears_the_conversation_so_far(marbles: Marbles) -> None:
    llm = marbles.llm("(one|)", "(two|)")
    a, b = Agent("a", llm), Agent("b", llm)
    both = team(router(marbles, "a", "b"), a, b, max_turns=2)
    marbles.expect(say(SystemMessage("s"), "q").pipe(both, text("/"))).to_be("(one / two|)")
    marbles.flush()
    assert [message["content"] for message in llm.requests[1].messages] == ["s", "q", "one"]
    assert llm.requests[1].messages[2] == {"role": "assistant", "content": "one", "name": "a"}


def test_the_model_chooses_who_is_next_with_structured_output(marbles: Marbles) -> None:
    llm = router(marbles, "b", "a", "b")
    marbles.expect(say("q").pipe(team(llm, max_turns=3), speakers)).to_be("(b a b|)")
    marbles.flush()
    schema = llm.requests[0].response_format["json_schema"]["schema"]  # type: ignore[index]
    assert schema["properties"]["agent_id"]["enum"] == ["a", "b"]
    assert [request.agent for request in llm.requests] == ["team"] * 3
    assert "user: q\nb: b\na: a" in llm.requests[2].messages[0]["content"]


@pytest.mark.parametrize("how", ["option", "constraint"])
def test_without_structured_output_the_model_answers_in_words(marbles: Marbles, how: str) -> None:
    options = {"use_structured_output": False} if how == "option" else {}
    constraints = LLMConstraints(structured_output=how == "option")
    llm = marbles.llm("('Let b speak.'|)", "(a|)", constraints=constraints)
    marbles.expect(say("q").pipe(team(llm, max_turns=2, **options), speakers)).to_be("(b a|)")
    marbles.flush()
    assert llm.requests[0].response_format is None


def test_a_model_that_answers_in_words_all_the_same_is_understood(marbles: Marbles) -> None:
    llm = marbles.llm("(b|)")
    marbles.expect(say("q").pipe(team(llm, max_turns=1), speakers)).to_be("(b|)")


def test_where_there_is_only_one_to_choose_the_model_is_not_asked(marbles: Marbles) -> None:
    llm = marbles.llm()
    marbles.expect(say("q").pipe(team(llm, talker("a"), max_turns=3), speakers)).to_be("(a a a|)")
    marbles.expect_subscriptions(llm).to_be()


def test_a_wrong_choice_is_asked_again_with_the_error_told(marbles: Marbles) -> None:
    llm = marbles.llm("(bob|)", "(nobody|)", "(b|)", bob=chosen("bob"), b=chosen("b"))
    marbles.expect(say("q").pipe(team(llm, max_turns=1), speakers)).to_be("(b|)")
    marbles.flush()
    told = [message["content"] for message in llm.requests[2].messages if message["role"] == "user"][1:]
    assert told == [
        "'bob' is no member; the choice is between: a, b. Choose again.",
        "'nobody' is no member; the choice is between: a, b. Choose again.",
    ]


def test_after_three_wrong_choices_the_team_fails(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "-(bob|)", bob=chosen("bob"))
    failed = marbles.probe()
    marbles.expect(say("q").pipe(team(llm), text(), failed)).to_be("---#", error=RoutingError)
    marbles.expect_subscriptions(llm).to_be("                       ^!", "-^!", "--^!")
    marbles.flush()
    (error,) = failed.errors
    assert "'bob' is no member" in str(error)
    assert error.__notes__ == ["in team > router"]


def test_the_tries_are_counted_for_each_choice_anew(marbles: Marbles) -> None:
    llm = router(marbles, "bob", "bob", "a", "bob", "bob", "b")
    marbles.expect(say("q").pipe(team(llm, max_turns=2), speakers)).to_be("(a b|)")
    marbles.flush()
    assert [len(request.messages) for request in llm.requests] == [2, 4, 6, 2, 4, 6]


def test_the_prompt_may_be_replaced_and_holds_the_members_and_the_history(marbles: Marbles) -> None:
    llm = router(marbles, "a")
    prompted = team(llm, system_prompt="Who? {agents} / {history} / {x}", max_turns=1)
    marbles.expect(say('{"a": "{agents}"}').pipe(prompted, text())).to_be("(a|)")
    marbles.flush()
    assert llm.requests[0].messages[0]["content"] == (
        'Who? - agent_id: a\n- agent_id: b / user: {"a": "{agents}"} / {x}'
    )


def test_the_tools_of_the_members_are_shown_when_asked(marbles: Marbles) -> None:
    def look() -> None:
        """Looks."""

    members = [Agent("a", lambda request: rx.of("x"), "Knows", tools=[look]), talker("b")]
    hidden, shown = router(marbles, "a"), router(marbles, "a")
    for asked, llm in ((False, hidden), (True, shown)):
        knowing = team(llm, *members, include_tools_descriptions=asked, max_turns=1)
        marbles.expect(say("q").pipe(knowing, text())).to_be("(x|)")
    marbles.flush()
    assert "tool look: Looks." not in hidden.requests[0].messages[0]["content"]
    assert "tool look: Looks." in shown.requests[0].messages[0]["content"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_reading_strategy_chooses_what_the_model_sees(marbles: Marbles, is_async: bool) -> None:
    async def later(heard: Transcript) -> Any:
        await asyncio.sleep(1)
        return heard[-1:]

    llm = router(marbles, "a")
    strategy = later if is_async else lambda heard: heard[-1:]
    reading = team(llm, reading_strategy=strategy, max_turns=1)
    marbles.expect(say("first", "two").pipe(reading, text())).to_be("-(a|)" if is_async else "(a|)")
    marbles.flush()
    assert "user: first" not in llm.requests[0].messages[0]["content"]
    assert "user: two" in llm.requests[0].messages[0]["content"]


# -- transitions


def test_transitions_go_by_member_or_by_id_and_narrow_the_choice(marbles: Marbles) -> None:
    a, b, c = map(talker, "abc")
    llm = router(marbles, "a", "c")
    transitions = {a: ["b", c], "b": [a], c: ["b"]}
    three = team(llm, a, b, c, allowed_transitions=transitions, max_turns=4)
    marbles.expect(say("q").pipe(three, speakers)).to_be("(a c b a|)")
    marbles.flush()
    schemas = [request.response_format["json_schema"]["schema"] for request in llm.requests]  # type: ignore[index]
    assert [schema["properties"]["agent_id"]["enum"] for schema in schemas] == [["a", "b", "c"], ["b", "c"]]


def test_who_is_no_key_has_no_follower_and_the_team_is_done(marbles: Marbles) -> None:
    for transitions in ({"a": ["b"]}, {"a": ["b"], "b": []}):
        both, again = (team(router(marbles, "a"), allowed_transitions=transitions) for _ in range(2))
        marbles.expect(say("q").pipe(both, speakers)).to_be("(a b|)")
        marbles.expect(say("q").pipe(again, markers(), only("result"))).to_be("(r|)", r=("result", "done"))


def test_a_choice_that_is_not_allowed_is_told_so(marbles: Marbles) -> None:
    a, b, c = map(talker, "abc")
    llm = router(marbles, "a", "a", "c")
    three = team(llm, a, b, c, allowed_transitions={a: [b, c]})
    marbles.expect(say("q").pipe(three, speakers)).to_be("(a c|)")
    marbles.flush()
    assert "a may not speak now; the choice is between: b, c." in llm.requests[2].messages[-1]["content"]


def test_nothing_is_kept_between_two_runs(marbles: Marbles) -> None:
    llm = router(marbles, "a", "b", "b", "a")
    both = team(llm, allowed_transitions={"a": ["b", "a"], "b": ["a", "b"]}, max_turns=2)
    marbles.expect(say("q").pipe(both, speakers)).to_be("(a b|)")
    marbles.expect(say("q").pipe(both, speakers)).to_be("-(^b a|)")
    marbles.flush()
    assert "b: b" not in llm.requests[2].messages[0]["content"]


def test_two_runs_of_one_team_at_once_do_not_meet(marbles: Marbles) -> None:
    def choice(request: ChatRequest) -> str:
        system = request.messages[0]["content"]
        first, second = ("a", "b") if "user: one" in system else ("b", "a")
        return f"({second}|)" if f"{first}: " in system else f"({first}|)"

    a, b = (Agent(id, marbles.llm("-x|", "-x|")) for id in "ab")
    both = team(
        marbles.llm(choice), a, b, max_turns=2, allowed_transitions={"a": ["b", "a"], "b": ["a", "b"]}
    )
    marbles.expect(say("one").pipe(both, speakers)).to_be("--a-(b|)")
    marbles.expect(say("two").pipe(both, speakers)).to_be("--b-(a|)")


# -- the ends


def test_a_members_stop_ends_the_team(marbles: Marbles) -> None:
    stopped = team(router(marbles, "a", "stopper"), talker("a"), STOPPER)
    last = say("q").pipe(stopped, markers(state=True), ops.last())
    marbles.expect(last).to_be("(r|)", r=("result", "agent-stop"))


def test_the_unattended_user_ends_the_team(marbles: Marbles) -> None:
    left = team(router(marbles, "a", "user"), talker("a"), User(mode="unattended"))
    marbles.expect(say("q").pipe(left, markers(), only("start", "result"))).to_be(
        "(tar|)", t=("start", "team"), a=("start", "a"), r=("result", "agent-stop")
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_the_stop_callback_ends_the_team_after_a_turn(marbles: Marbles, is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        await asyncio.sleep(1)
        return len(heard) > 4

    callback = later if is_async else lambda heard: len(heard) > 4
    stopped = team(marbles.llm(), talker("a"), stop_callback=callback)
    heard = say(SystemMessage("s"), "q").pipe(stopped, markers(), only("response", "result"))
    marbles.expect(heard).to_be(
        "aaa(r|)" if is_async else "(aaar|)", a=RESPONSE, r=("result", "callback-stop")
    )


def test_the_stop_callback_gets_the_conversation(marbles: Marbles) -> None:
    seen: list[Any] = []

    def callback(heard: Transcript) -> bool:
        said = [message.text for message in heard]
        seen.append((len(heard), said, heard[0].text, heard[-1].name, len(heard.messages), heard[1:][0].role))
        assert heard.variables["n"] == 1
        assert heard.metrics["total_tokens"] == 3 + 7
        assert heard.log[-1] == ("info", "note")
        return True

    @agent
    def a(heard: Transcript) -> Any:
        return [
            StateUpdate("note", variables={"n": 1}, usage=Usage(total_tokens=3), log=(("info", "note"),)),
            "x",
        ]

    llm = ScriptedLLM([Reply(chosen("a"), usage=Usage(total_tokens=7))])
    stopped = say(SystemMessage("s"), "q").pipe(team(llm, a, talker("b"), stop_callback=callback))
    marbles.expect(stopped.pipe(result)).to_be("(r|)", r=("result", "callback-stop"))
    marbles.flush()
    assert seen == [(3, ["s", "q", "x"], "s", "a", 3, "user")]


def test_tool_messages_are_not_counted(marbles: Marbles) -> None:
    counted: list[int] = []

    def callback(heard: Transcript) -> bool:
        counted.append(len(heard))
        return True

    member = Agent("a", marbles.llm("(@look|)", "(ok|)"), tools=[marbles.tool("look", "(x|)")])
    counting = team(marbles.llm(), member, stop_callback=callback)
    marbles.expect(say("q").pipe(counting, text())).to_be("(ok|)")
    marbles.flush()
    assert counted == [2]


def test_it_ends_after_so_many_turns(marbles: Marbles) -> None:
    seven = say("q").pipe(team(marbles.llm(), talker("a"), max_turns=7))
    marbles.expect(seven.pipe(markers(), only("response", "result"))).to_be(
        "(aaaaaaar|)", a=RESPONSE, r=("result", "max-turns")
    )
    assert team(ScriptedLLM([]), talker("a")).max_turns == 50


def test_a_member_that_fails_fails_the_team(marbles: Marbles) -> None:
    failing = Agent("b", marbles.llm("--#", error=ValueError("no")))
    both = team(router(marbles, "a", "b"), talker("a"), failing)
    marbles.expect(say("q").pipe(both, markers(), ops.take_last(4))).to_be(
        "--(e b t r|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "team > b"}),
        b=("end", "b"),
        t=("end", "team"),
        r=("result", "agent-error"),
    )


def test_a_router_that_fails_keeps_its_cause(marbles: Marbles) -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("cause")
    failed = marbles.probe()
    routed = team(marbles.llm("--#", error=error))
    marbles.expect(say("q").pipe(routed, text(), failed)).to_be("--#", error=error)
    marbles.flush()
    assert failed.errors == [error]
    assert error.__notes__ == ["in team > router"]
    assert isinstance(error.__cause__, KeyError)


def test_a_router_that_gives_no_observable_is_named(marbles: Marbles) -> None:
    failed = marbles.probe()
    routed = say("q").pipe(team(lambda request: "a"), text(), failed)
    marbles.expect(routed).to_be("#", error=ConfigurationError)
    marbles.flush()
    (error,) = failed.errors
    assert "the model of team gave str" in str(error)
    assert error.__notes__ == ["in team > router"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stop_callback_that_raises_fails_the_team(marbles: Marbles, is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        raise ValueError("no")

    def callback(heard: Transcript) -> bool:
        raise ValueError("no")

    failed = marbles.probe()
    stopped = team(marbles.llm(), talker("a"), stop_callback=later if is_async else callback)
    marbles.expect(say("q").pipe(stopped, text(), failed)).to_be("(a #)", error=ValueError("no"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in team > stop_callback"]


# -- what it counts and logs


def test_the_usage_of_the_router_counts_and_its_choices_are_logged(marbles: Marbles) -> None:
    wrong = Reply("bob", usage=Usage(total_tokens=100))
    right = Reply(chosen("b", "best"), usage=Usage(total_tokens=10))
    speaker = Agent("b", ScriptedLLM([Reply("x", usage=Usage(total_tokens=1))]))
    conversation, marks = Conversation(), marbles.probe()
    routed = team(ScriptedLLM([wrong, right]), talker("a"), speaker, max_turns=1)
    observed = Workflow(routed, conversation).observe("q", state=True)
    marbles.expect(observed.pipe(marks, ops.last())).to_be("(r|)", r=("result", "max-turns"))
    stateless = say("q").pipe(team(router(marbles, "a"), max_turns=1), markers(), only("state"))
    marbles.expect(stateless).to_be("|")
    marbles.flush()
    assert conversation.metrics["total_tokens"] == 111
    assert conversation.log == (
        ("error", "team/choice", "team", "bob"),
        ("info", "team/choice", "team", "b", "best"),
        ("info", "team/max-turns", "team"),
    )
    states = [content for mark, content in marks.items if mark == "state"]
    assert [(state["kind"], state.get("agent_id"), state.get("error")) for state in states[:2]] == [
        ("choice", None, "'bob' is no member; the choice is between: a, b."),
        ("choice", "b", None),
    ]


def test_how_it_ended_is_logged(marbles: Marbles) -> None:
    def logged(*members: Any, **options: Any) -> Observable[Any]:
        ending = team(marbles.llm(), *(members or [talker("a")]), **options)
        return say("q").pipe(ending, transcript(), ops.map(lambda folded: folded.log[-1]))

    marbles.expect(logged(STOPPER)).to_be("(x|)", x=("info", "team/stop", "team"))
    callback = logged(stop_callback=lambda heard: True)
    marbles.expect(callback).to_be("(x|)", x=("info", "team/callback-stop", "team"))
    marbles.expect(logged(max_turns=1)).to_be("(x|)", x=("info", "team/max-turns", "team"))


# -- nesting


def test_a_stop_in_a_nested_team_ends_only_that_team(marbles: Marbles) -> None:
    inner = team(router(marbles, "a", "stopper"), talker("a"), STOPPER, id="inner")
    outer = team(router(marbles, "inner", "b"), inner, talker("b"), id="outer", max_turns=2)
    ended = marbles.probe()
    shown = say("q").pipe(outer, markers(), only("start", "end", "result"), ended)
    marbles.expect_markers(shown).to_be(
        [
            *(("start", "outer"), ("start", "inner"), ("start", "a"), ("end", "a")),
            *(("start", "stopper"), ("end", "stopper"), ("end", "inner")),
            *(("start", "b"), ("end", "b"), ("end", "outer"), ("result", "max-turns")),
        ]
    )
    marbles.flush()
    assert ended.completions == 1


@pytest.mark.parametrize("wrap", [False, True])
def test_a_stop_of_the_run_ends_all_teams(marbles: Marbles, wrap: bool) -> None:
    stopper: Any = as_agent("stopper", lambda source: just(StateUpdate("stop", stop="all", scope="run")))
    if wrap:
        stopper = as_agent("wrapped", stopper)
    inner = team(router(marbles, "a", stopper.id), talker("a"), stopper, id="inner")
    outer = team(router(marbles, "inner"), inner, talker("b"), id="outer")
    around = team(marbles.llm(), outer, id="around")
    marbles.expect(say("q").pipe(around, markers(), only("response", "result"))).to_be(
        "(ar|)", a=RESPONSE, r=("result", "agent-stop")
    )


def test_a_stop_of_the_run_that_stands_in_no_block_ends_all_teams_too(marbles: Marbles) -> None:
    class Stopping(User):
        def _block(self, transcript: Transcript) -> StateUpdate:
            return StateUpdate("stop", stop="all", scope="run")

    inner = team(marbles.llm(), Stopping("stopper"), id="inner")
    outer = team(router(marbles, "inner"), inner, talker("b"), id="outer")
    marbles.expect(say("q").pipe(outer, markers(), only("response", "result"))).to_be(
        "(r|)", r=("result", "agent-stop")
    )


def test_a_stop_within_the_blocks_of_a_member_ends_its_team(marbles: Marbles) -> None:
    deep = as_agent(
        "one", as_agent("two", as_agent("three", lambda source: just(StateUpdate("s", stop="x"))))
    )
    stopped = say("q").pipe(team(marbles.llm(), deep), result)
    marbles.expect(stopped).to_be("(r|)", r=("result", "agent-stop"))


def test_what_a_stop_brings_beside_it_stays(marbles: Marbles) -> None:
    stopping = StateUpdate("stop", variables={"n": 1}, stop="enough", usage=Usage(total_tokens=5))
    plain = agent(lambda heard: stopping, id="f")
    folded = say("q").pipe(team(marbles.llm(), plain), transcript())
    counted = folded.pipe(ops.map(lambda t: (t.variables["n"], t.usage.total_tokens)))
    marbles.expect(counted).to_be("(x|)", x=(1, 5))


def nested(depth: int, innermost: Any, **options: Any) -> Any:
    for level in range(depth):
        innermost = team(ScriptedLLM([]), innermost, id=f"t{level}", max_turns=1, **options)
    return innermost


def test_a_thousand_nested_teams_run(marbles: Marbles) -> None:
    deep, heard = nested(1_000, Agent("a", marbles.llm("--Hello--there|"))), marbles.probe()
    marbles.expect(say("q").pipe(deep, markers(), heard, ops.last())).to_be(
        "--------------(r|)", r=("result", "max-turns")
    )
    marbles.flush()
    assert [str(mark) for mark, _ in heard.items].count("start") == 1_001
    assert [content for mark, content in heard.items if mark == "end"] == [
        "a",
        *(f"t{level}" for level in range(1_000)),
    ]


def test_a_thousand_nested_teams_are_interrupted_and_the_model_is_cancelled(marbles: Marbles) -> None:
    llm = marbles.llm("                      -x-x-x-x|")
    stop = marbles.hot("                     ----s")
    deep, heard = nested(1_000, Agent("a", llm)), marbles.probe()
    cut = say("q").pipe(deep, until(stop), markers(), heard, ops.last())
    marbles.expect(cut).to_be("              ----(r|)", r=("result", "interrupted"))
    marbles.expect_subscriptions(llm).to_be("^---!")
    marbles.flush()
    assert [str(mark) for mark, _ in heard.items].count("end") == 1_001


def test_a_thousand_nested_teams_fail_and_say_where(marbles: Marbles) -> None:
    deep, heard = nested(1_000, Agent("a", marbles.llm("--#", error=ValueError("no")))), marbles.probe()
    marbles.expect(say("q").pipe(deep, markers(), heard, ops.last())).to_be(
        "--(r|)", r=("result", "agent-error")
    )
    marbles.flush()
    (content,) = [content for mark, content in heard.items if mark == "error"]
    assert content["where"].startswith("t999 > t998 > ")
    assert content["where"].endswith(" > t0 > a")


def test_disposing_a_team_cancels_the_member_and_the_router(marbles: Marbles) -> None:
    choice = marbles.llm("                                                       ----x----|")
    marbles.expect(say("q").pipe(team(choice), text()), unsubscribe_at=2).to_be("--")
    marbles.expect_subscriptions(choice).to_be("                                 ^-!")
    speech = marbles.llm("                                                       ----x----|")
    speaking = team(router(marbles, "a"), Agent("a", speech), talker("b"))
    marbles.expect(say("q").pipe(speaking, text()), unsubscribe_at=2).to_be("    --")
    marbles.expect_subscriptions(speech).to_be("                                 ^-!")


def test_a_member_that_was_cut_is_heard_and_the_team_goes_on(marbles: Marbles) -> None:
    stop = marbles.hot("         --s")
    first = marbles.llm("        -a-b-c|")
    second = marbles.llm("         (ok|)")
    cut = as_agent("cut", lambda source: source.pipe(Agent("x", first), until(stop)))
    both = team(router(marbles, "cut", "b"), cut, Agent("b", second), max_turns=2)
    heard = say("q").pipe(both, markers(), only("interrupted", "response", "result"))
    marbles.expect(heard).to_be("--(irx|)", i=("interrupted", ANY), r=RESPONSE, x=("result", "max-turns"))
    marbles.flush()
    assert second.requests[0].messages[-1] == {"role": "assistant", "content": "a", "name": "x"}


# -- construction


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([], "team team has no members"),
        ([talker("a"), talker("b"), talker("a")], "two members have the id 'a'"),
        ([talker("a"), "b"], "str is no member"),
        ([talker("a"), lambda source: source], "function is no member"),
    ],
)
def test_members_that_do_not_do_are_refused(members: list[Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Team(ScriptedLLM([]), members, "team")


def test_a_member_of_ones_own_making_needs_an_id_that_fits() -> None:
    class Own:
        id = "a b"

        def __call__(self, source: Any) -> Any:
            return source

    with pytest.raises(ConfigurationError, match="the id 'a b'"):
        Team(ScriptedLLM([]), [Own()], "team")  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"id": ""}, "the id ''"),
        ({"allowed_transitions": {"a": ["bob"]}}, "names 'bob', who is no member"),
        ({"allowed_transitions": {"bob": ["a"]}}, "names 'bob', who is no member"),
        ({"allowed_transitions": {talker("c"): ["a"]}}, "names <Agent c>, who is no member"),
        ({"allowed_transitions": {talker("a"): ["a"]}}, "names <Agent a>, who is no member"),
        ({"allowed_transitions": {"a": "b"}}, "a list"),
        ({"allowed_transitions": {"a": 3}}, "a list"),
        ({"allowed_transitions": {"a": [3]}}, "names 3, who is no member"),
        ({"allowed_transitions": [1]}, "allowed_transitions is a list; give a dict"),
        ({"max_turns": 0}, "max_turns is 0"),
        ({"max_turns": "5"}, "max_turns is '5'; it must be a number"),
        ({"members": None}, "members is a NoneType; give a list"),
        ({"members": "ab"}, "members is a str; give a list"),
        ({"members": talker("a")}, "members is a Agent; give a list"),
        ({"reading_strategy": 5}, "team team: reading_strategy is a int; give a function"),
        ({"llm": "gpt"}, "llm is a str"),
        ({"stop_callback": 3}, "stop_callback is a int"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Team(**({"llm": ScriptedLLM([]), "members": [talker("a"), talker("b")], "id": "team"} | options))


def test_what_it_was_given_may_change_without_changing_it(marbles: Marbles) -> None:
    members = [talker("a")]
    transitions: dict[str, list[str]] = {"a": ["a"]}
    made = team(ScriptedLLM([]), *members, allowed_transitions=transitions, max_turns=2)
    members.append(talker("b"))
    transitions["a"].clear()
    marbles.expect(say("q").pipe(made, speakers)).to_be("(aa|)", a="a")


def test_messages_of_the_members_stand_in_their_blocks(marbles: Marbles) -> None:
    both = say("q").pipe(team(router(marbles, "a", "b"), max_turns=2), messages())
    marbles.expect(both.pipe(ops.map(lambda message: message.name))).to_be("(a b|)")
