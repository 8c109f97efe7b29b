"""ask: a conversation of one's own with an agent, run once, lazily or eagerly, and paid by who asked."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    Agent,
    AgentError,
    Block,
    InputError,
    Message,
    ScriptedLLM,
    StateUpdate,
    Team,
    Transcript,
    Usage,
    Workflow,
    agent,
    say,
    stream,
)
from rxagents.asking.asked import Asked
from rxagents.llm.replies import Reply
from rxagents.operators import answer, map_tokens, markers, messages, responses, text, transcript, until
from rxagents.testing import Marbles
from rxagents.testing.laws import check_laws


def priced(*texts: str, tokens: int = 1, delay: float = 0.0) -> ScriptedLLM:
    return ScriptedLLM([Reply(each, usage=Usage(total_tokens=tokens)) for each in texts], delay=delay)


def cost() -> Callable[[Observable[Any]], Observable[Any]]:
    return lambda source: source.pipe(transcript(), ops.map(lambda t: t.usage.total_tokens))


# -- both start modes


def test_a_lazy_ask_starts_with_its_first_reader(marbles: Marbles) -> None:
    llm = marbles.llm("                     --a-b|")
    asked = Agent("a", llm).ask("q")
    marbles.expect(asked.pipe(text())).to_be("----^-a-b|")
    marbles.expect_subscriptions(llm.calls[0]).to_be("----^----!")


def test_a_lazy_ask_that_nobody_reads_asks_nothing(marbles: Marbles) -> None:
    llm = marbles.llm("--a-b|")
    asked = Agent("a", llm).ask("q")
    marbles.expect_subscriptions(llm).to_be()
    marbles.flush()
    assert not asked.started
    assert repr(asked) == "<Asked, not started>"
    marbles.allow("unused")


def test_an_eager_ask_starts_at_once_and_is_read_later(marbles: Marbles) -> None:
    llm = marbles.llm("                     --a-b|")

    async def ask() -> tuple[float, str]:
        await asyncio.sleep(1)
        asked = Agent("a", llm).ask("q", eager=True)
        await asyncio.sleep(10)
        return asyncio.get_running_loop().time(), (await asked).text

    marbles.expect_subscriptions(llm.calls[0]).to_be("-^----!")
    assert marbles.run(ask()) == (11, "ab")


def test_a_lazy_ask_in_a_reply_starts_when_it_is_replied_with(marbles: Marbles) -> None:
    llm = marbles.llm("                              -a-b|")
    bot = Agent("bot", llm)

    @agent
    async def host(transcript: Transcript) -> AsyncIterator[Any]:
        asked = bot.ask("q", eager=False)
        await asyncio.sleep(3)
        yield asked

    marbles.expect(say("q").pipe(host, text())).to_be("   ----a-b|")
    marbles.expect_subscriptions(llm.calls[0]).to_be("    ---^---!")


def test_in_a_reply_an_ask_is_eager(marbles: Marbles) -> None:
    llm = marbles.llm("                              -a-b----c|")
    bot = Agent("bot", llm)

    @agent
    async def host(transcript: Transcript) -> AsyncIterator[Any]:
        asked = bot.ask("q")
        await asyncio.sleep(3)
        yield asked

    marbles.expect(say("q").pipe(host, text())).to_be("   ---(a b)c|")
    marbles.expect_subscriptions(llm.calls[0]).to_be("    ^--------!")


def plain(ask: Callable[[], Any]) -> Any:
    ask()


async def awaited(ask: Callable[[], Any]) -> Any:
    ask()
    await asyncio.sleep(3)


def generated(ask: Callable[[], Any]) -> Iterator[Any]:
    ask()
    yield stream(rx.timer(3).pipe(ops.map(lambda _: "x")))


async def async_generated(ask: Callable[[], Any]) -> AsyncIterator[Any]:
    await asyncio.sleep(0)
    ask()
    yield stream(rx.timer(3).pipe(ops.map(lambda _: "x")))


def nested(ask: Callable[[], Any]) -> Any:
    return [None, [awaited(ask)]]


def deferred(ask: Callable[[], Any]) -> Any:
    return rx.defer(lambda _: rx.of(generated(ask)))


@pytest.mark.parametrize("reply", [awaited, generated, async_generated, nested, deferred])
@pytest.mark.parametrize("decorate", [agent, agent.live])
def test_whatever_code_of_a_reply_asks_it_asks_eagerly_and_in_its_turn(
    marbles: Marbles, decorate: Any, reply: Any
) -> None:
    llm = marbles.llm("-a-b-c-d-e-f|")
    bot = Agent("bot", llm)
    host = decorate(lambda heard: reply(lambda: bot.ask("q")), id="host")
    marbles.expect(say("q").pipe(host, markers(), ops.last())).to_be("---(r|)", r=("result", "done"))
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")


def test_outside_a_turn_an_ask_is_lazy_also_in_a_team(marbles: Marbles) -> None:
    bot = Agent("bot", marbles.llm())
    asked: list[Asked] = []
    team = Team(
        marbles.llm(),
        [agent(lambda _: "x", id="x")],
        "t",
        stop_callback=lambda _: asked.append(bot.ask("q")) or True,
    )
    marbles.expect(say("q").pipe(team, text())).to_be("(x|)")
    marbles.flush()
    assert not asked[0].started


# -- reading


def test_it_is_read_again_and_again_in_whole_and_in_part_and_runs_once(marbles: Marbles) -> None:
    llm = marbles.llm("                                -a-b------c|")
    asked = Agent("a", llm).ask("q")
    marbles.expect(asked.pipe(text(), ops.take(1))).to_be("-(a|)")
    marbles.expect(asked.pipe(text())).to_be("          -a-b------c|")
    marbles.expect(asked.pipe(text())).to_be("          ----(^a b)c|")
    marbles.expect(asked.pipe(text(), ops.take(1))).to_be("-----------------(^a|)")
    marbles.expect(asked.pipe(responses(), ops.map(str))).to_be("-----------------(^x|)", x="abc")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^----------!")


def test_it_is_awaited_as_often_as_one_likes(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b|")

    async def ask() -> list[Any]:
        asked = Agent("a", llm).ask("q")
        return [await asked, await asked, [item.name async for item in asked]]

    first, second, names = marbles.run(ask())
    assert first is second
    assert (first.text, first.name) == ("ab", "a")
    assert names == ["a"]


def test_its_answer_is_the_last_outermost_message_as_answer_gives_it(marbles: Marbles) -> None:
    inner = agent(lambda _: ["inner", "last of inner"], id="inner")
    outer = agent(lambda transcript: ["mine", say(transcript).pipe(inner)], id="outer")
    marbles.expect(outer.ask("q").pipe(answer(), ops.map(str))).to_be("(mine|)")
    assert str(marbles.run(waited_for(outer.ask("q")))) == "mine"


async def waited_for(thing: Any) -> Any:
    return await thing


def test_its_error_is_raised_to_all_who_await_it(marbles: Marbles) -> None:
    error = ValueError("no")
    asked = Agent("a", marbles.llm("-x#", error=error)).ask("q")

    async def ask() -> list[Any]:
        return await asyncio.gather(asked, asked, return_exceptions=True)

    assert marbles.run(ask()) == [error, error]
    assert error.__notes__ == ["in a"]


def test_one_that_nobody_answers_says_so(marbles: Marbles) -> None:
    silent = agent(lambda _: None, id="silent")
    with pytest.raises(AgentError, match="nobody answered: what was asked holds no message but its input"):
        marbles.run(waited_for(silent.ask("q")))


def test_who_leaves_leaves_it_running_and_dispose_cancels_it(marbles: Marbles) -> None:
    llm = marbles.llm("                                -a-b-c-d|")
    asked = Agent("a", llm).ask("q")
    marbles.expect(asked.pipe(text()), unsubscribe_at=2).to_be("-a")
    marbles.at(6, asked.dispose)
    marbles.expect(asked.pipe(text())).to_be("          -a-b-c|")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^-----!")
    marbles.flush()
    assert asked.interrupted
    assert asked.items[0].items[0].result.finish_reason == "interrupted"
    assert repr(asked) == "<Asked, interrupted>"


def test_what_can_be_seen_to_be_no_message_is_refused_at_once() -> None:
    bot = Agent("a", ScriptedLLM(["x"]))
    with pytest.raises(InputError, match="int is no message"):
        bot.ask("q", 3)


def test_things_may_be_a_transcript_messages_and_other_asks(marbles: Marbles) -> None:
    llm = marbles.llm("--x|")
    first = Agent("first", llm)
    heard: list[Any] = []

    @agent
    def listener(transcript: Transcript) -> str:
        heard.append([(message.role, message.name, message.text) for message in transcript])
        return "ok"

    before = Transcript().with_message(Message(role="user", content="before"))
    asked = listener.ask(before, [first.ask("q"), Message(role="user", content="m")], "then")
    marbles.expect(asked.pipe(text())).to_be("---(ok|)")
    marbles.flush()
    assert heard == [
        [("user", None, "before"), ("assistant", "first", "x"), ("user", None, "m"), ("user", None, "then")]
    ]


def test_a_thread_of_a_turn_may_ask(marbles: Marbles) -> None:
    llm = marbles.llm("                            -a|")
    bot = Agent("bot", llm)

    @agent
    async def host(transcript: Transcript) -> AsyncIterator[Any]:
        yield await asyncio.to_thread(lambda: bot.ask("q"))

    marbles.expect(say("q").pipe(host, text())).to_be("-a|")
    marbles.expect_subscriptions(llm.calls[0]).to_be(" ^-!")


def test_what_outlives_a_turn_asks_lazily_and_for_itself(marbles: Marbles) -> None:
    llm = marbles.llm("                                -----a-b|")
    bot = Agent("bot", llm)
    asked: list[Asked] = []

    async def later() -> None:
        await asyncio.sleep(2)
        asked.append(bot.ask("q"))
        assert not asked[0].started
        assert (await asked[0]).text == "ab"

    tasks: list[Any] = []

    @agent
    async def host(transcript: Transcript) -> str:
        tasks.append(asyncio.create_task(later()))
        return "ok"

    marbles.expect(say("q").pipe(host, text())).to_be("     (ok|)")
    marbles.expect_subscriptions(llm.calls[0]).to_be("       --^-------!")
    marbles.flush()
    assert tasks[0].done()
    assert not asked[0].interrupted


# -- the turn that it belongs to


def test_what_is_open_when_the_turn_completes_is_interrupted_with_it(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d-e|")
    asked: list[Asked] = []

    @agent
    async def host(transcript: Transcript) -> str:
        asked.append(Agent("bot", llm).ask("q"))
        await asyncio.sleep(4)
        return "done"

    marbles.expect(say("q").pipe(host, text())).to_be("----(done|)")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^---!")
    marbles.flush()
    assert asked[0].interrupted


def test_what_is_open_when_the_turn_fails_is_interrupted_with_it(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d-e|")

    @agent
    async def host(transcript: Transcript) -> str:
        Agent("bot", llm).ask("q")
        await asyncio.sleep(4)
        raise ValueError("no")

    marbles.expect(say("q").pipe(host, text())).to_be("----#", error=ValueError("no"))
    marbles.expect_subscriptions(llm.calls[0]).to_be("^---!")


def test_what_is_open_when_the_turn_is_interrupted_is_interrupted_with_it(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d-e|", "-f-g-h|")
    first, second = Agent("first", llm), Agent("second", llm)

    @agent
    async def host(transcript: Transcript) -> AsyncIterator[Any]:
        asked = first.ask("q")
        second.ask(asked)
        yield "hm"
        await asyncio.sleep(100)

    stop = marbles.hot("---s")
    last = say("q").pipe(host, until(stop), markers(), ops.last())
    marbles.expect(last).to_be("---(r|)", r=("result", "interrupted"))
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")
    marbles.flush()
    assert len(llm.calls) == 1
    marbles.allow("unused")


def test_a_reader_that_leaves_cancels_what_the_turn_asked(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d-e|")

    @agent
    async def host(transcript: Transcript) -> AsyncIterator[Any]:
        yield Agent("bot", llm).ask("q")

    marbles.expect(say("q").pipe(host, text()), unsubscribe_at=4).to_be("-a-b")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^---!")


def test_a_lazy_ask_that_is_read_in_the_turn_ends_with_it_too(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d-e|")

    @agent
    async def host(transcript: Transcript) -> str:
        async for token in Agent("bot", llm).ask("q", eager=False).pipe(text()):
            return token
        return ""

    marbles.expect(say("q").pipe(host, text())).to_be("-(a|)")
    marbles.expect_subscriptions(llm.calls[0]).to_be("^!")


def test_an_eager_ask_that_failed_and_that_nobody_read_is_reported(marbles: Marbles) -> None:
    unread, read = ValueError("unread"), ValueError("read")
    bot = Agent("bot", marbles.llm("-#unread", "-#read", unread=unread, read=read))

    @agent
    async def host(transcript: Transcript) -> str:
        bot.ask("unread")
        asked = bot.ask("read")
        await asyncio.sleep(2)
        with pytest.raises(ValueError, match="read"):
            await asked
        return "ok"

    marbles.expect(say("q").pipe(host, text())).to_be("--(ok|)")
    marbles.allow("errors")
    marbles.flush()
    assert marbles.errors == [unread]


def test_outside_a_turn_it_is_reported_when_it_is_gone(marbles: Marbles) -> None:
    error = ValueError("no")
    bot = Agent("bot", marbles.llm("-#", error=error))

    async def ask() -> None:
        asked = bot.ask("unread", eager=True)
        await asyncio.sleep(2)
        assert asked.error is error
        del asked
        gc.collect()
        await asyncio.sleep(1)

    marbles.allow("errors")
    marbles.run(ask())
    assert marbles.errors == [error]


def test_a_thousand_turns_that_asked_one_within_the_other_end_at_once(marbles: Marbles) -> None:
    llm = marbles.llm("-a-b-c-d|")
    bottom = Agent("bottom", llm)

    @agent
    async def deeper(transcript: Transcript) -> Any:
        depth = int(transcript[-1].text)
        return await (deeper.ask(str(depth - 1)) if depth else bottom.ask("q"))

    stop = marbles.hot("---s")
    last = say("1000").pipe(deeper, until(stop), markers(), ops.last())
    marbles.expect(last).to_be("---(r|)", r=("result", "interrupted"))
    marbles.expect_subscriptions(llm.calls[0]).to_be("^--!")


def test_a_thousand_asks_of_one_turn_cost_what_they_are(marbles: Marbles) -> None:
    bot = Agent("bot", priced(*["x"] * 1_000, tokens=7))

    @agent
    async def host(transcript: Transcript) -> str:
        heard: Any = "q"
        for _ in range(1_000):
            heard = await bot.ask(heard)
        return "ok"

    marbles.expect(say("q").pipe(host, cost())).to_be("(n|)", n=7_000)


# -- what it costs


def test_what_was_awaited_and_not_replied_with_is_counted_once(marbles: Marbles) -> None:
    bot = Agent("bot", priced("x", tokens=7))

    @agent
    async def host(transcript: Transcript) -> str:
        return (await bot.ask("q")).text.upper()

    host_block: list[Block] = []
    marbles.expect(say("q").pipe(host, ops.do_action(host_block.append), cost())).to_be("(n|)", n=7)
    marbles.flush()
    said, spent = host_block[0].items
    assert said.result.text == "X"
    assert (spent.kind, spent.usage) == ("usage", Usage(total_tokens=7))


def once(bot: Any) -> Any:
    return bot.ask("q")


def twice(bot: Any) -> Any:
    asked = bot.ask("q")
    return [asked, asked]


async def read_first(bot: Any) -> Any:
    asked = bot.ask("q")
    await asked
    return asked


async def not_replied(bot: Any) -> Any:
    await bot.ask("q")


async def its_message(bot: Any) -> Any:
    return await bot.ask("q")


async def its_message_to_another(bot: Any) -> Any:
    return agent(lambda _: "ok", id="next").ask(await bot.ask("q"))


async def its_transcript(bot: Any) -> Any:
    asked = bot.ask("q")
    return [found async for found in asked.pipe(transcript())]


def its_messages(bot: Any) -> Any:
    return bot.ask("q").pipe(messages())


def as_twins(bot: Any) -> Any:
    return bot.ask("q").pipe(map_tokens(str.upper))


def piped_on(bot: Any) -> Any:
    return bot.ask("q").pipe(agent(lambda _: "ok", id="next"))


def asked_on(bot: Any) -> Any:
    return agent(lambda _: "ok", id="next").ask(bot.ask("q"))


def both(bot: Any) -> Any:
    asked = bot.ask("q")
    return [asked, agent(lambda _: "ok", id="next").ask(asked)]


async def only_the_first(bot: Any) -> Any:
    asked = bot.ask("q")
    await agent(lambda _: "ok", id="next").ask(asked.pipe(map_tokens(str.upper)))
    return asked


def within_another(bot: Any) -> Any:
    return agent(lambda _: bot.ask("q"), id="inner").ask("q")


async def awaited_within_another(bot: Any) -> Any:
    async def reply(_: Transcript) -> str:
        await bot.ask("q")
        return "ok"

    await agent(reply, id="inner").ask("q")


@pytest.mark.parametrize(
    "reply",
    [
        once,
        twice,
        read_first,
        not_replied,
        its_message,
        its_message_to_another,
        its_transcript,
        its_messages,
        as_twins,
        piped_on,
        asked_on,
        both,
        only_the_first,
        within_another,
        awaited_within_another,
    ],
)
def test_each_model_call_counts_once_whatever_becomes_of_it(marbles: Marbles, reply: Any) -> None:
    bot = Agent("bot", priced("x", tokens=7))
    host = agent(lambda _: reply(bot), id="host")
    marbles.expect(say("q").pipe(host, cost())).to_be("(n|)", n=7)


def test_what_a_failing_and_an_interrupted_turn_asked_is_counted_too(marbles: Marbles) -> None:
    async def failing(_: Transcript) -> None:
        await Agent("bot", priced("x", tokens=7)).ask("q")
        raise ValueError("no")

    async def endless(_: Transcript) -> None:
        await Agent("bot", priced("x", tokens=7)).ask("q")
        await asyncio.sleep(100)

    blocks: list[Block] = []
    for function in (failing, endless):
        host = agent(function, id="host")
        stop = marbles.hot("---s")
        marks = say("q").pipe(host, ops.do_action(blocks.append), until(stop), markers(), ops.count())
        marbles.expect(marks).to_be(
            "(n|)" if function is failing else "---(n|)", n=4 if function is failing else 3
        )
    marbles.flush()
    assert [Transcript().fold(block).usage.total_tokens for block in blocks] == [7, 7]


def test_the_log_of_what_was_asked_goes_on_and_its_variables_do_not(marbles: Marbles) -> None:
    @agent
    def noting(transcript: Transcript) -> StateUpdate:
        return StateUpdate("n", variables={"v": 1}, log=(("info", "noted"),))

    @agent
    async def host(transcript: Transcript) -> str:
        async for _ in noting.ask("q"):
            pass
        return "ok"

    folded = say("q").pipe(host, transcript(), ops.map(lambda t: (t.log, dict(t.variables))))
    marbles.expect(folded).to_be("(x|)", x=((("info", "noted"),), {}))


def test_a_run_counts_what_its_agents_asked() -> None:
    bot = Agent("bot", priced("x", tokens=7))

    @agent
    async def host(transcript: Transcript) -> str:
        return (await bot.ask("q")).text

    result = asyncio.run(Workflow(host).arun("q"))
    assert (result.text, result.usage.total_tokens) == ("x", 7)


@pytest.mark.parametrize("eager", [False, True])
def test_agents_that_ask_keep_the_laws(eager: bool) -> None:
    async def reply(heard: Transcript) -> AsyncIterator[Any]:
        first, second = (Agent(name, ScriptedLLM(lambda _: "x")).ask(heard, eager=eager) for name in "ab")
        await second
        yield [first, "and", second]

    check_laws(agent(reply, id="host"), max_examples=50)
