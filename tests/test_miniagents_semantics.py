"""What MiniAgents' own tests hold it to, restated as marbles: flattening, order, errors, both start modes.

`start_soon=True` of MiniAgents is an eager ask here, `start_soon=False` a lazy one; `trigger` is `ask`;
`reply_out_of_order` is `unordered`; a promise of a sequence is an observable, an async iterable or an ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    Message,
    MessageStream,
    OpenAILLM,
    Transcript,
    Workflow,
    agent,
    say,
    stream,
    unordered,
)
from rxagents.operators import errors_as_messages, markers, responses, text
from rxagents.participants import Participant
from rxagents.replays import Replay
from rxagents.testing import Marbles, OpenAIServer, Paused

BOTH = pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])


def replied(thing: Callable[[], Any]) -> Observable[Any]:
    return say("q").pipe(agent(lambda _: thing(), id="f"))


def said(source: Observable[Any]) -> Observable[Any]:
    return source.pipe(responses(), ops.map(str))


async def slept(seconds: float, thing: Any = None) -> Any:
    await asyncio.sleep(seconds)
    return thing


# -- agents run side by side


@BOTH
def test_asked_agents_run_side_by_side_if_they_start_at_once(marbles: Marbles, eager: bool) -> None:
    events: list[str] = []

    def sleeper(name: str) -> Participant:
        async def sleep(_: Transcript) -> str:
            events.append(f"{name} starts")
            await asyncio.sleep(1)
            events.append(f"{name} ends")
            return name

        return agent(sleep, id=name)

    async def main() -> None:
        replies = [sleeper(name).ask("q", eager=eager) for name in ("one", "two")]
        for reply in replies:
            await reply

    marbles.run(main())
    apart = ["one starts", "one ends", "two starts", "two ends"]
    assert events == (["one starts", "two starts", "one ends", "two ends"] if eager else apart)


@pytest.mark.parametrize("eager", [False, True, None], ids=["lazy", "eager", "default"])
def test_what_is_replied_with_runs_side_by_side_in_every_mode(marbles: Marbles, eager: bool | None) -> None:
    llm = marbles.llm("--a|", "-b|")
    one, two = Agent("one", llm), Agent("two", llm)
    both = replied(lambda: [bot.ask("q", eager=eager) for bot in (one, two)])
    marbles.expect(said(both)).to_be("---(a b|)")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("^-!")


@BOTH
def test_what_is_awaited_in_a_reply_one_by_one_runs_so_if_it_is_lazy(marbles: Marbles, eager: bool) -> None:
    llm = marbles.llm("--a|", "-b|")
    one, two = Agent("one", llm), Agent("two", llm)

    async def reply() -> list[Message]:
        asked = [bot.ask("q", eager=eager) for bot in (one, two)]
        return [await each for each in asked]

    marbles.expect(said(replied(reply))).to_be("---(a b|)" if eager else "-----(a b|)")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")
    marbles.expect_subscriptions(llm.calls[1]).to_be("^-!" if eager else "---^-!")


# -- sequences in sequences


def sequence_in(kind: str, *things: Any) -> Any:
    """A sequence that is there only later, of each kind that there is."""
    if kind == "observable":
        return rx.of(*things)
    if kind == "async iterable":
        return paced(*things)
    if kind == "awaitable":
        return slept(1, list(things))
    if kind == "generator":
        return iter(things)
    return agent(lambda _: list(things), id="inner").ask("q", eager=kind == "eager ask")


async def paced(*things: Any) -> AsyncIterator[Any]:
    for thing in things:
        await asyncio.sleep(0.25)
        yield thing


KINDS = ["observable", "async iterable", "awaitable", "generator", "lazy ask", "eager ask"]


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_sequences_three_deep_are_one_flat_sequence(marbles: Marbles, outer: str, inner: str) -> None:
    def reply() -> list[Any]:
        third = sequence_in(inner, "5", ["6", "7"], [[Message(role="assistant", content="8")]])
        second = sequence_in(outer, "4", third, "9")
        return ["1", {"content": "2"}, Message(role="assistant", content="3"), second, stream("ten")]

    last = said(replied(reply)).pipe(ops.to_list(), ops.map(" ".join))
    heard: list[str] = []
    marbles.expect(last.pipe(ops.do_action(heard.append), ops.ignore_elements())).to_be(
        took(outer, inner, before=2, all=3)
    )
    marbles.flush()
    assert heard == ["1 2 3 4 5 6 7 8 9 ten"]


def took(outer: str, inner: str, *, before: int, all: int) -> str:
    """When the last is heard, of `all` things in each of the two, the inner one standing at `before`."""
    seconds = {"awaitable": (1.0, 1.0), "async iterable": (0.25 * before, 0.25 * all)}
    begun, ended = seconds.get(outer, (0.0, 0.0))
    total = max(ended, begun + seconds.get(inner, (0.0, 0.0))[1])
    return f"{total * 1000:.0f}ms |" if total else "|"


def test_the_tokens_of_a_sequence_are_those_of_its_messages(marbles: Marbles) -> None:
    third = marbles.message("---c----c|")
    second = marbles.message("-b---b|")
    first = marbles.message("--a-a|")
    marks = replied(lambda: [first, [second, [[third]]]]).pipe(
        markers(), ops.filter(lambda m: m[0] == "delta")
    )
    marbles.expect_markers(marks).to_be(
        [
            (2, "delta", "a"),
            (4, "delta", "a"),
            (5, "delta", "b"),
            (5, "delta", "b"),
            (6, "delta", "c"),
            (8, "delta", "c"),
        ]
    )


# -- errors in sequences


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("as_messages", [False, True], ids=["errors", "errors as messages"])
def test_an_error_in_the_middle_comes_in_its_place(
    marbles: Marbles, outer: str, inner: str, as_messages: bool
) -> None:
    def reply() -> list[Any]:
        third = sequence_in(inner, "3", ValueError("error1"), "5")
        return ["1", sequence_in(outer, "2", third, "6"), "7"]

    heard: list[str] = []
    failed: list[str] = []
    source = replied(reply)
    if as_messages:
        source = source.pipe(errors_as_messages())
    outcome = said(source).pipe(
        ops.do_action(heard.append, lambda error: failed.append(str(error))),
        ops.catch(lambda error, _: rx.empty()),
        ops.ignore_elements(),
    )
    marbles.expect(outcome).to_be(took(outer, inner, before=2, all=2))
    marbles.flush()
    assert heard == ["1", "2", "3", *(["Error: error1"] if as_messages else [])]
    assert failed == ([] if as_messages else ["error1"])


@pytest.mark.parametrize("as_messages", [False, True], ids=["errors", "errors as messages"])
def test_an_error_in_the_middle_of_a_message_comes_after_its_tokens(
    marbles: Marbles, as_messages: bool
) -> None:
    def broken() -> Iterator[str]:
        yield "token1"
        yield "token2"
        raise ValueError("error1")

    source = replied(lambda: ["msg1", stream(broken()), "msg2"])
    if as_messages:
        source = source.pipe(errors_as_messages())
    marks = source.pipe(markers(), ops.filter(lambda m: m[0] in ("delta", "response", "error")))
    before = [("delta", "msg1"), ("response", "msg1"), ("delta", "token1"), ("delta", "token2")]
    told = [("response", "token1token2"), ("delta", "Error: error1"), ("response", "Error: error1")]
    failed = [("error", {"type": "ValueError", "message": "error1", "where": "f"})]
    marbles.expect_markers(marks).to_be([*before, *(told if as_messages else failed)])


# -- out of order


def out_of_order(last: Any) -> Participant:
    """Four agents, each replying with the next one, in and out of order; the last one as given."""

    async def four(_: Transcript) -> Any:
        await asyncio.sleep(3)
        return last()

    four_ = agent(four, id="four")

    async def after(seconds: float, *things: str) -> list[str]:
        await asyncio.sleep(seconds)
        return list(things)

    three = agent(
        lambda _: unordered("3.1", "3.2", four_.ask("q"), after(2, "3.3", "3.4")),
        id="three",
    )
    two = agent(
        lambda _: unordered("2.1", "2.2", asked_after(1, three), after(2, "2.3", "2.4")),
        id="two",
    )
    return agent(lambda _: ["1.1", "1.2", two.ask("q"), "1.3", "1.4"], id="one")


async def asked_after(seconds: float, bot: Participant) -> Any:
    await asyncio.sleep(seconds)
    return bot.ask("q")


def starts(source: Observable[Any]) -> Observable[Any]:
    """The texts as they come."""
    return source.pipe(markers(), ops.filter(lambda m: m[0] == "delta"), ops.map(lambda m: m[1]["content"]))


def test_out_of_order_replies_come_as_they_come_and_the_order_around_them_holds(marbles: Marbles) -> None:
    one = out_of_order(lambda: unordered("4.1", "4.2"))
    heard: list[str] = []
    tokens = starts(say("q").pipe(one)).pipe(ops.do_action(heard.append), ops.ignore_elements())
    marbles.expect(tokens).to_be("----|")
    marbles.flush()
    assert heard == "1.1 1.2 2.1 2.2 3.1 3.2 2.3 2.4 3.3 3.4 4.1 4.2 1.3 1.4".split()


@pytest.mark.parametrize("as_messages", [False, True], ids=["errors", "errors as messages"])
@pytest.mark.parametrize("out", [False, True], ids=["in order", "out of order"])
def test_an_error_among_out_of_order_replies(marbles: Marbles, as_messages: bool, out: bool) -> None:
    async def said_then_failed() -> AsyncIterator[Any]:
        yield unordered("4.1", "4.2") if out else ["4.1", "4.2"]
        await asyncio.sleep(1)
        raise ValueError("agent 4")

    one = out_of_order(said_then_failed)
    source = say("q").pipe(one)
    if as_messages:
        source = source.pipe(errors_as_messages())
    heard: list[str] = []
    results: list[str] = []
    marks = source.pipe(
        markers(), ops.do_action(lambda m: results.append(m[1]) if m[0] == "result" else None)
    )
    tokens = marks.pipe(
        ops.filter(lambda m: m[0] in ("delta", "error")),
        ops.map(lambda m: m[1].get("message") or m[1]["content"]),
        ops.do_action(heard.append),
        ops.ignore_elements(),
    )
    marbles.expect(tokens).to_be("-----|")
    marbles.flush()
    before = "1.1 1.2 2.1 2.2 3.1 3.2 2.3 2.4 3.3 3.4 4.1 4.2".split()
    assert heard == [*before, "Error: agent 4" if as_messages else "agent 4"]
    assert results == ["done" if as_messages else "agent-error"]


# -- promises that are read again


@BOTH
def test_what_is_read_twice_is_made_once(marbles: Marbles, eager: bool) -> None:
    pulls: list[int] = []

    def producer() -> Iterator[str]:
        for number in range(1, 6):
            pulls.append(number)
            yield str(number)

    async def main() -> tuple[list[str], list[str], Message, Message]:
        asked = agent(lambda _: stream(producer()), id="f").ask("q", eager=eager)
        tokens = [[token async for token in asked.pipe(text())] for _ in range(2)]
        return (*tokens, await asked, await asked)

    first, second, one, other = marbles.run(main())
    assert first == second == ["1", "2", "3", "4", "5"]
    assert one is other
    assert one.text == "12345"
    assert pulls == [1, 2, 3, 4, 5]


@BOTH
def test_what_fails_in_the_middle_fails_so_each_time(marbles: Marbles, eager: bool) -> None:
    async def main() -> list[Any]:
        asked = Agent("a", llm).ask("q", eager=eager)
        found: list[Any] = []
        for _ in range(2):
            try:
                async for token in asked.pipe(text()):
                    found.append(token)
            except ValueError as error:
                found.append(error)
        return found

    error = ValueError("Test error")
    llm = marbles.llm("(1 2 #)", error=error)
    assert marbles.run(main()) == ["1", "2", error] * 2


def test_a_message_is_awaited_twice_and_is_the_same(marbles: Marbles) -> None:
    async def main() -> tuple[Message, Message]:
        message = stream(["a", "b"])
        return await message, await message

    first, second = marbles.run(main())
    assert first is second


@BOTH
def test_a_reply_that_is_no_message_ends_in_an_error_each_time(marbles: Marbles, eager: bool) -> None:
    async def main() -> list[str]:
        asked = agent(lambda _: ["a", 3], id="f").ask("q", eager=eager)
        found = []
        for _ in range(2):
            with pytest.raises(Exception, match="int is no message") as caught:
                await asked
            found.append(type(caught.value).__name__)
        return found

    assert marbles.run(main()) == ["InputError", "InputError"]


# -- tokens straight through several agents


def test_tokens_pass_straight_through_several_agents(marbles: Marbles) -> None:
    llm = marbles.llm("-a--b---c|")
    bot = Agent("bot", llm)

    @agent.live
    async def through(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for message in heard:
            yield message

    first = agent(lambda _: bot.ask("q"), id="first")
    second = agent(lambda _: ["(", first.ask("q"), ")"], id="second")
    line = say("q").pipe(second, through, through.with_(id="again"), text(""))
    tokens = line.pipe(ops.filter(lambda token: token not in "()"))
    marbles.expect(tokens).to_be("-a--b---c|")


# -- over the wire


def test_two_agents_are_asked_at_once_over_the_wire_and_answer_in_order() -> None:
    def answers(body: dict[str, Any]) -> Any:
        return Paused(2, f"{body['messages'][-1]['content']} two three")

    with OpenAIServer(answers) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        slow, quick = Agent("slow", llm), Agent("quick", llm)
        both_open: list[tuple[bool, int]] = []

        @agent
        async def host(transcript: Transcript) -> AsyncIterator[Any]:
            first, second = slow.ask("first"), quick.ask("second")
            # neither is answered in full before both are there
            asked = await asyncio.to_thread(server.wait_for_requests, 2, 10)
            both_open.append((asked, server.open_connections))
            server.release()
            yield first
            yield second

        workflow = Workflow(host)
        marks = list(workflow.run_stream("Hi."))
    assert both_open == [(True, 2)]
    said = [(mark.path, content[0]["content"]) for mark, content in marks if mark == "response"]
    assert said == [(("host", "slow"), "first two three"), (("host", "quick"), "second two three")]
    speakers = [mark.path[-1] for mark, _ in marks if mark == "delta"]
    assert speakers == ["slow"] * speakers.count("slow") + ["quick"] * speakers.count("quick")
    spent = [content[1]["total_tokens"] for mark, content in marks if mark == "response"]
    assert workflow.conversation.metrics["total_tokens"] == sum(spent) > 0
