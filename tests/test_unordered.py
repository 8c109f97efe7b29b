"""unordered: delivered as it comes, and what stands after it waits for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import Agent, InputError, ScriptedLLM, Transcript, agent, say, stream, unordered
from rxagents.operators import markers, text, transcript, until
from rxagents.testing import Marbles
from rxagents.testing.laws import check_laws
from tests.team_views import only


def replied(thing: Any) -> Observable[Any]:
    return say("q").pipe(agent(lambda _: thing, id="f"))


# -- the order


def test_its_parts_are_delivered_as_they_begin_and_what_stands_after_it_waits(marbles: Marbles) -> None:
    a = marbles.cold(
        """
            ---m1-----|
        m1  ---a---a-|
        """
    )
    b = marbles.cold(
        """
            -m2|
        m2  -b------b|
        """
    )
    marbles.expect_markers(
        replied(["first", unordered(a, b), "last"]).pipe(markers(), only("delta", "response"))
    ).to_be(
        [
            (0, "delta", "first"),
            (0, "response", "first"),
            (1, "delta", "b"),
            (3, "delta", "a"),
            (7, "delta", "a"),
            (8, "delta", "b"),
            (9, "response", "bb"),
            (9, "response", "aa"),
            (10, "delta", "last"),
            (10, "response", "last"),
        ]
    )


def test_tokens_at_the_same_time_are_told_apart_by_path_and_id(marbles: Marbles) -> None:
    llm = marbles.llm("-a-a-a|", "b-b-b|")
    one, two = Agent("one", llm), Agent("two", llm)
    marks: list[Any] = []
    said = replied(unordered(one.ask("q"), two.ask("q"))).pipe(
        markers(), only("delta"), ops.do_action(marks.append)
    )
    marbles.expect(said.pipe(ops.map(lambda marker: marker[1]["content"])), words=False).to_be("bababa|")
    marbles.flush()
    assert [mark.path for mark, _ in marks] == [("f", "two"), ("f", "one")] * 3
    assert len({mark.id for mark, _ in marks}) == 2


def test_all_of_it_runs_at_once_and_so_does_what_stands_around_it(marbles: Marbles) -> None:
    llms = [marbles.llm(answer) for answer in ("--a|", "-b|", "---c|", "d|")]
    a, b, c, d = (say("q").pipe(Agent("bot", llm)) for llm in llms)
    marks = replied([a, unordered(b, c), d]).pipe(markers(), only("response"))
    marbles.expect_markers(marks).to_be(
        [(3, "response", "a"), (3, "response", "b"), (4, "response", "c"), (4, "response", "d")]
    )
    for llm, picture in zip(llms, ["^--!", "^-!", "^---!", "^!"], strict=True):
        marbles.expect_subscriptions(llm).to_be(picture)


def later(seconds: float, *things: Any) -> Any:
    async def wait() -> Any:
        await asyncio.sleep(seconds)
        return list(things)

    return wait()


async def paced(*things: Any) -> AsyncIterator[Any]:
    for thing in things:
        await asyncio.sleep(1)
        yield thing


def pulled(*things: Any) -> Iterator[Any]:
    yield from things


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (lambda: unordered(later(2, "a"), "b"), "b-(a|)"),
        (lambda: [[[unordered(later(2, "a"), "b")]], "c"], "b-(a c|)"),
        (lambda: unordered([[later(2, "a")], "b"]), "b-(a|)"),
        (lambda: unordered(unordered(later(2, "a"), "b"), later(1, "c")), "bc(a|)"),
        (lambda: unordered(later(2, unordered(later(2, "a"), "b")), later(3, "c")), "--bc(a|)"),
        (lambda: unordered(paced(later(2, "a"), "b")), "--b(a|)"),
        (lambda: unordered(pulled(later(2, "a"), "b")), "b-(a|)"),
        (lambda: unordered(rx.of(later(2, "a"), "b")), "b-(a|)"),
        (lambda: [unordered(), "c"], "(c|)"),
        (lambda: unordered(None, []), "|"),
        (lambda: [unordered(later(1, "a")), unordered("b")], "-(a b|)"),
        (lambda: pulled(later(1, "a"), unordered(later(3, "c"), later(2, "b")), "d"), "-ab(c d|)"),
    ],
)
@pytest.mark.parametrize("place", ["reply", "say"])
def test_it_may_stand_and_hold_anything_at_any_depth(
    marbles: Marbles, thing: Any, said: str, place: str
) -> None:
    source = replied(later(0, thing())) if place == "reply" else say(thing())
    tokens = source.pipe(markers(inputs=True), only("delta"), ops.map(lambda marker: marker[1]["content"]))
    marbles.expect(tokens, words=False).to_be(said)


def test_an_agent_hears_it_in_the_order_of_its_arrival(marbles: Marbles) -> None:
    heard: list[list[str]] = []
    listener = agent(lambda transcript: heard.append([str(message) for message in transcript]), id="l")
    slow = Agent("s", marbles.llm("---s|"))
    things = unordered(later(2, say("x").pipe(slow)), later(1, "y"))
    marbles.expect(say("q", things, "z").pipe(listener, text())).to_be("------|")
    marbles.flush()
    assert heard == [["q", "y", "s", "z"]]


# -- failures


def test_an_error_comes_after_all_that_had_begun_and_nothing_begins_after_it(marbles: Marbles) -> None:
    m1 = marbles.message("-a----a-|")
    llm = marbles.llm("---b|")
    late = Agent("late", llm)
    parts = unordered(m1, later(2, ValueError("no")), later(3, "never"), later(1, late.ask("q")))
    marks = replied([parts, "nor this"]).pipe(markers())
    marbles.expect_markers(marks).to_be(
        [
            (0, "start", "f"),
            (1, "delta", "a"),
            (1, "start", "late"),
            (4, "delta", "b"),
            (5, "response", "b"),
            (5, "end", "late"),
            (6, "delta", "a"),
            (8, "response", "aa"),
            (8, "error", {"type": "ValueError", "message": "no", "where": "f"}),
            (8, "end", "f"),
            (8, "result", "agent-error"),
        ]
    )


def test_a_message_that_fails_cuts_no_other_that_had_begun(marbles: Marbles) -> None:
    m1, m2 = marbles.message("-a----a-|"), marbles.message("--b#", error=ValueError("no"))
    unborn, ended = marbles.probe(), marbles.probe()
    parts = unordered(m1, m2, rx.timer(4).pipe(ops.map(lambda _: "never"), unborn))
    marbles.expect_markers(replied([parts, "nor this"]).pipe(markers(), ended)).to_be(
        [
            (0, "start", "f"),
            (1, "delta", "a"),
            (2, "delta", "b"),
            (3, "error", {"type": "ValueError", "message": "no", "where": "f"}),
            (6, "delta", "a"),
            (8, "response", "aa"),
            (8, "end", "f"),
            (8, "result", "agent-error"),
        ]
    )
    marbles.expect_subscriptions(unborn).to_be("^--!")
    marbles.flush()
    assert ended.completions == 1


def test_two_that_fail_fail_it_with_the_first(marbles: Marbles) -> None:
    m1 = marbles.message("-a-#", error=ValueError("first"))
    m2 = marbles.message("--b---#", error=ValueError("second"))
    blocks: list[Any] = []
    marks = replied(unordered(m1, m2)).pipe(ops.do_action(blocks.append), markers(), ops.last())
    marbles.expect(marks).to_be("------(r|)", r=("result", "agent-error"))
    marbles.flush()
    assert str(blocks[0].error) == "first"


def test_in_say_an_error_comes_after_all_that_had_begun_too(marbles: Marbles) -> None:
    m1 = marbles.message("-a----a-|")
    said = say(unordered(m1, later(2, ValueError("no"))), "never")
    marbles.expect(said.pipe(text())).to_be("-a----a-#", error=ValueError("no"))


# -- leaving


def test_an_interruption_cancels_all_of_it(marbles: Marbles) -> None:
    llm = marbles.llm("-a-a-a|", "--b-b-b|")
    bots = [Agent(name, llm) for name in "ab"]
    stop = marbles.hot("---s")
    waiting = marbles.probe()
    parts = unordered(*(say("q").pipe(bot) for bot in bots), rx.never().pipe(waiting))
    last = replied(parts).pipe(until(stop), markers(), ops.last())
    marbles.expect(last).to_be("---(r|)", r=("result", "interrupted"))
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("^--!")
    marbles.expect_subscriptions(waiting).to_be("^--!")


def test_disposing_cancels_all_of_it(marbles: Marbles) -> None:
    llm = marbles.llm("-a---a-a|", "---b-b-b|")
    bots = [Agent(name, llm) for name in "ab"]
    parts = unordered(*(say("q").pipe(bot) for bot in bots))
    heard = replied(parts).pipe(text("", order="arrival"))
    marbles.expect(heard, unsubscribe_at=4).to_be("-a-b")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^---!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("^---!")


def test_what_can_be_seen_to_be_no_message_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="int is no message"):
        unordered("a", [3])
    with pytest.raises(InputError, match="'role' and"):
        unordered({"x": 1})


def test_a_reply_may_be_replayed_by_its_transcript(marbles: Marbles) -> None:
    source = replied(["1", unordered(later(2, "3"), later(1, "2")), "4"])
    folded = source.pipe(transcript(), ops.map(lambda t: [str(m) for m in t]))
    marbles.expect(folded).to_be("--(x|)", x=["1", "2", "3", "4"])


def test_it_can_be_used_with_asks_of_one_model(marbles: Marbles) -> None:
    bot = Agent("bot", ScriptedLLM(["a", "b", "c"]))

    @agent
    def host(transcript: Transcript) -> Any:
        return unordered(bot.ask(question) for question in ("1", "2", "3"))

    marbles.expect(say("q").pipe(host, transcript(), ops.map(len))).to_be("(n|)", n=3)


def test_it_keeps_the_laws_but_that_of_the_order() -> None:
    def reply(heard: Transcript) -> Any:
        return ["first", unordered(stream(str(len(heard))), later(1, "late"), "at once"), "last"]

    laws = ("contract", "release", "replay", "balance", "folding", "wrapping", "loss")
    check_laws(agent(reply, id="f"), laws=laws, max_examples=50)
