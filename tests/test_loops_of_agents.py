"""Loop: the same again, until it is enough; how it ends, how it nests, and that a turn costs what it adds."""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    Loop,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
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
from rxagents.llm.wire import CUT_OFF
from rxagents.operators import markers, text, transcript, until
from rxagents.testing import Marbles, OpenAIServer
from tests.team_views import QUITTER, RESPONSE, STOPPER, only


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def result(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(markers(), ops.last(), ops.map(lambda marker: marker[1]))


# -- turns


def test_it_asks_again_on_the_same_conversation_as_the_diagram_draws_it(marbles: Marbles) -> None:
    llm = marbles.llm("            a--|", "b--|")
    source = marbles.cold("     -q-|", q=MessageStream.of(UserMessage("q")))
    marbles.expect(source.pipe(Loop("again", Agent("A", llm), max_turns=2))).to_be(
        """
               ---(again|)
        again  ---A--A.2|
        A      ---m1-|
        m1     ---a--|
        A.2    ------m2-|
        m2     ------b--|
        """
    )
    marbles.flush()
    assert [message["content"] for message in llm.requests[1].messages] == ["q", "a"]


def test_a_list_of_steps_is_one_turn(marbles: Marbles) -> None:
    seen: list[int] = []

    def enough(heard: Transcript) -> bool:
        seen.append(len(heard))
        return False

    both = Loop("again", [talker("a"), talker("b")], until=enough, max_turns=2)
    spoken = say("q").pipe(both, markers(), only("response"), ops.map(lambda m: m[1][0]["name"]))
    marbles.expect(spoken).to_be("(a b a b|)")
    marbles.flush()
    assert seen == [3, 5]


@pytest.mark.parametrize("is_async", [False, True])
def test_until_ends_it_after_a_turn(marbles: Marbles, is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        await asyncio.sleep(1)
        return len(heard) > 4

    enough = later if is_async else lambda heard: len(heard) > 4
    ended = say(SystemMessage("s"), "q").pipe(Loop("again", talker("a"), enough))
    marbles.expect(ended.pipe(markers(), only("response", "result"))).to_be(
        "aaa(r|)" if is_async else "(aaar|)", a=RESPONSE, r=("result", "done")
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_an_until_that_raises_fails_it(marbles: Marbles, is_async: bool) -> None:
    async def later(heard: Transcript) -> bool:
        raise ValueError("no")

    def enough(heard: Transcript) -> bool:
        raise ValueError("no")

    failed = marbles.probe()
    ended = say("q").pipe(Loop("again", talker("a"), later if is_async else enough), text(), failed)
    marbles.expect(ended).to_be("(a #)", error=ValueError("no"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in again > until"]


def test_an_until_without_a_truth_fails_it_where_it_stands(marbles: Marbles) -> None:
    class Odd:
        def __bool__(self) -> bool:
            raise ValueError("neither")

    failed = marbles.probe()
    ended = say("q").pipe(Loop("again", talker("a"), lambda heard: Odd()), text(), failed)
    marbles.expect(ended).to_be("(a #)", error=ValueError("neither"))
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in again > until"]


def test_it_ends_after_so_many_turns(marbles: Marbles) -> None:
    seven = say("q").pipe(Loop("again", talker("a"), max_turns=7))
    marbles.expect(seven.pipe(markers(), only("response", "result"))).to_be(
        "(aaaaaaar|)", a=RESPONSE, r=("result", "max-turns")
    )
    assert Loop("again", talker("a")).max_turns == 50


def test_without_an_end_it_goes_on_until_it_is_cut(marbles: Marbles) -> None:
    llm = marbles.llm(lambda request: "a-b-|")
    stop = marbles.hot("    ---------s")
    ever = Loop("again", Agent("a", llm), max_turns=None)
    cut = say("q").pipe(ever, until(stop), markers(), only("response", "interrupted", "result"))
    marbles.expect(cut).to_be(
        "             ----r---r(ix|)", r=RESPONSE, i=("interrupted", ANY), x=("result", "interrupted")
    )


def test_for_ever_without_ever_waiting_it_can_be_disposed_all_the_same() -> None:
    turns = 0
    reached = asyncio.Event()

    def tick(source: Observable[Any]) -> Observable[Any]:
        nonlocal turns
        turns += 1
        if turns == 100:
            reached.set()
        return rx.empty()

    async def disposed() -> tuple[str, int]:
        run = Workflow(Loop("again", as_agent("tick", tick), max_turns=None)).start("q")
        await reached.wait()
        run.dispose()
        ended, so_far = await run, turns
        for _ in range(20):
            await asyncio.sleep(0)
        return ended, turns - so_far

    assert asyncio.run(disposed()) == ("interrupted", 0)


# -- stops


def test_a_stop_inside_ends_it_and_is_consumed(marbles: Marbles) -> None:
    again = Loop("again", [talker("a"), STOPPER, talker("b")])
    folded, ended = (say("q").pipe(again, operator) for operator in (transcript(), result))
    marbles.expect(ended).to_be("(r|)", r="agent-stop")
    marbles.expect(folded.pipe(ops.map(lambda t: ([m.text for m in t], t.log)))).to_be(
        "(x|)", x=(["a"], (("info", "loop/stop", "again"),))
    )


def test_the_unattended_user_ends_it(marbles: Marbles) -> None:
    left = say("q").pipe(Loop("again", [talker("a"), User(mode="unattended")]))
    marbles.expect(left.pipe(markers(), only("start", "result"))).to_be(
        "(lar|)", l=("start", "again"), a=("start", "a"), r=("result", "agent-stop")
    )


def test_a_stop_in_a_team_that_is_its_step_ends_only_that_team(marbles: Marbles) -> None:
    inner = Team(ScriptedLLM([]), [STOPPER], "inner")
    marbles.expect(say("q").pipe(Loop("again", inner, max_turns=3), result)).to_be("(r|)", r="max-turns")


def test_a_stop_in_a_loop_ends_only_that_loop(marbles: Marbles) -> None:
    inner = Loop("inner", [talker("a"), STOPPER])
    outer = Loop("outer", [inner, talker("b")], max_turns=2)
    spoken = say("q").pipe(outer, markers(), only("response"), ops.map(lambda m: m[1][0]["name"]))
    marbles.expect(spoken).to_be("(a b a b|)")


def test_a_stop_of_the_run_goes_on_outwards(marbles: Marbles) -> None:
    inner = Loop("inner", [talker("a"), QUITTER, talker("b")])
    outer = Loop("outer", [inner, talker("c")])
    ended = say("q").pipe(outer, markers(), only("response", "result"))
    marbles.expect(ended).to_be("(ar|)", a=RESPONSE, r=("result", "agent-stop"))


# -- errors and cuts


def test_a_step_that_fails_fails_it(marbles: Marbles) -> None:
    llm = marbles.llm("a-|", "-#", error=ValueError("no"))
    failing = say("q").pipe(Loop("again", Agent("a", llm)), markers(), only("error", "result"))
    marbles.expect(failing).to_be(
        "---(er|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "again > a"}),
        r=("result", "agent-error"),
    )


def test_a_step_that_was_cut_is_heard_and_it_goes_on(marbles: Marbles) -> None:
    stop = marbles.hot("                            --s")
    llm = marbles.llm("                             -a-b-c|", "(ok|)")
    cut = as_agent("cut", lambda source: source.pipe(Agent("x", llm), until(stop)))
    both = say("q").pipe(Loop("again", cut, max_turns=2), markers(), only("interrupted", "response"))
    marbles.expect(both).to_be("                     --(ir|)", i=("interrupted", ANY), r=RESPONSE)
    marbles.flush()
    assert llm.requests[1].messages[-2:] == (
        {"role": "assistant", "content": "a", "name": "x"},
        {"role": "system", "content": CUT_OFF},
    )


def test_disposing_it_cancels_the_step(marbles: Marbles) -> None:
    llm = marbles.llm("                                                   --|", "----x----|")
    marbles.expect(say("q").pipe(Loop("again", Agent("a", llm)), text()), unsubscribe_at=4).to_be("----")
    marbles.expect_subscriptions(llm).to_be("                     ^-!", "--^-!")


# -- what it costs


@pytest.mark.timeout(120)
def test_20_000_turns_take_constant_stack_and_each_costs_what_it_adds() -> None:
    depths: list[int] = []
    calls: list[int] = []
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    @agent
    def tick(heard: Transcript) -> str:
        depth, frame = 0, sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
        depths.append(depth)
        calls.append(count)
        # counted for a hundred turns early on, and for a hundred late
        sys.setprofile(counted if len(calls) in range(100, 201) or len(calls) > 19_900 else None)
        return f"{len(heard)}"

    async def run() -> tuple[str, str, int]:
        workflow = Workflow(Loop("again", tick, max_turns=20_000))
        ended = await workflow.arun("q")
        return ended, ended.text, len(workflow.conversation)

    before = sys.getprofile()
    try:
        assert asyncio.run(run()) == ("max-turns", "20000", 20_001)
    finally:
        sys.setprofile(before)
    assert set(depths[1:]) == {depths[1]}
    early, late = calls[199] - calls[109], calls[19_999] - calls[19_909]
    assert early > 0
    assert late <= early * 1.02


# -- over the wire


def test_over_the_wire_it_writes_until_it_is_enough() -> None:
    def reply(body: Any) -> str:
        drafts = [message for message in body["messages"] if message["role"] == "assistant"]
        return f"Draft {len(drafts) + 1}"

    with OpenAIServer(reply) as server:
        writer = Agent("writer", OpenAILLM("m", base_url=server.base_url, api_key="any"))
        workflow = Workflow(Loop("again", writer, until=lambda heard: heard[-1].text == "Draft 3"))
        ended = workflow.run("Write.")
    assert (ended, ended.text) == ("done", "Draft 3")
    assert [message.text for message in workflow.conversation] == ["Write.", "Draft 1", "Draft 2", "Draft 3"]
    assert len(server.requests) == 3


# -- construction


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"step": []}, "loop again has no steps"),
        ({"step": "ab"}, "loop again: step is a str; give a list of steps"),
        ({"step": [talker("a"), 3]}, "loop again: int is no step; give an Agent"),
        ({"step": lambda source: source}, "loop again: function is no step"),
        ({"step": [talker("a"), talker("a")]}, "two steps have the id 'a'"),
        ({"until": 3}, "loop again: until is a int; give a function of the Transcript"),
        ({"max_turns": 0}, "max_turns is 0; it must be a number, 1 or more, or None"),
        ({"max_turns": "5"}, "max_turns is '5'"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Loop(**({"id": "again", "step": talker("a")} | options))


def test_a_variant_of_it(marbles: Marbles) -> None:
    twice = Loop("again", talker("a"), max_turns=3).with_(max_turns=2, id="twice")
    marbles.expect(say("q").pipe(twice, text("/"))).to_be("(a / a|)")
