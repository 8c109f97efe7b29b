"""Chain: each hears the one before as it speaks; all is shown in order, and counted once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    Chain,
    ConfigurationError,
    Conversation,
    Loop,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    Sequence,
    StateUpdate,
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
from rxagents.llm import Reply
from rxagents.operators import answer, map_tokens, markers, messages, transcript, until
from rxagents.replays import Replay
from rxagents.testing import Marbles, OpenAIServer, Paused
from tests.team_views import RESPONSE, STOPPER, only, speakers


def said(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(transcript(), ops.map(lambda folded: [message.text for message in folded]))


def talker(id: str, said: str | None = None) -> Agent:
    return Agent(id, lambda request: rx.of(said or id))


def paid(id: str, tokens: int) -> Agent:
    return Agent(id, ScriptedLLM([Reply(id, usage=Usage(total_tokens=tokens))] * 3))


def loud(id: str = "up") -> Any:
    return as_agent(id, lambda source: source.pipe(messages(), map_tokens(str.upper)))


@agent.live
async def echo(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
    async for message in heard:
        yield f"{message.name} says {(await message).text}"


@agent.live
async def passes(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
    async for message in heard:
        yield message


def source(marbles: Marbles) -> Observable[Any]:
    return marbles.cold("-q-|", q=MessageStream.of(UserMessage("q")))


# -- what each hears


def test_each_step_hears_only_what_the_one_before_said(marbles: Marbles) -> None:
    first, second = marbles.llm("a--|"), marbles.llm("b-e|")
    third = marbles.llm("d-|")
    chain = Chain("c", [Agent("A", first), Agent("B", second), Agent("C", third)])
    marbles.expect(source(marbles).pipe(chain)).to_be(
        """
            ---(c|)
        c   ---A--B--C-|
        A   ---m1-|
        m1  ---a--|
        B   ------m2-|
        m2  ------b-e|
        C   ---------m3|
        m3  ---------d-|
        """
    )
    marbles.flush()
    heard = [[message["content"] for message in llm.requests[0].messages] for llm in (first, second, third)]
    assert heard == [["q"], ["a"], ["be"]]


def test_the_first_step_hears_the_whole_conversation_and_the_others_its_variables(marbles: Marbles) -> None:
    heard: list[Any] = []

    def note(transcript: Transcript) -> Any:
        heard.append(([message.text for message in transcript], dict(transcript.variables)))
        return [StateUpdate("v", variables={"n": len(heard)}), "x"]

    one, two, three = (agent(note, id=id) for id in ("one", "two", "three"))
    workflow = Workflow(Chain("c", [one, two, three]), Conversation([UserMessage("before")], {"k": 0}))
    marbles.expect(workflow.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    marbles.flush()
    assert heard == [
        (["before", "q"], {"k": 0}),
        (["x"], {"k": 0, "n": 1}),
        (["x"], {"k": 0, "n": 2}),
    ]


@pytest.mark.parametrize("operators", [1, 2, 5])
def test_tokens_go_straight_through_who_hears_live(marbles: Marbles, operators: int) -> None:
    steps = [loud(f"up{number}") for number in range(operators)]
    chain = Chain("c", [Agent("a", marbles.llm("--Hi----you---|")), *steps])
    shown = say("q").pipe(chain, markers(), ops.filter(lambda m: m[0].path == ("c", steps[-1].id)))
    marbles.expect(shown).to_be(
        "s-d-----f-----(re|)",
        s=("start", steps[-1].id),
        d=("delta", ANY),
        f=("delta", ANY),
        r=RESPONSE,
        e=("end", steps[-1].id),
    )


def test_one_who_hears_live_replies_while_the_others_go_on(marbles: Marbles) -> None:
    spoken = [marbles.message("--a-|"), marbles.message("--b--------|")]
    two = agent(lambda heard: spoken, id="two")

    replies = say("q").pipe(Chain("c", [two, echo]), markers(), only("response"))
    marbles.expect(replies.pipe(ops.map(lambda m: m[1][0]["content"]))).to_be(
        "----(ax)---(by|)", a="a", x="two says a", b="b", y="two says b"
    )


def test_one_who_does_not_hear_live_waits_for_the_end(marbles: Marbles) -> None:
    second = marbles.llm("-z|")
    chain = Chain("c", [Agent("a", marbles.llm("-x--y-|")), loud(), Agent("b", second)])
    marbles.expect(say("q").pipe(chain, answer(), ops.map(str))).to_be("--------(z|)")
    marbles.expect_subscriptions(second).to_be("------^-!")
    marbles.flush()
    assert [message["content"] for message in second.requests[0].messages] == ["XY"]


def test_a_chain_within_a_chain_hears_as_its_first_step_does(marbles: Marbles) -> None:
    inner = Chain("inner", [loud(), loud("again")])
    outer = Chain("outer", [Agent("a", marbles.llm("-x--y-|")), inner])
    shown = say("q").pipe(outer, markers(), ops.filter(lambda m: m[0] == "delta" and "again" in m[0].path))
    marbles.expect(shown.pipe(ops.map(lambda m: m[1]["content"]))).to_be("-X--Y-|")


def test_behind_a_pipe_it_hears_live_too(marbles: Marbles) -> None:
    piped = say("q").pipe(Agent("a", marbles.llm("-x--y-|")), Chain("c", [loud(), loud("again")]))
    shown = piped.pipe(markers(), ops.filter(lambda m: m[0] == "delta" and "again" in m[0].path))
    marbles.expect(shown.pipe(ops.map(lambda m: m[1]["content"]))).to_be("-X--Y-|")


# -- what is shown, and what stays


def test_every_block_is_shown_in_the_order_of_the_steps(marbles: Marbles) -> None:
    chain = Chain("c", [Agent("a", marbles.llm("-----x|")), loud(), echo, talker("b")])
    shown = say("q").pipe(chain, markers(), only("start", "end"))
    marbles.expect(shown.pipe(ops.map(lambda m: f"{m[0][0]}:{m[1]}"))).to_be(
        "(1234)(567890|)",
        **{"1": "s:c", "2": "s:a", "3": "s:up", "4": "s:echo"},
        **{"5": "e:a", "6": "e:up", "7": "e:echo", "8": "s:b", "9": "e:b", "0": "e:c"},
    )


def test_the_conversation_holds_all_of_it_and_the_answer_is_the_last_steps(marbles: Marbles) -> None:
    chain = Chain("c", [talker("a", "draft"), talker("b", "better"), talker("d", "best")])
    marbles.expect(say("q").pipe(chain, said)).to_be("(x|)", x=["draft", "better", "best"])
    marbles.expect(say("q").pipe(chain, answer(), ops.map(str))).to_be("(best|)")


def test_it_may_keep_only_what_the_last_step_says(marbles: Marbles) -> None:
    sets = agent(lambda heard: [StateUpdate("v", variables={"n": 1}), "draft"], id="sets")
    chain = Chain("c", [sets, loud(), paid("b", 5)], keep="last")
    workflow = Workflow(chain)
    marbles.expect(workflow.observe("q").pipe(only("response", "result"))).to_be(
        "(abcr|)", a=RESPONSE, b=RESPONSE, c=RESPONSE, r=("result", "done")
    )
    marbles.flush()
    assert [message.text for message in workflow.conversation] == ["q", "b"]
    assert workflow.conversation.variables == {"n": 1}
    assert workflow.conversation.metrics["total_tokens"] == 5


def test_a_message_that_is_passed_on_as_it_is_counts_once(marbles: Marbles) -> None:
    chain = Chain("c", [paid("a", 3), passes])
    last = Chain("c", [paid("a", 3), passes], keep="last")
    for kept in (chain, last):
        folded = say("q").pipe(kept, transcript())
        marbles.expect(folded.pipe(ops.map(lambda t: ([m.text for m in t], t.usage.total_tokens)))).to_be(
            "(x|)", x=(["a"], 3)
        )


STEPS: dict[str, Callable[[], list[Any]]] = {
    "agents": lambda: [paid("a", 1), paid("b", 10), paid("d", 100)],
    "live": lambda: [paid("a", 1), echo, paid("b", 10), passes, paid("d", 100)],
    "operators": lambda: [paid("a", 1), loud(), paid("b", 10), loud("again"), paid("d", 100)],
    "an agent within an operator": lambda: [
        paid("a", 1), as_agent("in", lambda source: source.pipe(paid("b", 10), paid("d", 100)))
    ],
    "a chain within a chain": lambda: [paid("a", 1), Chain("i", [loud(), paid("b", 10)]), paid("d", 100)],
    "a sequence": lambda: [paid("a", 1), Sequence("i", [paid("b", 10), paid("d", 100)])],
}  # fmt: skip


@pytest.mark.parametrize("keep", ["all", "last"])
@pytest.mark.parametrize("steps", STEPS)
def test_all_that_it_takes_is_counted_once(marbles: Marbles, steps: str, keep: Any) -> None:
    chain = Chain("c", STEPS[steps](), keep=keep)
    first, piped = Workflow(chain), say("q").pipe(Chain("c", STEPS[steps](), keep=keep), talker("after"))
    marbles.expect(first.observe("q").pipe(only("result"))).to_be("(r|)", r=("result", "done"))
    total = piped.pipe(transcript(), ops.map(lambda folded: folded.usage.total_tokens))
    marbles.expect(total).to_be("(x|)", x=111)
    marbles.flush()
    assert first.conversation.metrics["total_tokens"] == 111


def test_what_was_heard_live_from_before_it_is_counted_once(marbles: Marbles) -> None:
    for first in (loud(), echo, as_agent("in", lambda source: source.pipe(paid("b", 10)))):
        piped = say("q").pipe(paid("a", 1), Chain("c", [first, paid("d", 100)]))
        total = piped.pipe(transcript(), ops.map(lambda folded: folded.usage.total_tokens))
        marbles.expect(total).to_be("(x|)", x=111 if getattr(first, "id", "") == "in" else 101)


def test_state_that_is_passed_on_is_shown_once(marbles: Marbles) -> None:
    noting = agent(lambda heard: StateUpdate("note", {"n": 1}), id="noting")
    bare = as_agent("bare", lambda source: just(StateUpdate("note", {"n": 2})))
    chain = Chain("c", [noting, echo, bare, passes, talker("b")])
    notes = say("q").pipe(chain, markers(state=True), only("state"), ops.map(lambda m: m[1].get("n")))
    marbles.expect(notes).to_be("(xy|)", x=1, y=2)


# -- its ends


def test_a_step_that_fails_fails_it_after_its_tokens(marbles: Marbles) -> None:
    chain = Chain("c", [Agent("a", marbles.llm("-x---#", error=ValueError("no"))), loud(), talker("b")])
    failed = say("q").pipe(chain, markers(), only("delta", "error", "result"))
    marbles.expect(failed).to_be(
        "-(pq)(xr|)",
        p=("delta", ANY),
        q=("delta", ANY),
        x=("error", {"type": "ValueError", "message": "no", "where": "c > a"}),
        r=("result", "agent-error"),
    )


def test_a_live_step_that_fails_fails_it(marbles: Marbles) -> None:
    @agent.live
    async def fails(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for message in heard:
            await message
            raise ValueError("no")
            yield

    llm = marbles.llm("-x|")
    failed = say("q").pipe(
        Chain("c", [Agent("a", llm), fails, talker("b")]), markers(), only("error", "result")
    )
    marbles.expect(failed).to_be(
        "--(er|)",
        e=("error", {"type": "ValueError", "message": "no", "where": "c > fails"}),
        r=("result", "agent-error"),
    )


def test_leaving_it_cancels_all(marbles: Marbles) -> None:
    llm = marbles.llm("-x----|")
    left = marbles.probe()
    chain = Chain("c", [Agent("a", llm), loud(), echo])
    marbles.expect(say("q").pipe(chain, markers(), only("interrupted"), left), unsubscribe_at=3).to_be("---")
    marbles.expect_subscriptions(llm).to_be("^--!")


def test_cutting_it_cuts_all(marbles: Marbles) -> None:
    llm = marbles.llm("     -x-----y|")
    stop = marbles.hot("    -----s")
    chain = Chain("c", [Agent("a", llm), loud(), talker("b")])
    cut = say("q").pipe(chain, until(stop), markers(), only("start", "interrupted", "result"))
    marbles.expect(cut).to_be(
        "(cau)(ijr|)", c=("start", "c"), a=("start", "a"), u=("start", "up"),
        i=("interrupted", ANY), j=("interrupted", ANY), r=("result", "interrupted"),
    )  # fmt: skip
    marbles.expect_subscriptions(llm).to_be("^----!")


def test_a_stop_ends_it_and_the_loop_around(marbles: Marbles) -> None:
    for stopper in (STOPPER, User(mode="unattended")):
        chain = Chain("c", [talker("a"), stopper, talker("b")])
        marbles.expect(say("q").pipe(Loop("l", chain), speakers)).to_be("(a|)")
        ended = say("q").pipe(Loop("l", [chain]), markers(), only("result"))
        marbles.expect(ended).to_be("(r|)", r=("result", "agent-stop"))


def test_a_stop_in_a_sequence_that_is_a_step_ends_only_that_sequence(marbles: Marbles) -> None:
    chain = Chain("c", [Sequence("s", [talker("a"), STOPPER, talker("never")]), talker("b")])
    marbles.expect(say("q").pipe(chain, speakers)).to_be("(a b|)")


def test_a_stop_of_the_run_ends_it_where_it_stands(marbles: Marbles) -> None:
    quitter = as_agent("q", lambda source: just(StateUpdate("stop", stop="all", scope="run")))
    for steps in ([talker("a"), quitter, talker("b")], [talker("a"), Sequence("s", [quitter]), talker("b")]):
        ended = say("q").pipe(Sequence("around", [Chain("c", steps), talker("d")]), speakers)
        marbles.expect(ended).to_be("(a|)")


def test_it_is_done_after_its_last_step(marbles: Marbles) -> None:
    ended = say("q").pipe(Chain("c", [talker("a"), loud()]), markers(), only("result"))
    marbles.expect(ended).to_be("(r|)", r=("result", "done"))


def test_two_runs_at_once_do_not_meet(marbles: Marbles) -> None:
    chain = Chain("c", [Agent("a", marbles.llm("-one|", "-two|")), loud(), echo], keep="last")
    for word in ("ONE", "TWO"):
        replies = say("q").pipe(chain, answer(), ops.map(str))
        marbles.expect(replies).to_be("----(x|)", x=f"a says {word}")


# -- over the wire


def test_over_the_wire_each_token_is_changed_while_the_next_one_is_still_to_come() -> None:
    with OpenAIServer(lambda body: Paused(4, "one two three four")) as server:
        writer = Agent("writer", OpenAILLM("m", base_url=server.base_url, api_key="any"))
        shown: list[str] = []
        for mark, content in Workflow(Chain("c", [writer, loud()])).run_stream("Count."):
            if mark == "delta" and mark.path == ("c", "up") and content["content"]:
                shown.append(content["content"])
                if len(shown) == 3:
                    assert shown == ["ONE", " TWO", " THREE"]
                    server.release()
            if mark == "result":
                assert content == "done"
    assert "".join(shown) == "ONE TWO THREE FOUR"


# -- construction


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"id": "a b"}, "the id 'a b'"),
        ({"steps": []}, "chain c has no steps"),
        ({"steps": "ab"}, "chain c: steps is a str; give a list of steps"),
        ({"steps": [3]}, "chain c: int is no step"),
        ({"steps": [talker("a"), talker("a")]}, "two steps have the id 'a'; ids must differ"),
        ({"keep": "first"}, "chain c: keep is 'all' or 'last', not 'first'"),
    ],
)
def test_settings_that_do_not_do_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Chain(**({"id": "c", "steps": [talker("a")]} | options))
