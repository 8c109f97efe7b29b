"""Sequence: one after the other on one conversation; what ends it, how it nests, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    Conversation,
    Loop,
    MessageStream,
    OpenAILLM,
    PlannedTeam,
    ScriptedLLM,
    Sequence,
    StateUpdate,
    SystemMessage,
    Team,
    Transcript,
    User,
    UserMessage,
    Workflow,
    agent,
    as_agent,
    say,
)
from rxagents.llm import Call, Reply
from rxagents.operators import markers, text, transcript, until
from rxagents.testing import Marbles, OpenAIServer
from tests.team_views import QUITTER, RESPONSE, STOPPER, ended, only, speakers


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


# -- steps


def test_each_step_hears_what_was_said_before_it(marbles: Marbles) -> None:
    first = marbles.llm("       a--|")
    second = marbles.llm("         b-c|")
    source = marbles.cold("    -q-|", q=MessageStream.of(UserMessage("q")))
    marbles.expect(source.pipe(Sequence("both", [Agent("A", first), Agent("B", second)]))).to_be(
        """
              ---(both|)
        both  ---A--B--|
        A     ---m1-|
        m1    ---a--|
        B     ------m2-|
        m2    ------b-c|
        """
    )
    marbles.flush()
    assert [message["content"] for message in second.requests[0].messages] == ["q", "a"]


def test_it_is_done_after_its_last_step(marbles: Marbles) -> None:
    marbles.expect(say("q").pipe(Sequence("s", [talker("a"), talker("b")]), ended)).to_be("(done|)")


def test_one_step_may_come_twice(marbles: Marbles) -> None:
    a, b = talker("a"), talker("b")
    marbles.expect(say("q").pipe(Sequence("s", [a, b, a]), speakers)).to_be("(a b a|)")


def test_variables_go_on_to_the_next_step(marbles: Marbles) -> None:
    sets = agent(lambda heard: [StateUpdate("v", variables={"n": 1}), "set"], id="sets")
    reads = agent(lambda heard: f"n={heard.variables['n']}", id="reads")
    marbles.expect(say("q").pipe(Sequence("s", [sets, reads]), text("/"))).to_be("(set / n=1|)")


# -- its ends


def test_a_step_that_stops_ends_it(marbles: Marbles) -> None:
    stopped = Sequence("s", [talker("a"), STOPPER, talker("b")])
    marbles.expect(say("q").pipe(stopped, markers(), only("response", "result"))).to_be(
        "(ar|)", a=RESPONSE, r=("result", "agent-stop")
    )
    log = say("q").pipe(stopped, transcript(), ops.map(lambda folded: folded.log))
    marbles.expect(log).to_be("(x|)", x=(("info", "sequence/stop", "s"),))


def test_a_user_who_is_not_there_ends_it(marbles: Marbles) -> None:
    gone = Sequence("s", [talker("a"), User(mode="unattended"), talker("b")])
    marbles.expect(say("q").pipe(gone, speakers)).to_be("(a|)")
    marbles.expect(say("q").pipe(gone, ended)).to_be("(r|)", r="agent-stop")


def test_a_step_that_fails_fails_it(marbles: Marbles) -> None:
    failing = Agent("b", marbles.llm("-----#", error=ValueError("no")))
    failed = say("q").pipe(Sequence("s", [talker("a"), failing, talker("c")]), markers())
    marbles.expect(failed.pipe(only("start", "error", "result"))).to_be(
        "(sab)(er|)",
        s=("start", "s"),
        a=("start", "a"),
        b=("start", "b"),
        e=("error", {"type": "ValueError", "message": "no", "where": "s > b"}),
        r=("result", "agent-error"),
    )


def test_a_step_that_was_cut_is_heard_and_the_next_one_runs(marbles: Marbles) -> None:
    stop = marbles.hot("         --s")
    first = marbles.llm("        -a-b-c|")
    second = marbles.llm("         (ok|)")
    cut = as_agent("cut", lambda source: source.pipe(Agent("x", first), until(stop)))
    both = say("q").pipe(Sequence("s", [cut, Agent("b", second)]), markers(), only("interrupted", "response"))
    marbles.expect(both).to_be(" --(ir|)", i=("interrupted", ANY), r=RESPONSE)
    marbles.flush()
    assert second.requests[0].messages[-1] == {"role": "assistant", "content": "a", "name": "x"}


def test_leaving_it_cancels_the_step(marbles: Marbles) -> None:
    llm = marbles.llm("-----x|")
    marbles.expect(
        say("q").pipe(Sequence("s", [Agent("a", llm), talker("b")]), text()), unsubscribe_at=2
    ).to_be("--")
    marbles.expect_subscriptions(llm).to_be("^-!")


# -- nested in each other


def planner(*ids: str) -> ScriptedLLM:
    steps = ", ".join(f'{{"agent_id": "{id}", "instructions": "do"}}' for id in ids)
    return ScriptedLLM([Reply(f'{{"plan": [{steps}]}}')])


TEAMS: dict[str, Callable[..., Any]] = {
    "team": lambda *members: Team(ScriptedLLM([]), members[:1], "inner"),
    "sequence": lambda *members: Sequence("inner", members),
    "loop": lambda *members: Loop("inner", members),
    "planned team": lambda *members: PlannedTeam("inner", members, planner(*(m.id for m in members))),
}


@pytest.mark.parametrize("kind", TEAMS)
def test_a_stop_in_a_team_that_is_a_step_ends_only_that_team(marbles: Marbles, kind: str) -> None:
    inner = TEAMS[kind](STOPPER, talker("never"))
    outer = Sequence("outer", [inner, talker("b")])
    marbles.expect(say("q").pipe(outer, speakers)).to_be("(b|)")
    again = Sequence("outer", [TEAMS[kind](STOPPER, talker("never")), talker("b")])
    marbles.expect(say("q").pipe(again, ended)).to_be("(done|)")


@pytest.mark.parametrize("kind", TEAMS)
def test_a_stop_of_the_run_ends_all(marbles: Marbles, kind: str) -> None:
    outer = Sequence("outer", [talker("a"), TEAMS[kind](QUITTER, talker("never")), talker("b")])
    marbles.expect(say("q").pipe(outer, speakers)).to_be("(a|)")


@pytest.mark.parametrize("kind", TEAMS)
def test_a_failure_within_a_team_that_is_a_step_fails_all(marbles: Marbles, kind: str) -> None:
    failing = Agent("x", marbles.llm("#", error=ValueError("no")))
    outer = Sequence("outer", [TEAMS[kind](failing, talker("never")), talker("b")])
    marbles.expect(say("q").pipe(outer, markers(), only("error", "result"))).to_be(
        "(er|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "outer > inner > x"}),
        r=("result", "agent-error"),
    )


def test_a_stop_within_the_blocks_of_a_step_that_is_no_team_ends_it(marbles: Marbles) -> None:
    wrapped = as_agent("one", as_agent("two", STOPPER))
    marbles.expect(say("q").pipe(Sequence("s", [wrapped, talker("b")]), ended)).to_be("(r|)", r="agent-stop")


def test_a_thousand_of_them_nest(marbles: Marbles) -> None:
    nested: Any = Agent("a", marbles.llm("--Hello|"))
    for level in range(1_000):
        nested = Sequence(f"s{level}", [nested])
    marbles.expect(say("q").pipe(nested, ended)).to_be("-------(done|)")


# -- what comes from vanilla-aiagents


def test_the_model_is_not_asked(marbles: Marbles) -> None:
    llm = marbles.llm()
    both = Sequence(id="flow", description="", steps=[talker("a"), talker("b")], llm=llm)
    marbles.expect(say("q").pipe(both, speakers)).to_be("(a b|)")
    marbles.expect_subscriptions(llm).to_be()


def test_the_system_prompt_is_heard_by_the_steps_and_no_part_of_the_conversation(marbles: Marbles) -> None:
    llm = marbles.llm("(one|)", "(two|)")
    prompted = Sequence("s", [Agent("a", llm), Agent("b", llm)], system_prompt="Be brief.")
    workflow = Workflow(prompted, Conversation([SystemMessage("You are kind.")]))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    for request, rest in zip(llm.requests, ([], ["one"]), strict=True):
        assert [m["content"] for m in request.messages] == ["Be brief.", "You are kind.", "q", *rest]
    assert [message.text for message in workflow.conversation] == ["You are kind.", "q", "one", "two"]


def test_its_first_step_sets_variables_by_a_tool_and_the_second_has_them_in_its_prompt() -> None:
    def reply(body: Any) -> Any:
        system = body["messages"][0]["content"]
        if system.startswith("Set"):
            if body["messages"][-1]["role"] == "tool":
                return "Context set"
            arguments = {"variableName": "CHANNEL", "variableValue": "voice"}
            return Reply(calls=[Call("update_conversation_variable", arguments)])
        return f"I see {system}"

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("m", base_url=server.base_url, api_key="any")
        first = Agent("first", llm, system_message="Set the channel.", context_tool=True)
        second = Agent("second", llm, system_message="__context__")
        workflow = Workflow(Sequence(id="flow", description="", steps=[first, second], llm=llm))
        result = workflow.run("Which channel is this conversation on?")
    assert result == "done"
    assert [message.name for message in workflow.conversation] == [None, "first", "second"]
    assert workflow.conversation.variables["CHANNEL"] == "voice"
    assert "CHANNEL" in result.text
    assert "voice" in result.text


def test_a_user_is_a_step(marbles: Marbles) -> None:
    user = User(interaction_function=lambda prompt: "Which is the capital of France?")
    workflow = Workflow(Sequence("team", [talker("agent"), user]))
    marbles.expect(workflow.observe("Hi!").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert [message.text for message in workflow.conversation] == [
        "Hi!", "agent", "Which is the capital of France?"
    ]  # fmt: skip


# -- construction


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"steps": []}, "sequence s has no steps"),
        ({"steps": "ab"}, "sequence s: steps is a str; give a list of steps"),
        ({"steps": talker("a")}, "sequence s: steps is a Agent; give a list of steps"),
        ({"steps": [3]}, "sequence s: int is no step"),
        ({"steps": [talker("a"), talker("a")]}, "two steps have the id 'a'; ids must differ"),
        ({"llm": "gpt"}, "sequence s: llm is a str; give a model"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Sequence(**({"id": "s", "steps": [talker("a")]} | options))


def test_what_it_was_given_may_change_without_changing_it(marbles: Marbles) -> None:
    steps = [talker("a")]
    made = Sequence("s", steps)
    steps.append(talker("b"))
    marbles.expect(say("q").pipe(made, speakers)).to_be("(a|)")


def test_two_runs_at_once_do_not_meet(marbles: Marbles) -> None:
    heard: list[int] = []

    @agent
    def counts(transcript: Transcript) -> str:
        heard.append(len(transcript))
        return "x"

    both = Sequence("s", [Agent("a", marbles.llm("-a|", "-a|")), counts])
    marbles.expect(say("q").pipe(both, speakers)).to_be("--(a counts|)")
    marbles.expect(say("q").pipe(both, speakers)).to_be("--(a counts|)")
    marbles.flush()
    assert heard == [2, 2]
