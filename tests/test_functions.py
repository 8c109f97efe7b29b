"""Function agents: what a function may return and yield, live ones, and operators with a name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    Conversation,
    InputError,
    Message,
    MessageStream,
    ScriptedLLM,
    StateUpdate,
    SystemMessage,
    Team,
    Transcript,
    Usage,
    UserMessage,
    WorkflowInput,
    agent,
    as_agent,
    say,
    stream,
)
from rxagents.engine.emitters import just
from rxagents.llm.replies import Reply
from rxagents.operators import map_tokens, markers, responses, text, transcript, until
from rxagents.replays import Replay
from rxagents.testing import Marbles
from tests.team_views import only


def who_said_what(message: Message) -> tuple[str, str | None, str]:
    return message.role, message.name, message.text


# -- what may be replied


async def soon(value: Any) -> Any:
    await asyncio.sleep(1)
    return value


async def asynchronous() -> AsyncIterator[Any]:
    yield "a"
    await asyncio.sleep(1)
    yield ["b", None, iter(["c"])]


def generated() -> Iterator[Any]:
    yield "a"
    yield soon("b")
    yield ("c",)


SAID = {
    "a": ("assistant", "f", "a"),
    "b": ("assistant", "f", "b"),
    "c": ("assistant", "f", "c"),
    "d": ("assistant", "f", "d"),
    "ab": ("assistant", "f", "ab"),
    "g_a": ("assistant", "g", "a"),
    "g_ab": ("assistant", "g", "ab"),
    "user_a": ("user", None, "a"),
    "ann_a": ("user", "ann", "a"),
    "system_a": ("system", "s", "a"),
}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda: None, "|"),
        (lambda: "a", "(a|)"),
        (lambda: soon("a"), "-(a|)"),
        (lambda: ["a", ["b", [["c"]]]], "(a b c|)"),
        (generated, "a(b c|)"),
        (asynchronous, "a(b c|)"),
        (lambda: rx.of("a", ["b"]), "(a b|)"),
        (lambda: AssistantMessage("a"), "(a|)"),
        (lambda: AssistantMessage("a", name="g"), "(g_a|)"),
        (lambda: UserMessage("a"), "(user_a|)"),
        (lambda: SystemMessage("a", name="s"), "(system_a|)"),
        (lambda: {"content": "a"}, "(a|)"),
        (lambda: {"role": "user", "content": "a", "name": "ann"}, "(ann_a|)"),
        (lambda: {"text": "a"}, "(user_a|)"),
        (lambda: WorkflowInput("a", "ann"), "(ann_a|)"),
        (lambda: stream(["a", "b"]), "(ab|)"),
        (lambda: stream("ab", name="g"), "(g_ab|)"),
        (lambda: Block("inner", just(stream("ab", name="g"))), "(g_ab|)"),
        (lambda: say("x").pipe(Agent("g", ScriptedLLM(["a"]))), "(g_a|)"),
        (lambda: soon(soon(soon("a"))), "---(a|)"),
    ],
)
def test_a_function_may_reply_with_anything_that_say_takes(marbles: Marbles, reply: Any, said: str) -> None:
    talker = agent(lambda transcript: reply(), id="f")
    heard = say("q").pipe(talker, responses(inputs=True), ops.map(who_said_what))
    marbles.expect(heard).to_be(said, **SAID)


def test_a_reply_may_nest_three_deep(marbles: Marbles) -> None:
    @agent(id="f")
    async def deep(transcript: Transcript) -> AsyncIterator[Any]:
        yield [soon([generated(), asynchronous()]), rx.of(soon("d"))]

    heard = say("q").pipe(deep, responses(inputs=True), ops.map(who_said_what))
    marbles.expect(heard).to_be("-a(b c a b c d|)", **SAID)


def test_an_async_function_is_awaited(marbles: Marbles) -> None:
    @agent
    async def waiter(transcript: Transcript) -> str:
        await asyncio.sleep(3)
        return transcript[-1].text.upper()

    marbles.expect(say("q").pipe(waiter, text())).to_be("---(Q|)")


def test_the_function_is_called_with_the_transcript_at_its_turn_as_the_diagram_draws_it(
    marbles: Marbles,
) -> None:
    heard: list[Any] = []

    @agent
    def talker(transcript: Transcript) -> Any:
        heard.append([message.text for message in transcript])
        return [first, second]

    source = marbles.cold("                              -q-|", q=MessageStream.of(UserMessage("q")))
    first = marbles.message("                               a|")
    second = marbles.message("                              ---b--|")
    unread = source.pipe(talker, ops.map(lambda block: block.name))
    marbles.expect(unread).to_be("                       ---(t|)", t="talker")
    marbles.at(4, heard.append, "nobody has read it")
    marbles.expect(source.pipe(talker, text(""))).to_be("-----^--a--b--|")
    marbles.flush()
    assert heard == ["nobody has read it", ["q"]]


def test_all_that_it_replies_runs_at_once_and_is_delivered_in_order(marbles: Marbles) -> None:
    a = marbles.cold("                     -a---a|")
    b = marbles.cold("                     --b|")
    c = marbles.cold("                     -------c|")
    replies = [MessageStream(a, name="a"), MessageStream(b, name="b"), [MessageStream(c, name="c")]]
    ended = marbles.probe()
    talker = agent(lambda _: replies, id="f")
    marbles.expect_markers(say("q").pipe(talker, markers(), ended)).to_be(
        [
            (0, "start", "f"),
            (1, "delta", "a"),
            (5, "delta", "a"),
            (6, "response", "aa"),
            (6, "delta", "b"),
            (6, "response", "b"),
            (7, "delta", "c"),
            (8, "response", "c"),
            (8, "end", "f"),
            (8, "result", "done"),
        ]
    )
    marbles.expect_subscriptions(a).to_be("^-----!")
    marbles.expect_subscriptions(b).to_be("^--!")
    marbles.expect_subscriptions(c).to_be("^-------!")
    marbles.flush()
    assert ended.completions == 1


def test_a_message_of_an_unfinished_generator_is_delivered_token_by_token(marbles: Marbles) -> None:
    @agent
    async def talker(transcript: Transcript) -> AsyncIterator[Any]:
        yield first
        await asyncio.sleep(10)
        yield "c"

    first = marbles.message("    -a-b|")
    heard = say("q").pipe(talker, text("/"))
    marbles.expect(heard).to_be("-a-b------(/ c|)")


async def after(seconds: float, thing: Any) -> AsyncIterator[Any]:
    await asyncio.sleep(seconds)
    yield thing


def test_what_stands_behind_something_that_takes_long_runs_at_once_too(marbles: Marbles) -> None:
    llms = [marbles.llm("                                --a|") for _ in range(3)]
    a, b, c = (say("q").pipe(Agent("bot", llm)) for llm in llms)
    slow = agent(lambda _: [after(5, "x"), after(0, a), [[rx.of(b)]], stream("y"), c], id="f")
    heard = say("q").pipe(slow, responses(), ops.map(str))
    marbles.expect(heard).to_be("                           -----(x a a y a|)")
    for llm in llms:
        marbles.expect_subscriptions(llm).to_be("          ^--!")


@pytest.mark.parametrize("wrong", [3, {"x": 1}, ValueError("no")], ids=["a number", "a dict", "an error"])
def test_what_is_wrong_in_the_middle_comes_in_its_place(marbles: Marbles, wrong: Any) -> None:
    marks = say("q").pipe(agent(lambda _: ["x", [m, [wrong]], "never"], id="f"), markers())
    m = marbles.message("-a-b|")
    marbles.expect_markers(marks.pipe(only("delta", "error"))).to_be(
        [(0, "delta", "x"), (1, "delta", "a"), (3, "delta", "b"), (4, "error", ANY)]
    )


def test_nested_agents_stand_in_blocks_of_their_own(marbles: Marbles) -> None:
    inner = Agent("inner", ScriptedLLM(["in", "in"]))

    @agent
    async def middle(transcript: Transcript) -> AsyncIterator[Any]:
        yield "before"
        yield say(transcript).pipe(inner)
        yield "after"

    @agent
    def outer(transcript: Transcript) -> Any:
        return say(transcript).pipe(middle)

    marks = say("q").pipe(outer, markers())
    ended = marbles.probe()
    marbles.expect_markers(marks.pipe(only("start", "end"), ended)).to_be(
        [
            *(("start", "outer"), ("start", "middle"), ("start", "inner")),
            *(("end", "inner"), ("end", "middle"), ("end", "outer")),
        ]
    )
    said = ops.map(lambda marker: (marker[1][0]["name"], marker[1][0]["content"]))
    marbles.expect(marks.pipe(only("response"), said)).to_be(
        "(abc|)", a=("middle", "before"), b=("inner", "in"), c=("middle", "after")
    )
    marbles.flush()
    assert ended.completions == 1


def test_state_updates_pass(marbles: Marbles) -> None:
    @agent
    def setter(transcript: Transcript) -> Any:
        return [StateUpdate("s", variables={"n": 1}, usage=Usage(total_tokens=2)), "ok"]

    folded = say("q").pipe(setter, transcript(), ops.map(lambda t: (t.variables["n"], t.usage.total_tokens)))
    marbles.expect(folded).to_be("(x|)", x=(1, 2))


def test_a_stop_ends_the_team(marbles: Marbles) -> None:
    stopper = agent(lambda _: ["bye", StateUpdate("stop", stop="enough")], id="f")
    marks = say("q").pipe(Team(marbles.llm(), [stopper], "team"), markers())
    marbles.expect(marks.pipe(ops.last())).to_be("(r|)", r=("result", "agent-stop"))
    marbles.expect(marks.pipe(only("response"), ops.count())).to_be("(n|)", n=1)


# -- failures


def failing_generator() -> Iterator[Any]:
    yield "a"
    raise ValueError("no")


async def failing_async() -> AsyncIterator[Any]:
    yield "a"
    raise ValueError("no")


def raises(_: Any = None) -> Any:
    raise ValueError("no")


async def raises_later(_: Any = None) -> Any:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("function", "before"),
    [
        (raises, []),
        (raises_later, []),
        (lambda _: failing_generator(), ["a"]),
        (lambda _: failing_async(), ["a"]),
        (lambda _: ["a", ValueError("no"), "b"], ["a"]),
        (lambda _: [stream(rx.of("a").pipe(ops.delay(1.0))), rx.throw(ValueError("no"))], ["a"]),
    ],
    ids=["sync", "async", "generator", "async generator", "an exception", "an observable"],
)
def test_what_it_raises_fails_its_block_in_its_place(
    marbles: Marbles, function: Any, before: list[str]
) -> None:
    ended = marbles.probe()
    without_deltas = ops.filter(lambda marker: marker[0] != "delta")
    marks = say("q").pipe(agent(function, id="f"), markers(), without_deltas, ended)
    marbles.expect_markers(marks).to_be(
        [
            ("start", "f"),
            *(("response", text) for text in before),
            ("error", {"type": "ValueError", "message": "no", "where": "f"}),
            ("end", "f"),
            ("result", "agent-error"),
        ]
    )
    marbles.flush()
    assert ended.completions == 1


@pytest.mark.parametrize("reply", [3, b"a", object(), {"x": 1}, [[None, 3]], True])
def test_a_reply_that_is_no_message_fails_its_block_and_is_named(marbles: Marbles, reply: Any) -> None:
    failed = marbles.probe()
    heard = say("q").pipe(agent(lambda _: reply, id="f"), text(), failed)
    marbles.expect(heard).to_be("#", error=InputError)
    marbles.flush()
    assert "is no message" in str(failed.errors[0])


def test_an_interruption_cancels_all_that_runs_and_closes_the_generator(marbles: Marbles) -> None:
    closed: list[float] = []

    @agent
    async def talker(transcript: Transcript) -> AsyncIterator[Any]:
        try:
            yield MessageStream(a)
            yield MessageStream(b)
            await asyncio.sleep(100)
        finally:
            closed.append(asyncio.get_running_loop().time())

    a = marbles.cold("                     -x-x-x-x-x|")
    b = marbles.cold("                     -x-x-x-x-x|")
    stop = marbles.hot("                   ----s")
    last = say("q").pipe(talker, until(stop), markers(), ops.last())
    marbles.expect(last).to_be("           ----(r|)", r=("result", "interrupted"))
    marbles.expect_subscriptions(a).to_be("^---!")
    marbles.expect_subscriptions(b).to_be("^---!")
    marbles.flush()
    assert closed == [4]


# -- live


@agent.live
async def shout(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
    async for message in heard:
        yield say(message).pipe(map_tokens(str.upper))


def test_a_live_agent_is_called_at_once_with_the_messages_as_they_come_as_the_diagram_draws_it(
    marbles: Marbles,
) -> None:
    source = marbles.cold(
        """
           -m1--m2---|
        m1 -x--|
        m2 -----y-|
        """
    )
    marbles.expect(source.pipe(shout)).to_be(
        """
               shout-----|
        shout  -m1--m2---|
        m1     -X--|
        m2     -----Y-|
        """
    )


def test_a_live_agent_lets_each_token_through_at_its_time(marbles: Marbles) -> None:
    ended = marbles.probe()
    llm = marbles.llm("-a--b---c|")
    said = {"content": "ABC", "role": "assistant", "name": "a"}
    marbles.expect_markers(say("q").pipe(Agent("a", llm), shout, markers(), ended)).to_be(
        [
            (0, "start", "shout"),
            (1, "delta", "A"),
            (4, "delta", "B"),
            (8, "delta", "C"),
            (9, "response", [said, ANY]),
            (9, "end", "shout"),
            (9, "result", "done"),
        ]
    )
    marbles.flush()
    assert ended.completions == 1


@pytest.mark.parametrize(
    ("kind", "said"), [("sync", "-a------|"), ("async", "-a------|"), ("generator", "f(/ a)--|")]
)
def test_a_live_agent_may_be_any_kind_of_function(marbles: Marbles, kind: str, said: str) -> None:
    def plain(heard: Any) -> Any:
        return heard.pipe(ops.map(lambda message: message))

    async def later(heard: Any) -> Any:
        return [message async for message in heard]

    def generator(heard: Any) -> Any:
        yield "first"
        yield heard

    function = {"sync": plain, "async": later, "generator": generator}[kind]
    source = just(marbles.message("-a------|", name="s"))
    live = source.pipe(agent.live(function, id="f"), text("/"))
    marbles.expect(live).to_be(said, f="first")


def test_a_live_agent_passes_on_state_and_the_cost_of_what_it_heard(marbles: Marbles) -> None:
    silent = agent.live(lambda heard: None, id="f")
    update = StateUpdate("s", variables={"n": 1})
    llm = ScriptedLLM([Reply("x", usage=Usage(total_tokens=7))])
    folded = rx.concat(just(update), say("q")).pipe(Agent("a", llm), silent, transcript())
    counted = folded.pipe(ops.map(lambda t: (t.variables["n"], t.usage.total_tokens)))
    marbles.expect(counted).to_be("(x|)", x=(1, 7))


def test_a_live_agent_that_fails_fails_its_block_and_cancels_what_it_hears(marbles: Marbles) -> None:
    @agent.live
    async def broken(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for _ in heard:
            raise ValueError("no")
        yield "never"

    ended = marbles.probe()
    llm = marbles.llm("                      -a-b-c-d|")
    live = say("q").pipe(Agent("a", llm), broken, markers(), ended)
    marbles.expect_markers(live).to_be(
        [
            ("start", "broken"),
            ("error", {"type": "ValueError", "message": "no", "where": "broken"}),
            ("end", "broken"),
            ("result", "agent-error"),
        ]
    )
    marbles.expect_subscriptions(llm).to_be("(^!)")
    marbles.flush()
    assert ended.completions == 1


def test_a_failure_upstream_fails_the_live_agent(marbles: Marbles) -> None:
    failing = Agent("a", marbles.llm("                            x--#", "x--#", error=ValueError("no")))
    marks = say("q").pipe(failing, shout, markers())
    marbles.expect(marks.pipe(only("error"), ops.count())).to_be("---(n|)", n=1)
    marbles.expect(marks.pipe(ops.last())).to_be("                ---(r|)", r=("result", "agent-error"))


def test_disposing_a_live_agent_cancels_what_it_hears(marbles: Marbles) -> None:
    llm = marbles.llm("                           -a-b-c-d|")
    echo = agent.live(lambda heard: heard, id="f")
    pipe = say("q").pipe(Agent("a", llm), echo, text())
    marbles.expect(pipe, unsubscribe_at=4).to_be("-a-b")
    marbles.expect_subscriptions(llm).to_be("     ^---!")


def test_a_live_agent_in_a_team_hears_the_conversation_so_far(marbles: Marbles) -> None:
    @agent.live
    async def counter(heard: Replay[MessageStream]) -> Any:
        return str([message.result.text async for message in heard if message.result])

    team = Team(marbles.llm(), [counter], "team", max_turns=2)
    said = say("q").pipe(team, responses(), ops.map(str))
    marbles.expect(said).to_be("(a b|)", a="['q']", b="['q', \"['q']\"]")


# -- as_agent


def test_an_operator_gets_a_name_as_the_diagram_draws_it(marbles: Marbles) -> None:
    source = marbles.cold("                             -q|", q=MessageStream(rx.of("q")))
    said = marbles.cold("                               ---a--|")
    named = as_agent("b", lambda source: just(MessageStream(said)), "Says a.")
    assert (named.id, named.description) == ("b", "Says a.")
    marbles.expect(source.pipe(named)).to_be(
        """
           (b|)
        b  m-----|
        m  ---a--|
        """
    )
    marbles.expect(say("q").pipe(named, text())).to_be("---a--|")


def test_each_subscription_to_a_named_operator_is_a_run_of_its_own(marbles: Marbles) -> None:
    llm = marbles.llm("                      -one|", "-two|")
    pipeline = say("q").pipe(as_agent("b", Agent("a", llm)), text())
    marbles.expect(pipeline).to_be("         -one|")
    marbles.expect(pipeline).to_be("         ------^two|")
    marbles.expect_subscriptions(llm).to_be("^---!", "------^---!")


def test_an_operator_as_a_member_hears_the_conversation(marbles: Marbles) -> None:
    llm = marbles.llm("(one|)", "(two|)")
    chain = as_agent("chain", lambda source: source.pipe(Agent("a", llm), Agent("b", llm)))
    team = Team(marbles.llm(), [chain], "team", max_turns=1)
    started = say("q").pipe(team, markers(), only("start"), ops.map(lambda marker: marker[1]))
    marbles.expect(started).to_be("(team chain b|)")
    marbles.flush()
    assert llm.requests[0].messages == ({"role": "user", "content": "q"},)


def test_an_operator_that_fails_fails_its_block(marbles: Marbles) -> None:
    def broken(source: Any) -> Any:
        raise ValueError("no")

    for operator in (lambda source: rx.throw(ValueError("no")), broken):
        marbles.expect(say("q").pipe(as_agent("b", operator), markers())).to_be(
            "(s e b r|)",
            s=("start", "b"),
            e=("error", {"type": "ValueError", "message": "no", "where": "b"}),
            b=("end", "b"),
            r=("result", "agent-error"),
        )


# -- the decorators


def test_the_decorators_take_an_id_and_a_description_or_find_them() -> None:
    @agent
    def one(transcript: Transcript) -> None:
        """Does one.

        And more.
        """

    @agent(id="zwei", description="Two.")
    def two(transcript: Transcript) -> None: ...

    @agent.live
    def three(heard: Any) -> None: ...

    @agent.live(id="vier")
    def four(heard: Any) -> None:
        """Four."""

    class Talker:
        """Talks."""

        def __call__(self, transcript: Transcript) -> str:
            return "x"

    made = [one, two, three, four, agent(Talker()), agent(lambda _: None, id="f", description="F.")]
    assert [(each.id, each.description) for each in made] == [
        *(("one", "Does one."), ("zwei", "Two."), ("three", ""), ("vier", "Four.")),
        *(("Talker", "Talks."), ("f", "F.")),
    ]


def test_what_cannot_be_an_agent_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'<lambda>' is not made of"):
        agent(lambda _: None)
    with pytest.raises(ConfigurationError, match="made of a function, not of str"):
        agent("critic")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the id ''"):
        agent(raises, id="")
    with pytest.raises(ConfigurationError, match="int is no operator"):
        as_agent("a", 3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the id 'a b'"):
        as_agent("a b", lambda source: source)


def test_a_conversation_may_be_replied_with_and_is_heard(marbles: Marbles) -> None:
    heard: list[str] = []

    @agent
    def listener(transcript: Transcript) -> str:
        heard.extend(message.text for message in transcript)
        return "ok"

    before = Conversation([Message(role="user", content="earlier")])
    marbles.expect(say(before, "q").pipe(listener, text())).to_be("(ok|)")
    marbles.flush()
    assert heard == ["earlier", "q"]
