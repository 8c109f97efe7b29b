"""PlannedTeam: the plan and how it is asked for, how it is carried out, forked, repeated and resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
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
    OpenAILLM,
    PlannedTeam,
    PlanningError,
    ScriptedLLM,
    StateUpdate,
    SummarizeMessagesStrategy,
    Transcript,
    Usage,
    User,
    UserMessage,
    Workflow,
    agent,
    say,
)
from rxagents.llm import Reply
from rxagents.llm.wire import CUT_OFF
from rxagents.operators import markers, text, transcript
from rxagents.teams._plans import PlanStep, read_plan
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.marbles.drawn_models import MarbleLLM
from tests.team_views import RESPONSE, STOPPER, ended, only, speakers


def plan(*ids: str) -> str:
    return json.dumps({"plan": [{"agent_id": id, "instructions": f"do {id}"} for id in ids]})


def planner(marbles: Marbles, *plans: str, **options: Any) -> MarbleLLM:
    named = {f"p{number}": text for number, text in enumerate(plans)}
    return marbles.llm(*(f"({name}|)" for name in named), **named, **options)


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def team(llm: Any, *members: Any, **options: Any) -> PlannedTeam:
    return PlannedTeam("team", members or [talker("a"), talker("b")], llm, **options)


def lines(conversation: Any) -> list[tuple[str | None, str]]:
    return [(message.name, message.text) for message in conversation]


# -- the plan is carried out


def test_a_plan_is_made_shown_and_carried_out(marbles: Marbles) -> None:
    source = marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))
    llm = marbles.llm("       --(p|)", p=plan("B", "A"))
    a = marbles.llm("                                 a----|")
    b = marbles.llm("                      b--------c|")
    planned = team(llm, Agent("A", a), Agent("B", b))
    marbles.expect(source.pipe(planned, markers(), only("start", "state", "end", "result"))).to_be(
        "---t-(pb)------(ea)-(fgr|)",
        t=("start", "team"),
        p=(
            "state",
            {
                "kind": "plan",
                "team": "team",
                "plan": 1,
                "steps": [
                    {"agent_id": "B", "instructions": "do B"},
                    {"agent_id": "A", "instructions": "do A"},
                ],
            },
        ),
        b=("start", "B"),
        e=("end", "B"),
        a=("start", "A"),
        f=("end", "A"),
        g=("end", "team"),
        r=("result", "done"),
    )


def test_a_member_hears_the_conversation_and_its_instructions(marbles: Marbles) -> None:
    llm = marbles.llm("(one|)", "(two|)")
    planned = team(planner(marbles, plan("a", "b")), Agent("a", llm), Agent("b", llm))
    marbles.expect(say("q").pipe(planned, text("/"))).to_be("(one / two|)")
    marbles.flush()
    told = [{"role": "user", "content": f"do {id}", "name": "team"} for id in "ab"]
    assert list(llm.requests[0].messages) == [{"role": "user", "content": "q"}, told[0]]
    assert list(llm.requests[1].messages[2:]) == [
        {"role": "assistant", "content": "one", "name": "a"},
        told[1],
    ]


def test_the_conversation_holds_the_instructions_and_what_was_said(marbles: Marbles) -> None:
    workflow = Workflow(team(planner(marbles, plan("a", "b", "a"))), system_prompt="s")
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert lines(workflow.conversation) == [
        (None, "s"), (None, "q"),
        ("team", "do a"), ("a", "a"), ("team", "do b"), ("b", "b"), ("team", "do a"), ("a", "a"),
    ]  # fmt: skip
    assert workflow.conversation.variables == {"__plan:team": None}
    assert workflow.conversation.log == (("info", "plannedteam/plan", "team", "a", "b", "a"),)


def test_the_planner_reads_the_members_the_history_and_the_schema(marbles: Marbles) -> None:
    def look() -> None:
        """Looks."""

    a = Agent("a", lambda request: rx.of("x"), "Knows things", tools=[look])
    hidden, shown = planner(marbles, plan("a")), planner(marbles, plan("a"))
    for asked, llm in ((False, hidden), (True, shown)):
        planned = team(llm, a, talker("b"), include_tools_descriptions=asked)
        marbles.expect(say("q {history}").pipe(planned, text())).to_be("(x|)")
    marbles.flush()
    (request,) = shown.requests
    system = request.messages[0]["content"]
    assert "- agent_id: a\n  description: Knows things\n  tool look: Looks." in system
    assert "user: q {history}" in system
    assert "tool look" not in hidden.requests[0].messages[0]["content"]
    assert request.agent == "team"
    schema = request.response_format["json_schema"]["schema"]  # type: ignore[index]
    assert schema["properties"]["plan"]["items"]["properties"]["agent_id"]["enum"] == ["a", "b"]


def test_the_prompt_may_be_replaced(marbles: Marbles) -> None:
    llm = planner(marbles, plan("a"))
    prompted = team(llm, system_prompt="{agents} / {history} / {inquiry} / {feedback} / {x}")
    marbles.expect(say("q").pipe(prompted, text())).to_be("(a|)")
    marbles.flush()
    assert llm.requests[0].messages[0]["content"] == "- agent_id: a\n- agent_id: b / user: q / q /  / {x}"


def test_the_planners_usage_counts(marbles: Marbles) -> None:
    wrong = Reply("no", usage=Usage(total_tokens=1))
    right = Reply(plan("a"), usage=Usage(total_tokens=10))
    a = Agent("a", ScriptedLLM([Reply("x", usage=Usage(total_tokens=100))]))
    total = say("q").pipe(team(ScriptedLLM([wrong, right]), a, talker("b")), transcript())
    marbles.expect(total.pipe(ops.map(lambda t: t.usage.total_tokens))).to_be("(x|)", x=111)


# -- how the plan is read


@pytest.mark.parametrize(
    "said",
    [
        plan("a", "b"),
        f"```json\n{plan('a', 'b')}\n```",
        f"```\n{plan('a', 'b')}\n```",
        f"Here is my plan:\n```json\n{plan('a', 'b')}\n```\nGood luck!",
        f"My plan is {plan('a', 'b')}.",
        json.dumps(json.loads(plan("a", "b"))["plan"]),
        json.dumps(json.loads(plan("a", "b"))["plan"], indent=2),
    ],
)
def test_a_plan_is_found_wherever_it_stands(said: str) -> None:
    assert read_plan(said, ["a", "b"]) == (PlanStep("a", "do a"), PlanStep("b", "do b"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Let a do it.", 'There is no JSON in the answer; it must be {"plan": [...]}.'),
        ("", "There is no JSON"),
        ('{"plan": [', "There is no JSON"),
        ("[" * 100_000, "There is no JSON"),
        ('{"steps": []}', 'The JSON holds no list "plan" of steps.'),
        ("3", 'The JSON holds no list "plan"'),
        ('{"plan": []}', "The plan is empty; it needs at least one step."),
        ("[]", "The plan is empty"),
        (plan("a", "bob"), "Step 2: 'bob' is no member; the members are: a, b."),
        ('{"plan": ["a"]}', 'Step 1 needs an "agent_id" and "instructions", both of them text.'),
        ('{"plan": [{"agent_id": "a"}]}', "Step 1 needs"),
        ('{"plan": [{"agent_id": 1, "instructions": "x"}]}', "Step 1 needs"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told(said: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the words are looked at
        read_plan(said, ["a", "b"])
    assert str(caught.value).startswith(told)


def test_a_plan_that_does_not_do_is_asked_for_again_with_the_error(marbles: Marbles) -> None:
    llm = planner(marbles, "nonsense", plan("bob"), plan("a"))
    planned = say("q").pipe(team(llm), markers(), only("state", "response"))
    marbles.expect(planned).to_be("(sr|)", s=("state", ANY), r=RESPONSE)
    marbles.flush()
    assert [message["content"] for message in llm.requests[2].messages[2:]] == [
        "nonsense",
        'There is no JSON in the answer; it must be {"plan": [...]}. Plan again.',
        plan("bob"),
        "Step 1: 'bob' is no member; the members are: a, b. Plan again.",
    ]


def test_after_three_it_fails(marbles: Marbles) -> None:
    failed = marbles.probe()
    llm = marbles.llm(lambda request: "-(p|)", p=plan())
    marbles.expect(say("q").pipe(team(llm), text(), failed)).to_be("---#", error=PlanningError)
    marbles.expect_subscriptions(llm).to_be("                       ^!", "-^!", "--^!")
    folded = say("q").pipe(team(ScriptedLLM(["x", "y", "z"])), markers(state=True), only("state", "error"))
    marbles.expect(folded.pipe(ops.map(lambda m: m[1].get("where", m[1].get("error", ""))[:24]))).to_be(
        "(xxxe|)", x="There is no JSON in the ", e="team > planner"
    )
    marbles.flush()
    (error,) = failed.errors
    assert "planned team team: its model was asked 3 times for a plan" in str(error)
    assert "The plan is empty" in str(error)
    assert error.__notes__ == ["in team > planner"]


def test_a_planner_that_fails_says_where(marbles: Marbles) -> None:
    failed = marbles.probe()
    llm = marbles.llm("--#", error=ValueError("no"))
    marbles.expect(say("q").pipe(team(llm), text(), failed)).to_be("--#", error=ValueError("no"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in team > planner"]


def test_a_model_that_knows_no_schema_is_asked_in_words(marbles: Marbles) -> None:
    fenced = f"```json\n{plan('b')}\n```"
    llm = planner(marbles, fenced, constraints=LLMConstraints(structured_output=False))
    marbles.expect(say("q").pipe(team(llm), speakers)).to_be("(b|)")
    marbles.flush()
    assert llm.requests[0].response_format is None
    assert llm.requests[0].messages[-1]["content"] == "What is the plan? Nothing but the JSON."


# -- its ends


def test_a_stop_ends_it(marbles: Marbles) -> None:
    for stopper in (STOPPER, User("stopper", mode="unattended")):
        stopped = team(planner(marbles, plan("a", "stopper", "a")), talker("a"), stopper)
        marbles.expect(say("q").pipe(stopped, markers(), only("response", "result"))).to_be(
            "(ar|)", a=RESPONSE, r=("result", "agent-stop")
        )
    logged = say("q").pipe(team(planner(marbles, plan("stopper")), STOPPER), transcript())
    marbles.expect(logged.pipe(ops.map(lambda t: t.log[-1]))).to_be(
        "(x|)", x=("info", "plannedteam/stop", "team")
    )


def test_a_step_that_fails_fails_it(marbles: Marbles) -> None:
    failing = Agent("b", marbles.llm("--#", error=ValueError("no")))
    failed = team(planner(marbles, plan("a", "b", "a")), talker("a"), failing)
    marbles.expect(say("q").pipe(failed, markers(), only("response", "error", "result"))).to_be(
        "a-(er|)",
        a=RESPONSE,
        e=("error", {"type": "ValueError", "message": "no", "where": "team > b"}),
        r=("result", "agent-error"),
    )


def test_leaving_it_cancels_the_planner_and_the_step(marbles: Marbles) -> None:
    llm = marbles.llm("----(p|)", p=plan("a"))
    marbles.expect(say("q").pipe(team(llm), text()), unsubscribe_at=2).to_be("--")
    marbles.expect_subscriptions(llm).to_be("^-!")
    speech = marbles.llm("----x|")
    speaking = team(planner(marbles, plan("a")), Agent("a", speech))
    marbles.expect(say("q").pipe(speaking, text()), unsubscribe_at=2).to_be("--")
    marbles.expect_subscriptions(speech).to_be("^-!")


def test_two_runs_of_one_team_at_once_share_nothing(marbles: Marbles) -> None:
    def planned(request: Any) -> str:
        return "-(one|)" if "user: 1" in request.messages[0]["content"] else "--(two|)"

    both = team(marbles.llm(planned, one=plan("a", "b"), two=plan("b", "a")))
    marbles.expect(say("1").pipe(both, speakers)).to_be("-(a b|)")
    marbles.expect(say("2").pipe(both, speakers)).to_be("--(b a|)")


# -- again, with feedback


def test_it_plans_again_with_the_feedback_until_it_is_enough(marbles: Marbles) -> None:
    buys = agent(
        lambda heard: (
            [StateUpdate("v", variables={"result": "done"}), "Deal."]
            if "15%" in heard[-2].text
            else [StateUpdate("v", variables={"__feedback": "I want a better discount"}), "No."]
        ),
        id="buyer",
    )
    sells = Agent("sales", marbles.llm("(10%|)", "(15%|)"))
    llm = planner(marbles, plan("sales", "buyer"), plan("sales", "buyer"))
    offer = team(llm, sells, buys, repeat_until=lambda heard: heard.variables.get("result") == "done")
    marbles.expect(say("I want an oven").pipe(offer, text("/"))).to_be("(10% / No. / 15% / Deal.|)")
    marbles.flush()
    first, second = (request.messages[0]["content"] for request in llm.requests)
    assert first.endswith("# Feedback\n\n\n")
    assert second.endswith("# Feedback\n\nI want a better discount\n")
    assert "buyer: No." in second


@pytest.mark.parametrize("is_async", [False, True])
def test_repeat_until_may_say_why_not(marbles: Marbles, is_async: bool) -> None:
    def judged(heard: Transcript) -> Any:
        return heard[-1].text == "b" or StateUpdate("judged", variables={"why": "too short"})

    async def later(heard: Transcript) -> Any:
        await asyncio.sleep(1)
        return judged(heard)

    llm = planner(marbles, plan("a"), plan("b"))
    again = team(llm, repeat_until=later if is_async else judged, feedback_variable="why")
    marbles.expect(say("q").pipe(again, speakers), words=False).to_be("ab|" if is_async else "(ab|)")
    marbles.flush()
    assert llm.requests[1].messages[0]["content"].endswith("# Feedback\n\ntoo short\n")


def test_it_gives_up_after_so_many_plans(marbles: Marbles) -> None:
    llm = planner(marbles, plan("a"), plan("b"))
    ever = team(llm, repeat_until=lambda heard: False, max_plans=2)
    marbles.expect(say("q").pipe(ever, markers(), only("response", "result"))).to_be(
        "(abr|)", a=RESPONSE, b=RESPONSE, r=("result", "max-plans")
    )
    log = say("q").pipe(ever.with_(llm=planner(marbles, plan("a"), plan("b"))), transcript())
    marbles.expect(log.pipe(ops.map(lambda t: t.log[-1]))).to_be(
        "(x|)", x=("info", "plannedteam/max-plans", "team")
    )
    assert team(ScriptedLLM([])).max_plans == 10


def test_a_repeat_until_that_raises_fails_it(marbles: Marbles) -> None:
    def judged(heard: Transcript) -> bool:
        raise ValueError("no")

    failed = marbles.probe()
    judging = team(planner(marbles, plan("a")), repeat_until=judged)
    marbles.expect(say("q").pipe(judging, text(), failed)).to_be("(a #)", error=ValueError("no"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in team > repeat_until"]


# -- in a fork


def test_in_a_fork_all_is_shown_and_only_the_last_message_stays(marbles: Marbles) -> None:
    sets = agent(lambda heard: [StateUpdate("v", variables={"n": 1}), "draft"], id="a")
    b = Agent("b", ScriptedLLM([Reply("final", usage=Usage(total_tokens=5))]))
    llm = ScriptedLLM([Reply(plan("a", "b"), usage=Usage(total_tokens=10))])
    workflow = Workflow(team(llm, sets, b, fork_conversation=True))
    marbles.expect(workflow.observe("q").pipe(only("start", "response", "result"))).to_be(
        "(tfaxbyzr|)",
        t=("start", "team"), f=("start", "fork"), a=("start", "a"), x=RESPONSE, b=("start", "b"), y=RESPONSE,
        z=("response", [{"content": "final", "role": "assistant", "name": "b"}, ANY]), r=("result", "done"),
    )  # fmt: skip
    marbles.flush()
    assert lines(workflow.conversation) == [(None, "q"), ("b", "final")]
    assert workflow.conversation.variables == {"__plan:team": None}
    assert workflow.conversation.metrics["total_tokens"] == 15


def test_in_a_fork_the_members_hear_each_other_and_the_views_show_what_stays(marbles: Marbles) -> None:
    llm = marbles.llm("(one|)", "(two|)")
    forked = team(planner(marbles, plan("a", "b")), Agent("a", llm), Agent("b", llm), fork_conversation=True)
    marbles.expect(say("q").pipe(forked, text())).to_be("(two|)")
    marbles.flush()
    assert [message["content"] for message in llm.requests[1].messages] == ["q", "do a", "one", "do b"]


def test_a_strategy_selects_what_of_the_fork_stays(marbles: Marbles) -> None:
    def two(heard: Transcript) -> Any:
        return [*heard[:1], *heard[-4:]]  # the question, and the instructions, are no part of the work

    forked = team(planner(marbles, plan("a", "b")), fork_conversation=True, fork_strategy=two)
    workflow = Workflow(forked)
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert lines(workflow.conversation) == [(None, "q"), ("a", "a"), ("b", "b")]


def test_a_summary_of_the_fork_is_what_stays_and_its_usage_counts(marbles: Marbles) -> None:
    sums = SummarizeMessagesStrategy(
        ScriptedLLM([Reply("In short.", usage=Usage(total_tokens=7))]), "Sum up."
    )
    llm = ScriptedLLM([Reply(plan("a", "b"), usage=Usage(total_tokens=10))])
    workflow = Workflow(team(llm, fork_conversation=True, fork_strategy=sums), system_prompt="s")
    result = marbles.probe()
    marbles.expect(workflow.observe("q").pipe(only("result"), result)).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert lines(workflow.conversation) == [(None, "s"), (None, "q"), ("summarizer", "In short.")]
    assert workflow.conversation.metrics["total_tokens"] == 17


def test_a_strategy_that_raises_fails_it(marbles: Marbles) -> None:
    def fails(heard: Transcript) -> Any:
        raise ValueError("no")

    failed = marbles.probe()
    forked = team(planner(marbles, plan("a")), fork_conversation=True, fork_strategy=fails)
    marbles.expect(say("q").pipe(forked, text(), failed)).to_be("#", error=ValueError("no"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in team > fork_strategy > reading_strategy"]


def test_in_a_fork_errors_and_stops_are_the_teams(marbles: Marbles) -> None:
    failing = Agent("a", marbles.llm("#", error=ValueError("no")))
    failed = team(planner(marbles, plan("a")), failing, fork_conversation=True)
    marbles.expect(say("q").pipe(failed, markers(), only("error", "result"))).to_be(
        "(er|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "team > fork > a"}),
        r=("result", "agent-error"),
    )
    stopped = team(planner(marbles, plan("b", "stopper", "b")), talker("b"), STOPPER, fork_conversation=True)
    marbles.expect(say("q").pipe(stopped, text())).to_be("(b|)")
    stopped = team(planner(marbles, plan("stopper")), STOPPER, fork_conversation=True)
    marbles.expect(say("q").pipe(stopped, ended)).to_be("(r|)", r="agent-stop")


def test_in_a_fork_what_the_members_set_is_seen_by_repeat_until_and_the_planner(marbles: Marbles) -> None:
    sets = agent(lambda heard: [StateUpdate("v", variables={"__feedback": "more"}), "x"], id="a")
    llm = planner(marbles, plan("a"), plan("b"))
    forked = team(
        llm, sets, talker("b"), fork_conversation=True, repeat_until=lambda heard: heard[-1].name == "b"
    )
    marbles.expect(say("q").pipe(forked, text())).to_be("(b|)")
    marbles.flush()
    assert llm.requests[1].messages[0]["content"].endswith("# Feedback\n\nmore\n")


# -- interrupted and resumed


Asked = list[list[str]]


class Members:
    """Two members and a planner of their own making, who remember what they were asked."""

    def __init__(self, *plans: str, hangs: str = "") -> None:
        self.planned: list[Any] = []
        self.heard: dict[str, Asked] = {"a": [], "b": []}
        self._plans = list(plans)
        self._hangs = hangs

    def planner(self, request: Any) -> Observable[str]:
        self.planned.append(request)
        return rx.of(self._plans[len(self.planned) - 1])

    def member(self, id: str) -> Agent:
        def answered(request: Any) -> Observable[str]:
            self.heard[id].append([message["content"] for message in request.messages])
            if id == self._hangs:
                return rx.concat(rx.of("half"), rx.never())
            return rx.of(f"{id}{len(self.heard[id])}")

        return Agent(id, answered)

    def team(self, **options: Any) -> PlannedTeam:
        return team(self.planner, self.member("a"), self.member("b"), **options)


def interrupted(members: Members, said: Any = "q", conversation: Any = None, **options: Any) -> Conversation:
    """The conversation of a run that was disposed when a member hung, stored and restored as JSON."""

    async def run() -> Conversation:
        workflow = Workflow(members.team(**options), conversation)
        async with workflow.arun_stream(said) as shown:
            async for mark, content in shown:
                if mark == "delta" and content["content"] == "half":
                    break
        return workflow.conversation

    return Conversation.from_dict(json.loads(json.dumps(asyncio.run(run()).to_dict())))


def test_what_was_interrupted_is_resumed_at_that_step() -> None:
    conversation = interrupted(Members(plan("a", "b", "a"), hangs="b"))
    assert conversation.variables["__plan:team"] == {
        "steps": json.loads(plan("a", "b", "a"))["plan"], "number": 1, "at": 1, "heard": 3,
    }  # fmt: skip
    members = Members()
    workflow = Workflow(members.team(), conversation)
    assert workflow.run([]) == "done"
    assert members.planned == []
    assert members.heard == {
        "a": [["q", "do a", "a1", "do b", "half", "do b", "b1", "do a"]],
        "b": [["q", "do a", "a1", "do b", "half", CUT_OFF, "do b"]],
    }
    assert workflow.conversation.variables == {"__plan:team": None}


def test_instructions_that_were_said_last_are_not_said_again() -> None:
    hanging = Agent("b", lambda request: rx.never())
    flow = team(lambda request: rx.of(plan("a", "b")), talker("a"), hanging)

    async def run() -> Conversation:
        workflow = Workflow(flow)
        async with workflow.arun_stream("q") as shown:
            async for mark, content in shown:
                if (mark, content) == ("start", "b"):
                    break
        return workflow.conversation

    conversation = Conversation.from_dict(asyncio.run(run()).to_dict())
    workflow = Workflow(team(ScriptedLLM([])), conversation)
    assert workflow.run([]) == "done"
    assert lines(workflow.conversation) == [
        (None, "q"), ("team", "do a"), ("a", "a"), ("team", "do b"), ("b", "b"),
    ]  # fmt: skip


def test_a_step_that_failed_is_resumed_too() -> None:
    failing = Agent("b", lambda request: rx.throw(ValueError("no")))
    workflow = Workflow(team(lambda request: rx.of(plan("a", "b")), talker("a"), failing))
    assert workflow.run("q") == "agent-error"
    again = Workflow(team(ScriptedLLM([])), workflow.conversation)
    assert again.run([]) == "done"
    assert again.conversation[-1].text == "b"


def test_where_the_user_has_spoken_since_there_is_a_new_plan() -> None:
    conversation = interrupted(Members(plan("a", "b"), hangs="b"))
    members = Members(plan("a"))
    workflow = Workflow(members.team(), conversation)
    assert workflow.run("No, only a, please.") == "done"
    (request,) = members.planned
    assert "user: No, only a, please." in request.messages[0]["content"]
    assert "b: half" in request.messages[0]["content"]
    assert members.heard["b"] == []
    assert workflow.conversation[-1].text == "a1"


def test_in_a_fork_it_is_resumed_with_what_was_said_there() -> None:
    conversation = interrupted(Members(plan("a", "b", "a"), hangs="b"), fork_conversation=True)
    assert lines(conversation) == [(None, "q")]
    members = Members()
    workflow = Workflow(members.team(fork_conversation=True), conversation)
    assert workflow.run([]) == "done"
    assert members.planned == []
    assert members.heard == {
        "a": [["q", "do a", "a1", "do b", "b1", "do a"]],
        "b": [["q", "do a", "a1", "do b"]],
    }
    assert lines(workflow.conversation) == [(None, "q"), ("a", "a1")]


def test_in_a_fork_too_the_user_may_have_spoken() -> None:
    conversation = interrupted(Members(plan("a", "b"), hangs="b"), fork_conversation=True)
    members = Members(plan("a"))
    assert Workflow(members.team(fork_conversation=True), conversation).run("Else.") == "done"
    assert len(members.planned) == 1
    assert members.heard["a"] == [["q", "Else.", "do a"]]


def test_what_was_set_in_a_fork_is_there_again() -> None:
    async def run() -> Conversation:
        sets = agent(lambda heard: [StateUpdate("v", variables={"__feedback": "more"}), "x"], id="a")
        hanging = Agent("b", lambda request: rx.never())
        workflow = Workflow(
            team(lambda request: rx.of(plan("a", "b")), sets, hanging, fork_conversation=True)
        )
        async with workflow.arun_stream("q") as shown:
            async for mark, content in shown:
                if (mark, content) == ("start", "b"):
                    break
        return workflow.conversation

    conversation = Conversation.from_dict(json.loads(json.dumps(asyncio.run(run()).to_dict())))
    members = Members(plan("a"))
    forked = members.team(fork_conversation=True, repeat_until=lambda heard: heard[-1].name == "a")
    assert Workflow(forked, conversation).run([]) == "done"
    assert members.planned[0].messages[0]["content"].endswith("# Feedback\n\nmore\n")


def steps_until(workflow: Workflow, number: int) -> bool:
    """Leaves a run at a marker; whether there was one more."""

    async def run() -> bool:
        async with workflow.arun_stream("q", state=True) as shown:
            async for _ in shown:
                nonlocal number
                number -= 1
                if not number:
                    return True
        return False

    return asyncio.run(run())


@pytest.mark.parametrize(("forked", "nested", "within"), [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1)])
def test_left_at_whatever_marker_nobody_who_was_done_is_asked_again(
    forked: bool, nested: bool, within: bool
) -> None:
    asked: list[str] = []

    def answers(id: str, *said: str) -> Callable[[Any], Observable[str]]:
        return lambda request: asked.append(id) or rx.of(*said)  # type: ignore[func-returns-value]

    def flow() -> PlannedTeam:
        inner = PlannedTeam("b", [Agent("x", answers("x", "1", "2"))], answers("inner", plan("x")), within)
        b = inner if nested else Agent("b", answers("b", "1", "2"))
        a = Agent("a", answers("a", "1", "2"))
        return team(answers("plan", plan("a", "b", "a")), a, b, fork_conversation=forked)

    everybody = ["plan", "a", *(["inner", "x"] if nested else ["b"]), "a"]
    for number in range(1, 100):
        asked.clear()
        workflow = Workflow(flow())
        if not steps_until(workflow, number):
            break
        conversation = Conversation.from_dict(json.loads(json.dumps(workflow.conversation.to_dict())))
        if conversation.variables.get("__plan:team", 0) is None:  # the run was over
            continue
        before = len(asked)
        assert Workflow(flow(), conversation).run() == "done"
        # but for who was being asked
        assert asked == everybody or asked == asked[:before] + everybody[before - 1 :], number
    assert number > 20


def test_left_while_the_end_is_judged_only_the_judge_is_asked_again() -> None:
    members = Members(plan("a", "b"))
    judged: list[str] = []

    async def run() -> Conversation:
        async def never(heard: Any) -> bool:
            return await asyncio.Event().wait()

        workflow = Workflow(members.team(repeat_until=never))
        async with workflow.arun_stream("q") as shown:
            async for mark, content in shown:
                if (mark, content) == ("end", "b"):
                    break
        return workflow.conversation

    conversation = Conversation.from_dict(asyncio.run(run()).to_dict())
    members = Members(plan("a"))

    def judge(heard: Any) -> bool:
        judged.append(heard[-1].text)
        return len(judged) == 2

    assert Workflow(members.team(repeat_until=judge), conversation).run() == "done"
    assert judged == ["b1", "a1"]
    assert (len(members.planned), members.heard["b"]) == (1, [])


class Bare:
    """A member that says no more than that it stops, in no block."""

    id = "b"
    description = ""

    def __call__(self, source: Observable[Any]) -> Observable[Any]:
        return rx.of(StateUpdate("enough", stop="enough"))


@pytest.mark.parametrize("b", [Bare(), agent(lambda heard: StateUpdate("enough", stop="enough"), id="b")])
def test_a_step_that_stops_is_not_done(b: Any) -> None:
    workflow = Workflow(team(lambda request: rx.of(plan("a", "b", "a")), talker("a"), b))
    shown = [content for mark, content in workflow.run_stream("q", state=True) if mark == "state"]
    kept = [state["variables"]["__plan:team"] for state in shown if "variables" in state]
    assert [now and now["at"] for now in kept] == [0, 1, None]


def test_what_a_member_says_as_the_user_is_part_of_the_plan() -> None:
    conversation = Conversation(
        [UserMessage("q"), UserMessage("do a", name="team"), UserMessage("Yes.", name="a")],
        {"__plan:team": {"steps": json.loads(plan("a", "b"))["plan"], "number": 1, "at": 0, "heard": 2}},
    )
    members = Members()
    assert Workflow(members.team(), conversation).run() == "done"
    assert members.planned == []


def test_the_number_of_plans_is_resumed() -> None:
    members = Members(plan("a"), plan("b"), hangs="b")
    conversation = interrupted(members, repeat_until=lambda heard: False, max_plans=2)
    workflow = Workflow(Members().team(repeat_until=lambda heard: False, max_plans=2), conversation)
    assert workflow.run([]) == "max-plans"


@pytest.mark.parametrize(
    "stored",
    [
        {"steps": [{"agent_id": "gone", "instructions": "x"}], "number": 1, "at": 0, "heard": 1},
        {"steps": [{"agent_id": "a", "instructions": "x"}], "number": 1, "at": 5, "heard": 1},
        {"steps": [{"agent_id": "a", "instructions": "x"}], "number": 1, "at": -1, "heard": 1},
        {"steps": [{"agent_id": "a", "instructions": "x"}], "number": 1, "at": "x", "heard": 1},
        {"steps": [{"agent_id": "a", "instructions": "x"}], "number": 1, "at": 0, "heard": 1, "fork": [3]},
        {"steps": [{"agent_id": "a", "instructions": "x"}], "number": 1, "at": 0, "heard": 1, "fork": 3},
        {"at": 0},
        [1],
        "x",
    ],
)
def test_what_is_no_plan_for_this_team_is_not_resumed(stored: Any) -> None:
    members = Members(plan("b"))
    conversation = Conversation([UserMessage("q")], {"__plan:team": stored})
    assert Workflow(members.team(), conversation).run([]) == "done"
    assert len(members.planned) == 1
    assert conversation[-1].text == "b1"


# -- over the wire


def test_over_the_wire_a_claim_is_collected_approved_and_answered() -> None:
    steps = {"plan": [{"agent_id": id, "instructions": f"Do your part, {id}."} for id in MEMBERS]}

    def reply(body: Any) -> str:
        if "response_format" in body:
            return json.dumps(steps)
        system = body["messages"][0]["content"]
        return next(said for id, said in MEMBERS.items() if id in system)

    with OpenAIServer(reply) as server:
        llm = OpenAILLM("m", base_url=server.base_url, api_key="any")
        members = [Agent(id, llm, f"Call this one: {id}", f"You are {id}.") for id in MEMBERS]
        workflow = Workflow(PlannedTeam(id="flow", description="", members=members, llm=llm))
        result = workflow.run("I had a car accident.")
        requests = len(server.requests)
    assert result == "done"
    assert result.text == "Your claim has been rejected: 1000 USD."
    assert [message.name for message in workflow.conversation] == [
        None, "flow", "datacollector", "flow", "approver", "flow", "responder",
    ]  # fmt: skip
    assert requests == 4
    assert workflow.conversation.metrics == result.usage.model_dump()


MEMBERS = {
    "datacollector": '{"incident_kind": "car accident", "reimbursement_amount": 1000}',
    "approver": "I reject it.",
    "responder": "Your claim has been rejected: 1000 USD.",
}


def test_over_the_wire_a_run_that_was_cut_goes_on_elsewhere() -> None:
    def reply(body: Any) -> Any:
        if "response_format" in body:
            return plan("a", "b")
        text = body["messages"][-1]["content"]
        return Paused(2, f"I {text}") if text == "do b" and not resuming else f"I {text}"

    resuming = False
    with OpenAIServer(reply) as server:

        def flow() -> PlannedTeam:
            llm = OpenAILLM("m", base_url=server.base_url, api_key="any")
            return team(llm, Agent("a", llm), Agent("b", llm))

        workflow = Workflow(flow())
        with workflow.run_stream("q") as shown:
            for mark, _ in shown:
                if mark == "delta" and mark.path == ("team", "b"):
                    break
        stored = json.dumps(workflow.conversation.to_dict())
        resuming = True
        again = Workflow(flow(), Conversation.from_dict(json.loads(stored)))
        result = again.run([])
        planned = [request for request in server.requests if "response_format" in request.body]
    assert (result, result.text) == ("done", "I do b")
    assert len(planned) == 1


# -- construction


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"members": []}, "planned team team has no members"),
        ({"members": [talker("a"), talker("a")]}, "two members have the id 'a'"),
        ({"members": "ab"}, "members is a str; give a list of members"),
        ({"llm": "gpt"}, "planned team team: llm is a str"),
        ({"fork_strategy": 3}, "planned team team, fork_strategy"),
        ({"repeat_until": 3}, "repeat_until is a int; give a function of the Transcript"),
        ({"max_plans": 0}, "max_plans is 0; it must be a number, 1 or more"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        PlannedTeam(**({"id": "team", "members": [talker("a")], "llm": ScriptedLLM([])} | options))
