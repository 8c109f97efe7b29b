"""limit: a conversation that passes its budget ends cleanly, in mid-message if need be, and says why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    Block,
    ConfigurationError,
    Loop,
    MessageStream,
    OpenAILLM,
    RunResult,
    Sequence,
    StateUpdate,
    Team,
    Usage,
    Workflow,
    agent,
    say,
)
from rxagents.engine.bridges import from_async
from rxagents.engine.emitters import just
from rxagents.llm import Call, ScriptedLLM
from rxagents.operators import limit, markers, text
from rxagents.testing import Marbles, OpenAIServer, Paused
from rxagents.testing.laws import check_laws
from rxagents.values import Completion, delta

WAIT = 10.0


def run(askable: Any) -> tuple[RunResult, list[dict[str, Any]]]:
    """How a run ends, and what it says of its limit."""
    workflow = Workflow(askable)
    shown = [content for mark, content in workflow.run_stream("q") if mark == "state"]
    said = [{key: each[key] for key in ("which", "budget", "spent")} for each in shown]
    result = list(Workflow(askable).run_stream("q"))[-1][1]
    return result, said


def costly(tokens: int, *, model: str | None = None, prompt: int = 0) -> Any:
    """A model whose every call takes so many tokens, and says one word."""

    def answer(request: Any) -> Any:
        usage = Usage(completion_tokens=tokens, prompt_tokens=prompt, total_tokens=tokens + prompt)
        return rx.of("a", Completion(usage, "stop", model))

    return answer


# -- tokens


def test_an_endless_reply_is_cut_in_its_midst(marbles: Marbles) -> None:
    llm = marbles.llm("     -a-b-c-d-e-f|")
    said = say("q").pipe(Agent("bot", llm), limit(tokens=2))
    marbles.expect_markers(said.pipe(markers())).to_be(
        [
            *((0, "start", "bot"), (1, "delta", "a"), (3, "delta", "b"), (5, "delta", "c")),
            *((5, "interrupted", "abc"), (5, "end", "bot")),
            (5, "state", {"kind": "limit", "which": "tokens", "budget": 2, "spent": 3}),
            (5, "result", "limit"),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("^----!")


def test_what_has_said_all_when_the_budget_is_passed_is_not_cut() -> None:
    assert run(Agent("bot", costly(50)).pipe(limit(tokens=10))) == ("done", [])


def test_what_would_come_next_is_cut(marbles: Marbles) -> None:
    loop = Loop("loop", Agent("bot", costly(50)), max_turns=9)
    result, said = run(loop.pipe(limit(tokens=120)))
    assert (result, said) == ("limit", [{"which": "tokens", "budget": 120, "spent": 150}])


def test_the_next_is_cut_also_before_it_has_said_a_word() -> None:
    did: list[str] = []

    @agent
    async def thinks(heard: Any) -> Any:
        await asyncio.sleep(0.05)
        did.append("thought")
        yield "x"

    team = Sequence("team", [Agent("bot", costly(50)), thinks])
    assert Workflow(team.pipe(limit(tokens=10))).run("q") == "limit"
    assert did == []


def test_between_two_rounds_of_one_message() -> None:
    asked = count(1)

    async def calls(emit: Any) -> None:
        function = {"arguments": "{}", "name": "look"}
        call = {"id": f"{next(asked)}", "function": function, "type": "function", "index": 0}
        emit(delta(tool_calls=[call]))
        emit(Completion(Usage(total_tokens=50), "tool_calls"))

    def model(request: Any) -> Any:
        return from_async(calls)

    def look() -> str:
        return "nothing"

    result, said = run(Agent("bot", model, tools=[look]).pipe(limit(tokens=120)))
    assert (result, said) == ("limit", [{"which": "tokens", "budget": 120, "spent": 150}])
    assert next(asked) == 7, "three calls in each of two runs"


def test_blocks_aside_and_updates_count_and_nothing_counts_twice(marbles: Marbles) -> None:
    message = MessageStream(just("a", Completion(Usage(total_tokens=4))))
    aside = Block("aside", just(message), entry="aside")
    update = StateUpdate("usage", usage=Usage(total_tokens=3))
    later = marbles.message("--z|")
    budget = limit(tokens=8)
    source = just(
        aside,
        aside,
        update,
        update,
        message,
        MessageStream(just("b", Completion(Usage(total_tokens=1)))),
        later,
    )
    probe = marbles.probe()
    marbles.expect(source.pipe(budget, markers(), ops.last(), probe))
    marbles.allow("unread")
    marbles.flush()
    assert probe.items[0][1] == "limit", "4 + 3 + 1, and then the first of another one"
    assert later.interrupted


def test_what_the_answer_took_comes_in_place_of_what_was_counted() -> None:
    def model(request: Any) -> Any:
        return rx.of(*"abcdefgh", Completion(Usage(total_tokens=5), "stop"))

    loop = Loop("loop", Agent("bot", model), max_turns=4)
    # 4 times 5; and in the midst of the last reply 8 were counted
    assert run(loop.pipe(limit(tokens=23))) == ("max-turns", [])


def test_a_model_that_says_nothing_of_its_usage_is_counted_by_its_deltas() -> None:
    loop = Loop("loop", Agent("bot", lambda request: rx.of("a", "b", Completion(None, "stop"))), max_turns=9)
    result, said = run(loop.pipe(limit(tokens=5)))
    assert (result, said) == ("limit", [{"which": "tokens", "budget": 5, "spent": 6}])


def test_what_says_that_all_before_is_void_is_no_token() -> None:
    def model(request: Any) -> Any:
        return rx.of("a", delta(restart="again"), "b", Completion(None, "stop"))

    loop = Loop("loop", Agent("bot", model), max_turns=9)
    _, said = run(loop.pipe(limit(tokens=4)))
    assert said == [{"which": "tokens", "budget": 4, "spent": 5}]
    assert run(Loop("loop", Agent("bot", model), max_turns=2).pipe(limit(tokens=4)))[0] == "max-turns"


# -- cost


@pytest.mark.parametrize(
    ("model", "spent"),
    [("small-2024", 3.0), ("small-x", 4.0), ("large", 60.0), ("unheard-of", 60.0), (None, 60.0)],
)
def test_cost_by_the_model_that_answers(model: str | None, spent: float) -> None:
    prices = {"small": (1.0, 2.0), "small-x": (2.0, 2.0), "large": (20.0, 40.0)}
    bot = Agent("bot", costly(1_000_000, model=model, prompt=1_000_000))
    loop = Loop("loop", bot, max_turns=2).pipe(limit(cost=spent - 0.5, prices=prices))
    result, said = run(loop)
    assert result == "limit"
    assert said == [{"which": "cost", "budget": spent - 0.5, "spent": pytest.approx(spent, abs=0.001)}]
    assert run(Loop("loop", bot, max_turns=1).pipe(limit(cost=spent + 0.5, prices=prices)))[0] == "max-turns"


def test_cost_by_a_function() -> None:
    seen: list[Any] = []

    def price(model: str | None, usage: Usage) -> float:
        seen.append(model)
        return usage.total_tokens / 10

    loop = Loop("loop", Agent("bot", costly(50, model="m")), max_turns=9)
    result, said = run(loop.pipe(limit(cost=12.0, prices=price)))
    assert result == "limit"
    assert said[0]["spent"] == pytest.approx(15)
    assert "m" in seen


@pytest.mark.parametrize(("gives", "complaint"), [(None, "raised TypeError"), (float("nan"), "gave nan")])
def test_a_function_that_gives_no_number_fails_the_run_and_does_not_let_it_go_on_unpaid(
    gives: Any, complaint: str
) -> None:
    llm = ScriptedLLM(lambda request: "Hi.")
    loop = Loop("loop", Agent("bot", llm), max_turns=9)
    result = Workflow(loop.pipe(limit(cost=1.0, prices=lambda model, usage: gives))).run("q")
    assert result == "agent-error"
    assert isinstance(result.error, ConfigurationError)
    assert str(result.error) == (
        f"limit: prices {complaint} for the model None; give a number, 0 or more, for each"
    )
    assert len(llm.requests) == 1


# -- turns


def test_one_turn_more_is_cut_before_its_model_is_asked() -> None:
    llm = ScriptedLLM(lambda request: "Hi.")
    loop = Loop("loop", Agent("bot", llm), max_turns=9).pipe(limit(turns=3))
    workflow = Workflow(loop)
    result = workflow.run("q")
    assert (result, len(llm.requests)) == ("limit", 3)
    assert [message.text for message in workflow.conversation] == ["q", "Hi.", "Hi.", "Hi."]


def test_the_turns_of_a_team_are_those_of_its_members(marbles: Marbles) -> None:
    a, b = marbles.llm("-a-|", "-c-|"), marbles.llm("-b-|")
    team = Sequence("team", [Agent("a", a), Sequence("two", [Agent("b", b)]), Agent("a2", a)])
    said = say("q").pipe(team, limit(turns=2), markers(), ops.filter(lambda marker: marker[0] != "delta"))
    marbles.expect_markers(said).to_be(
        [
            *((0, "start", "team"), (0, "start", "a"), (3, "response", "a"), (3, "end", "a")),
            *(
                (3, "start", "two"),
                (3, "start", "b"),
                (6, "response", "b"),
                (6, "end", "b"),
                (6, "end", "two"),
            ),
            *((6, "start", "a2"), (6, "interrupted", ""), (6, "end", "a2"), (6, "end", "team")),
            (6, "state", {"kind": "limit", "which": "turns", "budget": 2, "spent": 3}),
            (6, "result", "limit"),
        ]
    )
    marbles.allow("unused")


def test_as_many_turns_as_the_budget_has_are_done() -> None:
    llm = ScriptedLLM(lambda request: "Hi.")
    assert run(Loop("loop", Agent("bot", llm), max_turns=3).pipe(limit(turns=3))) == ("max-turns", [])


def test_each_subscription_has_a_budget_of_its_own() -> None:
    workflow = Workflow(Agent("bot", ScriptedLLM(lambda request: "Hi.")).pipe(limit(turns=1)))
    assert [workflow.run("q"), workflow.run("q")] == ["done", "done"]


# -- seconds


def test_seconds_are_those_of_the_loop(marbles: Marbles) -> None:
    llm = marbles.llm("                                      -a-b-c-d|")
    said = say("q").pipe(Agent("bot", llm), limit(seconds=4))
    marbles.expect(said.pipe(text())).to_be("         -a-b|")
    marbles.expect_subscriptions(llm).to_be("         ^---!")


def test_when_it_has_ended_no_timer_is_left() -> None:
    async def left() -> list[Any]:
        await Workflow(Agent("bot", ScriptedLLM(["Hi."])).pipe(limit(seconds=9))).arun("q")
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return [timer for timer in timers if "_time_is_up" in repr(timer) and not timer.cancelled()]

    assert asyncio.run(left()) == []


def test_the_timer_goes_with_the_subscription(marbles: Marbles) -> None:
    llm = marbles.llm("                                      -a|", "-a-b|")
    said = say("q").pipe(Agent("bot", llm), limit(seconds=9), text())
    marbles.expect(said).to_be("                      -a|")
    marbles.expect(said, unsubscribe_at="^--!").to_be("-a-")
    marbles.expect_subscriptions(llm).to_be("         ^-!", "^--!")


# -- how far the stop goes


@pytest.mark.parametrize(
    ("scope", "speakers", "code"),
    [
        ("turn", ["a", "a", "b"], "done"),
        ("team", ["a", "a", "b"], "done"),
        ("run", ["a", "a"], "agent-stop"),
    ],
)
def test_a_member_with_a_budget(scope: Any, speakers: list[str], code: str) -> None:
    llm = ScriptedLLM(lambda request: "Hi.")
    inner = Loop("loop", Agent("a", llm), max_turns=5).pipe(limit(turns=2, scope=scope))
    outer = Sequence("outer", [Sequence("inner", [inner]), Agent("b", llm)])
    workflow = Workflow(outer)
    assert workflow.run("q") == code
    assert [message.name for message in workflow.conversation[1:]] == speakers


def test_a_member_of_a_team_with_a_budget_ends_the_team_or_only_its_turn() -> None:
    def team(scope: Any) -> Any:
        llm = ScriptedLLM(lambda request: "one two three")
        member = Agent("a", llm).pipe(limit(tokens=2, scope=scope))
        return Sequence("team", [member, Agent("b", llm)])

    whole, ended = Workflow(team("turn")), Workflow(team("team"))
    assert [whole.run("q"), ended.run("q")] == ["done", "agent-stop"]
    assert [message.name for message in whole.conversation[1:]] == ["a", "b"]
    assert [message.name for message in ended.conversation[1:]] == ["a"]


def test_the_next_in_a_pipe_speaks_unless_the_run_is_stopped() -> None:
    first, second = ScriptedLLM(lambda request: "one two three four"), ScriptedLLM(["Yes."])
    a, b = Agent("a", first), Agent("b", second)

    def piped(scope: Any) -> Workflow:
        return Workflow(lambda source: source.pipe(a, limit(tokens=2, scope=scope), b))

    stopped, goes_on = piped("run"), piped("team")
    stopped.run("q")
    assert second.requests == []
    assert goes_on.run("q").text == "Yes."
    log = ("warning", "limit", "tokens", 2, 3)
    assert [workflow.conversation.transcript.log for workflow in (stopped, goes_on)] == [(log,), (log,)]


def test_the_log_and_what_was_said_stay() -> None:
    workflow = Workflow(Agent("bot", ScriptedLLM(["one two three four"])).pipe(limit(tokens=2)))
    assert workflow.run("q") == "limit"
    transcript = workflow.conversation.transcript
    assert (transcript[-1].text, transcript[-1].finish_reason) == ("one two three", "interrupted")
    assert transcript.log[-1] == ("warning", "limit", "tokens", 2, 3)


def test_a_source_that_fails_fails_and_one_without_end_is_cut(marbles: Marbles) -> None:
    error = ValueError("broken")
    source = marbles.cold("--#", error=error)
    marbles.expect(source.pipe(limit(turns=1))).to_be("--#", error=error)
    endless = marbles.cold("m--", m=marbles.message("-a|"))
    marbles.expect(endless.pipe(limit(seconds=3), text())).to_be("-a-|")


# -- arguments


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "limit: nothing is limited; give tokens=, cost=, turns= or seconds="),
        ({"turns": -1}, "limit: turns is -1; it must be a number, 0 or more"),
        ({"tokens": 1.5}, "limit: tokens is 1.5; it must be a number, 0 or more"),
        ({"seconds": True}, "limit: seconds is True; it must be a number, 0 or more"),
        (
            {"cost": 1},
            "limit: cost= and prices= go together; give prices={model: (in, out)}, per million tokens",
        ),
        (
            {"turns": 1, "prices": {"m": (1, 2)}},
            "limit: cost= and prices= go together; give prices={model: (in, out)}, per million tokens",
        ),
        (
            {"cost": 1, "prices": {"m": 1}},
            "limit: prices is no table; give {model: (in, out)} per million tokens, or a function of the "
            "model and its Usage",
        ),
        (
            {"cost": 1, "prices": {"m": (1, float("nan"))}},
            "limit: prices is no table; give {model: (in, out)} per million tokens, or a function of the "
            "model and its Usage",
        ),
        ({"turns": 1, "scope": "all"}, "limit: scope is 'all'; give 'turn', 'team' or 'run'"),
    ],
)
def test_arguments_that_will_not_do(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        limit(**options)
    assert str(raised.value) == complaint


# -- the laws, and the wire


@pytest.mark.parametrize(
    "operator", [limit(tokens=10**9, turns=10**9, seconds=10**9), limit(turns=10**9)], ids=["all", "turns"]
)
def test_it_obeys_the_laws(operator: Any) -> None:
    check_laws(operator, max_examples=5)


def test_it_obeys_the_laws_when_it_cuts() -> None:
    # what a budget cuts depends on the timing, and must
    laws = ("contract", "release", "replay", "balance", "folding", "wrapping")
    for budget in ({"tokens": 3}, {"turns": 2}, {"seconds": 3}):
        check_laws(limit(**budget), laws=laws, max_examples=5)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(
        [Call("look"), Paused(9, "one two three four five six seven eight nine ten")]
    ) as server:
        yield server


def test_over_http_the_response_is_closed(server: OpenAIServer) -> None:
    def look() -> str:
        return "nothing"

    llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
    workflow = Workflow(
        Team(llm, [Agent("bot", llm, tools=[look])], "team", max_turns=1).pipe(limit(tokens=8))
    )
    shown = list(workflow.run_stream("q"))
    assert shown[-1] == ("result", "limit")
    request = server.requests[-1]
    assert request.wait_closed(WAIT)
    assert not request.completed
    request.release()
    assert server.open_connections == 0
    assert workflow.conversation[-1].finish_reason == "interrupted"
