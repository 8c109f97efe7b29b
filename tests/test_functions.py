"""Function agents: what a function may return and yield, live ones, and operators with a name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
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
from rxagents.llm.replies import Reply
from rxagents.operators import map_tokens, markers, messages, responses, text, transcript, until
from rxagents.replays import Replay
from rxagents.sinks import just
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def tokens(diagram: str, **options: Any) -> MessageStream:
    return MessageStream(marbles(diagram), **options)


def values(source: Observable[Any]) -> list[Any]:
    return [item for _, item in timeline(source)]


def said_by(reply: Any, *things: Any) -> list[tuple[str, str | None, str]]:
    """Role, name and text of all that a function with this reply says."""
    talker = agent(lambda transcript: reply(), id="f")
    entries = values(say("q", *things).pipe(talker, responses(inputs=True)))
    assert entries[-1] == END
    return [(message.role, message.name, message.text) for message in entries[:-1]]


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


OWN = "assistant", "f"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda: None, []),
        (lambda: "a", [(*OWN, "a")]),
        (lambda: soon("a"), [(*OWN, "a")]),
        (lambda: ["a", ["b", [["c"]]]], [(*OWN, "a"), (*OWN, "b"), (*OWN, "c")]),
        (generated, [(*OWN, "a"), (*OWN, "b"), (*OWN, "c")]),
        (asynchronous, [(*OWN, "a"), (*OWN, "b"), (*OWN, "c")]),
        (lambda: rx.of("a", ["b"]), [(*OWN, "a"), (*OWN, "b")]),
        (lambda: AssistantMessage("a"), [(*OWN, "a")]),
        (lambda: AssistantMessage("a", name="g"), [("assistant", "g", "a")]),
        (lambda: UserMessage("a"), [("user", None, "a")]),
        (lambda: SystemMessage("a", name="s"), [("system", "s", "a")]),
        (lambda: {"content": "a"}, [(*OWN, "a")]),
        (lambda: {"role": "user", "content": "a", "name": "ann"}, [("user", "ann", "a")]),
        (lambda: {"text": "a"}, [("user", None, "a")]),
        (lambda: WorkflowInput("a", "ann"), [("user", "ann", "a")]),
        (lambda: stream(["a", "b"]), [(*OWN, "ab")]),
        (lambda: stream("ab", name="g"), [("assistant", "g", "ab")]),
        (lambda: Block("inner", just(stream("ab", name="g"))), [("assistant", "g", "ab")]),
        (lambda: say("x").pipe(Agent("g", ScriptedLLM(["a"]))), [("assistant", "g", "a")]),
        (lambda: soon(soon(soon("a"))), [(*OWN, "a")]),
    ],
)
def test_a_function_may_reply_with_anything_that_say_takes(reply: Any, said: list[Any]) -> None:
    assert said_by(reply) == said


def test_a_reply_may_nest_three_deep() -> None:
    async def deep() -> AsyncIterator[Any]:
        yield [soon([generated(), asynchronous()]), rx.of(soon("d"))]

    assert [text for _, _, text in said_by(deep)] == ["a", "b", "c", "a", "b", "c", "d"]


def test_an_async_function_is_awaited() -> None:
    @agent
    async def waiter(transcript: Transcript) -> str:
        await asyncio.sleep(3)
        return transcript[-1].text.upper()

    assert timeline(say("q").pipe(waiter, text())) == [(3, "Q"), (3, END)]


def test_the_function_is_called_with_the_transcript_at_its_turn_as_the_diagram_draws_it() -> None:
    heard: list[Any] = []

    @agent
    def talker(transcript: Transcript) -> Any:
        heard.append([message.text for message in transcript])
        return [tokens("a|"), tokens("---b--|")]

    source = marbles("-q-|", q=MessageStream.of(UserMessage("q")))
    (at, block), end = timeline(source.pipe(talker))
    assert (at, block.name, end) == (3, "talker", (3, END))
    assert heard == []
    assert timeline(source.pipe(talker, text(""))) == [(3, "a"), (6, "b"), (9, END)]
    assert heard == [["q"]]


def test_all_that_it_replies_runs_at_once_and_is_delivered_in_order() -> None:
    begun: list[tuple[str, float]] = []

    def slow(name: str, diagram: str) -> MessageStream:
        def begin(_: Any) -> Observable[Any]:
            begun.append((name, asyncio.get_running_loop().time()))
            return marbles(diagram)

        return MessageStream(rx.defer(begin), name=name)

    talker = agent(lambda _: [slow("a", "-a---a|"), slow("b", "--b|"), [slow("c", "-------c|")]], id="f")
    entries = timeline(say("q").pipe(talker, markers()))
    assert begun == [("a", 0), ("b", 0), ("c", 0)]
    shown = [(at, mark, content["content"]) for at, (mark, content) in entries[:-1] if mark == "delta"]
    assert shown == [(1, "delta", "a"), (5, "delta", "a"), (6, "delta", "b"), (7, "delta", "c")]
    kinds = [str(item[0]) for _, item in entries[:-1]]
    assert kinds == [
        "start",
        *["delta"] * 2,
        "response",
        "delta",
        "response",
        "delta",
        "response",
        "end",
        "result",
    ]


def test_a_message_of_an_unfinished_generator_is_delivered_token_by_token() -> None:
    @agent
    async def talker(transcript: Transcript) -> AsyncIterator[Any]:
        yield tokens("-a-b|")
        await asyncio.sleep(10)
        yield "c"

    assert timeline(say("q").pipe(talker, text("/"))) == [(1, "a"), (3, "b"), (10, "/"), (10, "c"), (10, END)]


def test_nested_agents_stand_in_blocks_of_their_own() -> None:
    inner = Agent("inner", ScriptedLLM(["in"]))

    @agent
    async def middle(transcript: Transcript) -> AsyncIterator[Any]:
        yield "before"
        yield say(transcript).pipe(inner)
        yield "after"

    @agent
    def outer(transcript: Transcript) -> Any:
        return say(transcript).pipe(middle)

    marks = values(say("q").pipe(outer, markers()))[:-1]
    shown = [(str(mark), content) for mark, content in marks if mark in ("start", "end")]
    assert shown == [
        *(("start", "outer"), ("start", "middle"), ("start", "inner")),
        *(("end", "inner"), ("end", "middle"), ("end", "outer")),
    ]
    assert [(m[0]["name"], m[0]["content"]) for mark, m in marks if mark == "response"] == [
        *(("middle", "before"), ("inner", "in"), ("middle", "after")),
    ]


def test_state_updates_pass() -> None:
    @agent
    def setter(transcript: Transcript) -> Any:
        return [StateUpdate("s", variables={"n": 1}, usage=Usage(total_tokens=2)), "ok"]

    (folded, _) = values(say("q").pipe(setter, transcript()))
    assert folded.variables["n"] == 1
    assert folded.usage.total_tokens == 2


def test_a_stop_ends_the_team() -> None:
    stopper = agent(lambda _: ["bye", StateUpdate("stop", stop="enough")], id="f")
    marks = values(say("q").pipe(Team(ScriptedLLM([]), [stopper], "team"), markers()))[:-1]
    assert marks[-1] == ("result", "agent-stop")
    assert [str(mark) for mark, _ in marks].count("response") == 1


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
        (lambda _: [tokens("-a|"), rx.throw(ValueError("no"))], ["a"]),
    ],
    ids=["sync", "async", "generator", "async generator", "an exception", "an observable"],
)
def test_what_it_raises_fails_its_block_in_its_place(function: Any, before: list[str]) -> None:
    marks = values(say("q").pipe(agent(function, id="f"), markers()))[:-1]
    assert [m[0]["content"] for mark, m in marks if mark == "response"] == before
    assert [(str(mark), content) for mark, content in marks[-3:]] == [
        ("error", {"type": "ValueError", "message": "no", "where": "f"}),
        ("end", "f"),
        ("result", "agent-error"),
    ]


@pytest.mark.parametrize("reply", [3, b"a", object(), {"x": 1}, [["a", 3]], True])
def test_a_reply_that_is_no_message_fails_its_block_and_is_named(reply: Any) -> None:
    (*_, error) = values(say("q").pipe(agent(lambda _: reply, id="f"), text()))
    assert isinstance(error, InputError)
    assert "is no message" in str(error)


def test_an_interruption_cancels_all_that_runs_and_closes_the_generator() -> None:
    log: list[tuple[str, float]] = []

    def note(what: str) -> None:
        log.append((what, asyncio.get_running_loop().time()))

    @agent
    async def talker(transcript: Transcript) -> AsyncIterator[Any]:
        try:
            for name in "ab":
                yield MessageStream(
                    marbles("-x-x-x-x-x|").pipe(ops.finally_action(lambda name=name: note(name)))
                )
            await asyncio.sleep(100)
        finally:
            note("generator")

    entries = timeline(say("q").pipe(talker, until(rx.timer(4.0)), markers()))
    assert entries[-2] == (4, ("result", "interrupted"))
    assert sorted(log) == [("a", 4), ("b", 4), ("generator", 4)]


# -- live


def test_a_live_agent_is_called_at_once_with_the_messages_as_they_come_as_the_diagram_draws_it() -> None:
    @agent.live
    async def shout(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for message in heard:
            yield say(message).pipe(map_tokens(str.upper))

    a, b = tokens("--x-x|", name="s"), tokens("-y|", name="s")
    source = marbles("-a---b-|", a=a, b=b)
    (at, block), end = timeline(source.pipe(shout))
    assert (at, block.name, end) == (0, "shout", (7, END))
    source = marbles("-a---b-|", a=tokens("x--|", name="s"), b=tokens("y-|", name="s"))
    assert [at for at, _ in timeline(source.pipe(shout, messages()))] == [1, 5, 7]


def test_a_live_agent_lets_each_token_through_at_its_time() -> None:
    @agent.live
    async def shout(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for message in heard:
            yield say(message).pipe(map_tokens(str.upper))

    source = say("q").pipe(Agent("a", lambda request: marbles("-a--b---c|")), shout)
    entries = timeline(source.pipe(markers()))
    shown = [(at, content["content"]) for at, (mark, content) in entries[:-1] if mark == "delta"]
    assert shown == [(1, "A"), (4, "B"), (8, "C")]
    ((_, (content, _)),) = [item for _, item in entries[:-1] if item[0] == "response"]
    assert content == {"content": "ABC", "role": "assistant", "name": "a"}


@pytest.mark.parametrize("kind", ["sync", "async", "generator"])
def test_a_live_agent_may_be_any_kind_of_function(kind: str) -> None:
    def plain(heard: Any) -> Any:
        return heard.pipe(ops.map(lambda message: message))

    async def later(heard: Any) -> Any:
        return [message async for message in heard]

    def generator(heard: Any) -> Any:
        yield "first"
        yield heard

    function = {"sync": plain, "async": later, "generator": generator}[kind]
    source = just(tokens("-a|", name="s"))
    said = values(source.pipe(agent.live(function, id="f"), text("/")))[:-1]
    assert said == (["first", "/", "a"] if kind == "generator" else ["a"])


def test_a_live_agent_passes_on_state_and_the_cost_of_what_it_heard() -> None:
    silent = agent.live(lambda heard: None, id="f")
    update = StateUpdate("s", variables={"n": 1})
    llm = ScriptedLLM([Reply("x", usage=Usage(total_tokens=7))])
    (folded, _) = values(rx.concat(just(update), say("q")).pipe(Agent("a", llm), silent, transcript()))
    assert folded.variables["n"] == 1
    assert folded.usage.total_tokens == 7


def test_a_live_agent_that_fails_fails_its_block_and_cancels_what_it_hears() -> None:
    gone: list[str] = []

    @agent.live
    async def broken(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for _ in heard:
            raise ValueError("no")
        yield "never"

    source = say("q").pipe(
        Agent(
            "a", lambda request: marbles("-a-b-c-d|").pipe(ops.finally_action(lambda: gone.append("gone")))
        ),
        broken,
    )
    entries = timeline(source.pipe(markers()))
    error = {"type": "ValueError", "message": "no", "where": "broken"}
    assert [(str(item[0]), item[1]) for _, item in entries[1:-1]] == [
        *(("error", error), ("end", "broken"), ("result", "agent-error")),
    ]
    assert gone == ["gone"]


def test_a_failure_upstream_fails_the_live_agent() -> None:
    @agent.live
    async def listener(heard: Replay[MessageStream]) -> AsyncIterator[Any]:
        async for message in heard:
            yield say(message).pipe(map_tokens(str.upper))

    failing = Agent("a", lambda request: rx.concat(rx.of("x"), rx.throw(ValueError("no"))))
    marks = values(say("q").pipe(failing, listener, markers()))[:-1]
    assert [str(mark) for mark, _ in marks].count("error") == 1
    assert marks[-1] == ("result", "agent-error")


def test_disposing_a_live_agent_cancels_what_it_hears() -> None:
    gone: list[str] = []
    source = marbles("-a-b-c-d|").pipe(ops.finally_action(lambda: gone.append("gone")))
    echo = agent.live(lambda heard: heard, id="f")
    pipe = say("q").pipe(Agent("a", lambda request: source), echo, text())
    assert timeline(pipe, dispose_at=4) == [(1, "a"), (3, "b")]
    assert gone == ["gone"]


def test_a_live_agent_in_a_team_hears_the_conversation_so_far() -> None:
    @agent.live
    async def counter(heard: Replay[MessageStream]) -> Any:
        return str([message.result.text async for message in heard if message.result])

    team = Team(ScriptedLLM([]), [counter], "team", max_turns=2)
    said = [message.text for message in values(say("q").pipe(team, responses()))[:-1]]
    assert said == ["['q']", "['q', \"['q']\"]"]


# -- as_agent


def test_an_operator_gets_a_name_as_the_diagram_draws_it() -> None:
    named = as_agent("b", lambda source: just(tokens("---a--|")), "Says a.")
    assert (named.id, named.description) == ("b", "Says a.")
    (at, block), end = timeline(marbles("-q|", q=MessageStream(rx.of("q"))).pipe(named))
    assert (at, block.name, end) == (0, "b", (0, END))
    assert timeline(say("q").pipe(named, text())) == [(3, "a"), (6, END)]


def test_each_subscription_to_a_named_operator_is_a_run_of_its_own() -> None:
    llm = ScriptedLLM(["one", "two"])
    pipeline = say("q").pipe(as_agent("b", Agent("a", llm)), text())
    assert values(pipeline) == ["one", END]
    assert values(pipeline) == ["two", END]


def test_an_operator_as_a_member_hears_the_conversation() -> None:
    llm = ScriptedLLM(["one", "two"])
    chain = as_agent("chain", lambda source: source.pipe(Agent("a", llm), Agent("b", llm)))
    marks = values(say("q").pipe(Team(ScriptedLLM([]), [chain], "team", max_turns=1), markers()))[:-1]
    assert [content for mark, content in marks if mark == "start"] == ["team", "chain", "b"]
    assert llm.requests[0].messages == ({"role": "user", "content": "q"},)


def test_an_operator_that_fails_fails_its_block() -> None:
    named = as_agent("b", lambda source: rx.throw(ValueError("no")))
    marks = values(say("q").pipe(named, markers()))[:-1]
    assert marks[1][1]["where"] == "b"

    def broken(source: Any) -> Any:
        raise ValueError("no")

    marks = values(say("q").pipe(as_agent("b", broken), markers()))[:-1]
    assert marks[1][1] == {"type": "ValueError", "message": "no", "where": "b"}


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


def test_a_conversation_may_be_replied_with_and_is_heard() -> None:
    heard: list[str] = []

    @agent
    def listener(transcript: Transcript) -> str:
        heard.extend(message.text for message in transcript)
        return "ok"

    before = Conversation([Message(role="user", content="earlier")])
    assert values(say(before, "q").pipe(listener, text())) == ["ok", END]
    assert heard == ["earlier", "q"]
