"""hedge: where a model is slow to begin, another one is asked as well, and the first to speak wins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex as rx
from reactivex.disposable import Disposable

from rxagents import (
    Agent,
    ChatRequest,
    Completion,
    ConfigurationError,
    ModelConnectionError,
    OpenAILLM,
    RunCancelledError,
    ScriptedLLM,
    Usage,
    Workflow,
    say,
)
from rxagents.engine.demands import demanded_by
from rxagents.llm import fallback, hedge
from rxagents.operators import text
from rxagents.testing import HTTPFault, Marbles, OpenAIServer, Paused
from rxagents.values import delta

from .valves import Valve

REQUEST = ChatRequest(({"role": "user", "content": "Hi"},))
WAIT = 10.0


def test_one_that_speaks_in_time_is_the_only_one_asked(marbles: Marbles) -> None:
    a, b = marbles.llm("--Hi---there|"), marbles.llm("never|")
    marbles.expect(hedge(a, b, after=3)(REQUEST)).to_be("--Hi---there|")
    marbles.expect_subscriptions(b).to_be()
    marbles.allow("unused")


def test_the_second_is_asked_after_a_while_and_wins(marbles: Marbles) -> None:
    a = marbles.llm("                             --------Late|")
    b = marbles.llm("                             --Hi-|")
    marbles.expect(hedge(a, b, after=3)(REQUEST)).to_be("-----Hi-|")
    marbles.expect_subscriptions(a).to_be("       ^----!")
    marbles.expect_subscriptions(b).to_be("       ---^----!")


def test_the_first_may_win_all_the_same(marbles: Marbles) -> None:
    a = marbles.llm("                             -----Hi-|")
    b = marbles.llm("                             ---Late|")
    marbles.expect(hedge(a, b, after=3)(REQUEST)).to_be("-----Hi-|")
    marbles.expect_subscriptions(b).to_be("       ---^-!")


def test_the_loser_is_let_go_of_before_the_first_token_is_told(marbles: Marbles) -> None:
    a, b = marbles.llm("-------Late|"), marbles.llm("-Hi|")
    gone: list[Any] = []
    a_gone = a.calls.subscriptions
    heard = hedge(a, b, after=2)(REQUEST).pipe(
        rx.operators.do_action(lambda item: gone.append(a_gone[0].until))
    )
    marbles.expect(heard).to_be("---Hi|")
    marbles.flush()
    assert gone[0] == 3.0


def test_several_are_asked_one_after_the_other(marbles: Marbles) -> None:
    a, b = marbles.llm("---------Late|"), marbles.llm("---------Late|")
    c = marbles.llm("-Hi|")
    marbles.expect(hedge(a, b, c, after=2)(REQUEST)).to_be("-----Hi|")
    marbles.expect_subscriptions(a).to_be("^----!")
    marbles.expect_subscriptions(b).to_be("--^--!")
    marbles.expect_subscriptions(c).to_be("----^--!")


def test_where_one_fails_the_next_is_asked_at_once_and_its_time_begins(marbles: Marbles) -> None:
    a, b = marbles.llm("-#"), marbles.llm("---------Late|")
    c = marbles.llm("-Hi|")
    marbles.expect(hedge(a, b, c, after=3)(REQUEST)).to_be("-----Hi|")
    marbles.expect_subscriptions(b).to_be("-^---!")
    marbles.expect_subscriptions(c).to_be("----^--!")


def test_where_one_fails_and_all_are_asked_the_other_is_waited_for(marbles: Marbles) -> None:
    a, b = marbles.llm("---#"), marbles.llm("----Hi|")
    marbles.expect(hedge(a, b, after=1)(REQUEST)).to_be("-----Hi|")


def test_where_the_last_is_asked_early_nobody_is_asked_when_its_time_would_have_come(
    marbles: Marbles,
) -> None:
    a, b = marbles.llm("-#"), marbles.llm("-----Hi|")
    raised: list[Any] = []

    def heed() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: raised.append(what))

    marbles.at(0, heed)
    marbles.expect(hedge(a, b, after=3)(REQUEST)).to_be("------Hi|")
    marbles.flush()
    assert raised == []


def test_who_leaves_while_a_later_one_begins_lets_go_of_it(marbles: Marbles) -> None:
    gone: list[str] = []

    def eager(request: ChatRequest) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            observer.on_next("Hi")
            return Disposable(lambda: gone.append("gone"))

        return rx.create(subscribe)

    heard = hedge(marbles.llm("-----never|"), eager, after=2)(REQUEST)
    marbles.expect(heard.pipe(rx.operators.take(1))).to_be("--(Hi|)")
    marbles.flush()
    assert gone == ["gone"]


def test_when_all_have_failed_the_last_error_tells_of_the_others(marbles: Marbles) -> None:
    last = ModelConnectionError("a lost")
    a = marbles.llm("-----#", name="A", error=last)
    b = marbles.llm("-#", name="B", error=ValueError("b broke"))
    marbles.expect(hedge(a, b, after=2)(REQUEST)).to_be("-----#", error=last)
    marbles.flush()
    assert last.__notes__ == ["before it, B: ValueError: b broke"]


def test_the_winner_may_fail_later(marbles: Marbles) -> None:
    error = ModelConnectionError("lost")
    a, b = marbles.llm("--Hi-#", error=error), marbles.llm("-------Late|")
    marbles.expect(hedge(a, b, after=1)(REQUEST)).to_be("--Hi-#", error=error)
    marbles.expect_subscriptions(b).to_be("-^!")


def test_an_opening_delta_wins_nothing_and_comes_with_the_first_token(marbles: Marbles) -> None:
    a = marbles.llm("o----Late|", o=delta("", role="assistant"))
    b = marbles.llm("p-Hi-----|", p=delta("", reasoning=""))
    marbles.expect(hedge(a, b, after=1)(REQUEST)).to_be("---(p Hi)-|", p={"reasoning": ""})


def test_a_thought_or_a_call_is_a_token(marbles: Marbles) -> None:
    a = marbles.llm("--t---Hi|", t=delta(reasoning="Hm"))
    b = marbles.llm("--Late|")
    marbles.expect(hedge(a, b, after=1)(REQUEST)).to_be("--t---Hi|", t={"reasoning": "Hm"})
    c, d = marbles.llm("--@find|"), marbles.llm("--Late|")
    marbles.expect(hedge(c, d, after=1)(REQUEST)).to_be("--@find|")


def test_an_answer_without_a_word_wins_too(marbles: Marbles) -> None:
    a, b = marbles.llm("--|"), marbles.llm("----Late|")
    marbles.expect(hedge(a, b, after=1)(REQUEST)).to_be("--|")
    marbles.expect_subscriptions(b).to_be("-^!")


def test_with_no_time_between_all_are_asked_at_once(marbles: Marbles) -> None:
    a, b = marbles.llm("---Late|"), marbles.llm("--Hi|")
    marbles.expect(hedge(a, b, after=0)(REQUEST)).to_be("--Hi|")
    marbles.expect_subscriptions(a).to_be("^-!")


def test_disposing_cancels_all_that_race(marbles: Marbles) -> None:
    a, b, c = marbles.llm("-----Late|"), marbles.llm("-----Late|"), marbles.llm("never|")
    marbles.expect(hedge(a, b, c, after=1.5)(REQUEST), unsubscribe_at="--!").to_be("-")
    marbles.expect_subscriptions(a).to_be("^-!")
    marbles.expect_subscriptions(c).to_be()
    marbles.allow("unused")


def test_the_end_of_the_loop_ends_the_race(marbles: Marbles) -> None:
    error = RunCancelledError("the loop has ended")
    a, b, c = marbles.llm("--#", error=error), marbles.llm("-----Late|"), marbles.llm("never|")
    marbles.expect(hedge(a, b, c, after=1.5)(REQUEST)).to_be("--#", error=error)
    marbles.expect_subscriptions(c).to_be()
    marbles.allow("unused")


def test_in_an_agent_only_the_winner_is_shown_and_paid(marbles: Marbles) -> None:
    usage = Usage(total_tokens=5, completion_tokens=5)
    a, b = marbles.llm("-----Late|", usage=usage), marbles.llm("-Hi|", usage=usage)
    workflow = Workflow(Agent("bot", hedge(a, b, after=2)))
    marbles.expect_markers(workflow.observe("q"), only=["delta", "response"]).to_be(
        [(3, "delta", "Hi"), (5, "response", "Hi")]
    )
    marbles.flush()
    assert workflow.conversation[-1].usage == usage


def test_what_failed_without_a_word_is_paid() -> None:
    took = rx.concat(rx.of(Completion(Usage(total_tokens=3))), rx.throw(ValueError("no")))
    llm = hedge(lambda _: took, lambda _: rx.of("Hi", Completion(Usage(total_tokens=4))), after=1)
    result = Workflow(Agent("bot", llm)).run("q")
    assert (result.text, result.usage) == ("Hi", Usage(total_tokens=7))


def test_while_a_reader_pauses_nobody_else_is_asked(marbles: Marbles) -> None:
    a, b = marbles.llm("---------Hi|"), marbles.llm("-Yes|")
    valve = Valve()
    answer = hedge(a, b, after=3)(REQUEST)

    def read() -> None:
        with demanded_by(valve):
            answer.subscribe(on_next=heard.append)

    heard: list[Any] = []
    marbles.at(0, read)
    marbles.at(1, valve.close)
    marbles.at(5, valve.open)
    marbles.expect_subscriptions(b).to_be("-------^---!")
    marbles.flush()
    assert heard[0] == "Yes"
    assert valve.watchers == 0


def test_models_that_answer_at_once() -> None:
    llm = hedge(lambda _: rx.throw(ValueError("no")), lambda _: rx.of("He", "llo"), after=60)
    assert Workflow(Agent("bot", llm)).run("Hi").text == "Hello"


def test_it_composes_with_fallback(marbles: Marbles) -> None:
    a, b, c = marbles.llm("-#"), marbles.llm("------Late|"), marbles.llm("-Hi|")
    llm = hedge(fallback(a, b), c, after=3)
    marbles.expect(say("q").pipe(Agent("bot", llm), text())).to_be("----Hi|")
    marbles.expect_subscriptions(b).to_be("-^--!")


@pytest.mark.parametrize("after", [-1, "1", None, float("inf"), True])
def test_a_time_of_no_use(after: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"hedge: after is .*; it must be a number of seconds, 0 or more"
    ):
        hedge(ScriptedLLM([]), after=after)


def test_it_names_its_models() -> None:
    a = OpenAILLM("a", base_url="http://a/v1", api_key="k")
    assert repr(hedge(a, a, after=1.5)) == f"hedge({a!r}, {a!r}, after=1.5)"


def served(server: OpenAIServer) -> OpenAILLM:
    return OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0)


def test_over_the_wire_the_loser_is_closed_before_its_next_token() -> None:
    def answer(_: Any) -> str:
        assert slow.wait_for_requests(1, WAIT)
        return "Hello."

    with OpenAIServer([Paused(1, "late late late")]) as slow, OpenAIServer(answer) as fast:
        workflow = Workflow(Agent("bot", hedge(served(slow), served(fast), after=0.05)))
        assert workflow.run("Hi").text == "Hello."
        (request,) = slow.requests
        assert request.wait_closed(WAIT)
        request.release()
        assert request.events_sent <= 1
        assert not request.completed


def test_over_the_wire_where_one_refuses_the_other_is_asked_at_once() -> None:
    with OpenAIServer([HTTPFault(503, "busy")]) as one, OpenAIServer(["Hello."]) as other:
        workflow = Workflow(Agent("bot", hedge(served(one), served(other), after=3600)))
        assert workflow.run("Hi").text == "Hello."


def test_over_the_wire_both_are_closed_when_the_task_is_cancelled() -> None:
    with OpenAIServer([Paused(1, "late")]) as one, OpenAIServer([Paused(1, "late")]) as other:
        workflow = Workflow(Agent("bot", hedge(served(one), served(other), after=0)))

        async def main() -> None:
            task = asyncio.create_task(workflow.arun("Hi"))
            for server in (one, other):
                assert await asyncio.to_thread(server.wait_for_requests, 1, WAIT)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(main())
        for server in (one, other):
            assert server.requests[0].wait_closed(WAIT)
            assert not server.requests[0].completed
