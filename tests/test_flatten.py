"""say and stream: whatever a person would throw at an agent, as one flat conversation in order."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import (
    AssistantMessage,
    Block,
    Completion,
    Conversation,
    FunctionResult,
    InputError,
    Message,
    MessageStream,
    StateUpdate,
    SystemMessage,
    Transcript,
    Usage,
    UserMessage,
    WorkflowInput,
    say,
    stream,
)
from rxagents.saying.flatten import Speaker, flatten
from rxagents.testing import Marbles, virtual
from rxagents.values import delta


async def items_of(source: Observable[Any]) -> list[Any]:
    return [item async for item in source]


async def said(*things: Any) -> list[str]:
    return [item.result.text for item in await items_of(say(*things))]


async def later(thing: Any, seconds: float = 1.0) -> Any:
    await asyncio.sleep(seconds)
    return thing


async def coming(*things: Any, gap: float = 1.0) -> AsyncIterator[Any]:
    for thing in things:
        await asyncio.sleep(gap)
        yield thing


def generated(*things: Any) -> Iterator[Any]:
    yield from things


# Kinds


def test_it_says_what_the_diagram_draws(marbles: Marbles) -> None:
    marbles.expect(say("a", ["b", later("c", 9)])).to_be(
        """
            (m1 m2)--(m3|)
        m1  (a|)
        m2  (b|)
        m3  ---------(c|)
        """
    )


def test_nothing_and_empty_things_are_nothing(marbles: Marbles) -> None:
    marbles.expect(say()).to_be("|")
    empty = say(None, [], (), [None, [[]]], rx.empty(), generated(), coming())
    marbles.expect(empty).to_be("|")


def test_an_empty_string_is_a_message(marbles: Marbles) -> None:
    marbles.expect(say("")).to_be(
        """
           (m|)
        m  |
        """
    )


ALL: dict[str, Any] = {
    "a string": lambda: "x",
    "a message": lambda: UserMessage("x"),
    "a dict with content": lambda: {"content": "x"},
    "a dict with a role": lambda: {"role": "user", "content": "x"},
    "a dict with text": lambda: {"text": "x"},
    "a workflow input": lambda: WorkflowInput("x"),
    "a stream": lambda: MessageStream.of(UserMessage("x")),
    "a list": lambda: ["x"],
    "a tuple": lambda: ("x",),
    "a generator": lambda: generated("x"),
    "a set": lambda: {"x"},
    "a map": lambda: map(str, ["x"]),
    "a coroutine": lambda: later("x"),
    "an async generator": lambda: coming("x"),
    "an observable": lambda: rx.of("x"),
    "what say gives": lambda: say("x"),
}


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_is_said(marbles: Marbles, kind: str) -> None:
    assert marbles.run(said(ALL[kind]())) == ["x"]


@pytest.mark.parametrize(
    "wrapped", list(itertools.product(["list", "observable", "awaitable", "async"], repeat=3)), ids=" ".join
)
@pytest.mark.parametrize("kind", ["a string", "a dict with text", "an observable", "an async generator"])
def test_kinds_nest_three_deep(marbles: Marbles, kind: str, wrapped: tuple[str, ...]) -> None:
    thing = ALL[kind]()
    for wrapper in wrapped:
        if wrapper == "list":
            thing = ["a", thing, "z"]
        elif wrapper == "observable":
            thing = rx.of("a", thing, "z")
        elif wrapper == "awaitable":
            thing = later(["a", thing, "z"])
        else:
            thing = coming("a", thing, "z")
    assert marbles.run(said(thing)) == ["a", "a", "a", "x", "z", "z", "z"]


def test_saying_what_was_said_says_it(marbles: Marbles) -> None:
    marbles.expect(say(say("a", say("b")), "c")).to_be(
        """
            (m1 m2 m3|)
        m1  (a|)
        m2  (b|)
        m3  (c|)
        """
    )


def test_items_pass_as_they_are(marbles: Marbles) -> None:
    block, update, transcript = (
        Block("b", None),
        StateUpdate("x"),
        Transcript().with_message(UserMessage("a")),
    )
    message = MessageStream(rx.never())
    items = marbles.run(items_of(say(block, [update], rx.of(transcript), message)))
    assert [*map(id, items)] == [*map(id, (block, update, transcript, message))]


def test_a_conversation_is_its_transcript(marbles: Marbles) -> None:
    conversation = Conversation([UserMessage("a")])
    [item] = marbles.run(items_of(say(conversation)))
    assert item is conversation.transcript


def test_a_stream_that_is_given_twice_is_passed_twice(marbles: Marbles) -> None:
    message = marbles.message("-a|")
    probe = marbles.probe()
    marbles.expect(say(message, message).pipe(probe)).to_be(
        """
            (m1 m2|)
        m1  -a|
        m2  -a|
        """
    )
    marbles.flush()
    assert probe.items == [message, message]


def test_plain_words_are_the_users_and_messages_stay_as_they_are(marbles: Marbles) -> None:
    class Rated(Message):
        stars: int = 0

    rated = Rated(role="system", content="x", stars=3)
    streams = marbles.run(items_of(say("a", rated, {"role": "assistant", "content": "b", "name": "n"})))
    assert [(item.role, item.name) for item in streams] == [
        *(("user", None), ("system", None), ("assistant", "n")),
    ]
    assert streams[1].result is rated


def test_what_a_dict_has_beside_goes_to_the_metadata(marbles: Marbles) -> None:
    [item] = marbles.run(items_of(say({"content": "x", "mood": "good", "metadata": {"a": 1}})))
    assert item.result.metadata == {"a": 1, "mood": "good"}


def test_a_workflow_input_has_a_text_and_maybe_a_name(marbles: Marbles) -> None:
    assert WorkflowInput("x", "ada").to_dict() == {"text": "x", "name": "ada"}
    assert WorkflowInput("x").to_dict() == {"text": "x"}
    [item] = marbles.run(items_of(say({"text": "x", "name": "ada"})))
    assert (item.result.role, item.result.name) == ("user", "ada")
    with pytest.raises(InputError, match="'pictures'"):
        say({"text": "x", "pictures": []})
    with pytest.raises(InputError, match="int"):
        WorkflowInput(7)  # type: ignore[arg-type]


def test_each_subscription_says_it_anew(marbles: Marbles) -> None:
    source = say("a", Conversation([UserMessage("b")]))

    async def twice() -> list[list[Any]]:
        return [await items_of(source) for _ in range(2)]

    [first, *_], [second, *_] = marbles.run(twice())
    assert first.id != second.id
    assert Transcript().fold(first).fold(second)[1].text == "a"


# Order


THINGS = st.recursive(
    st.sampled_from("abc"),
    lambda inner: st.tuples(
        st.sampled_from(["list", "later", "coming", "observable"]),
        st.lists(inner, max_size=3),
        st.integers(0, 4),
    ),
    max_leaves=8,
)


@given(st.lists(THINGS, max_size=4))
def test_the_order_is_kept_whatever_the_timing(things: list[Any]) -> None:
    def made(thing: Any) -> Any:
        if isinstance(thing, str):
            return thing
        kind, parts, gap = thing[0], [made(part) for part in thing[1]], thing[2]
        if kind == "list":
            return parts
        if kind == "later":
            return later(parts, gap)
        if kind == "coming":
            return coming(*parts, gap=gap)
        return rx.timer(float(gap)).pipe(ops.map(lambda _: parts))

    def flat(thing: Any) -> list[Any]:
        return [thing] if isinstance(thing, str) else [part for inner in thing[1] for part in flat(inner)]

    with Marbles() as marbles:
        assert marbles.run(said(*[made(thing) for thing in things])) == flat(("list", things))


def test_everything_that_can_run_runs_at_once(marbles: Marbles) -> None:
    marbles.expect(say(later("a", 3), later("b", 3), coming("c", "d", gap=1.5))).to_be(
        """
            ---(m1 m2 m3 m4|)
        m1  ---(a|)
        m2  ---(b|)
        m3  ---(c|)
        m4  ---(d|)
        """
    )


# Errors


def test_an_exception_fails_the_conversation_in_its_place(marbles: Marbles) -> None:
    error = ValueError("broken")
    probe = marbles.probe()
    marbles.expect(say(later("a", 2), error, "b").pipe(probe)).to_be(
        """
           --(m#)
        m  --(a|)
        """,
        error=error,
    )
    marbles.flush()
    assert probe.errors == [error]


def test_errors_of_what_comes_later_come_in_their_place(marbles: Marbles) -> None:
    error = ValueError("broken")
    probe = marbles.probe()

    async def failing() -> Any:
        raise error

    async def breaking() -> AsyncIterator[str]:
        yield "b"
        raise error

    def raising() -> Iterator[str]:
        yield "b"
        raise error

    marbles.expect(say(later("a", 2), failing(), "c").pipe(probe)).to_be(
        """
           --(m#)
        m  --(a|)
        """,
        error=error,
    )
    for things in (breaking(), raising(), rx.concat(rx.of("b"), rx.throw(error)), ["b", error]):
        marbles.expect(say(later("a", 2), things, "c").pipe(probe)).to_be(
            """
                --(m1 m2 #)
            m1  --(a|)
            m2  --(b|)
            """,
            error=error,
        )
    marbles.flush()
    assert probe.errors == [error] * 5


NO_MESSAGES = [
    *(7, 1.5, True, b"x", bytearray(b"x"), memoryview(b"x"), object(), 1j, len, UserMessage, ValueError),
    *(Usage(), Completion(), FunctionResult("f", "x", "1"), KeyboardInterrupt(), range, later),
]


@pytest.mark.parametrize("thing", NO_MESSAGES, ids=lambda thing: type(thing).__name__)
def test_what_is_no_message_is_refused_at_once_and_named(thing: Any) -> None:
    for wrapped in (thing, [thing], ["a", ("b", [thing])]):
        with pytest.raises(InputError, match=type(thing).__name__):
            say(wrapped)


@pytest.mark.parametrize("thing", NO_MESSAGES, ids=lambda thing: type(thing).__name__)
def test_what_turns_out_to_be_no_message_fails_in_its_place_and_is_named(
    marbles: Marbles, thing: Any
) -> None:
    probe = marbles.probe()
    marbles.expect(say("a", rx.of(thing), "b").pipe(probe)).to_be(
        """
           (m#)
        m  (a|)
        """,
        error=InputError,
    )
    marbles.flush()
    [error] = probe.errors
    assert type(thing).__name__ in str(error)


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        ({"foo": 1, 2: 3}, "'foo'"),
        ({}, "needs"),
        ({"role": "robot", "content": "x"}, "robot"),
        ({"content": 7}, "content"),
    ],
)
def test_a_dict_that_is_no_message_is_refused_with_what_is_wrong(thing: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        say(["a", thing])


def test_refusing_starts_nothing() -> None:
    begun: list[int] = []

    def counting() -> Iterator[str]:
        begun.append(1)
        yield "a"

    with pytest.raises(InputError):
        say(counting(), 7)
    assert begun == []


# Letting go


def test_a_generator_is_closed_when_its_reader_leaves(marbles: Marbles) -> None:
    log: list[Any] = []

    def endless() -> Iterator[str]:
        try:
            for n in itertools.count():
                log.append(n)
                yield str(n)
        finally:
            log.append("closed")

    marbles.expect(say(endless()).pipe(ops.take(2))).to_be(
        """
            (m1 m2|)
        m1  (0|)
        m2  (1|)
        """
    )
    marbles.flush()
    assert log[-1] == "closed"
    assert log.count("closed") == 1
    assert len(log) <= 4


def test_a_generator_that_cuts_its_own_run_is_closed(marbles: Marbles) -> None:
    log: list[Any] = []

    def suicidal() -> Iterator[str]:
        try:
            yield "a"
            message.interrupt()
            yield "b"
            yield "c"
        finally:
            log.append("closed")

    message = stream(suicidal())
    marbles.expect(message).to_be("(a~)")
    marbles.flush()
    assert log == ["closed"]


def test_leaving_closes_async_generators_and_cancels_awaitables(marbles: Marbles) -> None:
    log: list[tuple[float, str]] = []

    def note(closed: str) -> None:
        log.append((asyncio.get_running_loop().time(), closed))

    async def generator() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(100)
        finally:
            note("generator")

    async def awaited() -> str:
        try:
            await asyncio.sleep(100)
        finally:
            note("awaitable")
        return "never"

    marbles.expect(say(generator(), awaited()), unsubscribe_at="^--!").to_be(
        """
           m--
        m  (a|)
        """
    )
    marbles.flush()
    assert sorted(log) == [(3, "awaitable"), (3, "generator")]


@virtual
async def test_a_dropped_pipeline_leaves_nothing_behind() -> None:
    source = say("a", rx.never())
    subscription: Any = source.subscribe()
    await asyncio.sleep(1)
    subscription.dispose()
    gone = weakref.ref(source), weakref.ref(subscription)
    del source, subscription
    await asyncio.sleep(1)
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


# The agents' own words


def test_what_a_function_agent_yields_are_its_own_words(marbles: Marbles) -> None:
    speaker = Speaker("assistant", "poet")
    unnamed, named = AssistantMessage("c"), AssistantMessage("d", name="other")
    running = marbles.message("e|")
    things = ["a", {"content": "b"}, unnamed, named, SystemMessage("s"), running, stream("f", name="x")]
    items = marbles.run(items_of(flatten(things, speaker)))
    assert [(item.role, item.name) for item in items] == [
        *[("assistant", "poet")] * 3,
        ("assistant", "other"),
        ("system", None),
        ("assistant", "poet"),
        ("assistant", "x"),
    ]


def test_a_named_message_keeps_its_type(marbles: Marbles) -> None:
    class Rated(AssistantMessage):
        stars: int = 0

    [item] = marbles.run(items_of(flatten(Rated("x", stars=3), Speaker("assistant", "critic"))))
    assert type(item.result) is Rated
    assert (item.result.stars, item.result.name) == (3, "critic")


# stream


def test_a_stream_comes_as_its_source_does(marbles: Marbles) -> None:
    source = marbles.cold("               --Hel-lo-|", Hel="Hel", lo="lo")
    spoken = marbles.expect(stream(source), words=True)
    spoken.to_be("                         --Hel-lo-|")


@pytest.mark.parametrize(
    ("source", "drawn"),
    [
        (lambda: ["Hel", "lo"], "(Hel lo|)"),
        (lambda: ("Hel", delta("lo")), "(Hel lo|)"),
        (lambda: generated("Hel", {"content": "lo"}), "(Hel lo|)"),
        (lambda: coming("Hel", "lo", gap=4), "----Hel-(lo|)"),
        (lambda: rx.of("Hel", "lo"), "(Hel lo|)"),
        (lambda: MessageStream(rx.of("Hel", "lo")), "(Hel lo|)"),
    ],
)
def test_a_stream_is_made_of_any_source_of_tokens(marbles: Marbles, source: Any, drawn: str) -> None:
    message = stream(source(), name="x", role="user")
    marbles.expect(message).to_be(drawn)
    marbles.expect(message).to_be("----------(^Hel lo|)")
    marbles.flush()
    assert message.result == Message(role="user", content="Hello", name="x")


@pytest.mark.parametrize("source", ["Hello", delta("Hello"), {"content": "Hello"}])
def test_a_string_or_a_delta_is_a_stream_of_one_token(marbles: Marbles, source: Any) -> None:
    marbles.expect(stream(source)).to_be("(Hello|)")


@pytest.mark.parametrize("source", [7, None, b"x", bytearray(b"x"), object(), UserMessage("x"), Usage(), str])
def test_what_cannot_be_streamed_is_refused_at_once(source: Any) -> None:
    with pytest.raises(
        InputError, match=type(source).__name__ if source.__class__ is not UserMessage else "Message"
    ):
        stream(source)


def test_a_stream_fails_as_its_source_does(marbles: Marbles) -> None:
    error = ValueError("broken")

    def raising() -> Iterator[str]:
        yield "a"
        raise error

    async def breaking() -> AsyncIterator[str]:
        yield "a"
        raise error

    messages = [stream(source) for source in (raising(), breaking(), marbles.cold("(a#)", error=error))]
    for message in messages:
        marbles.expect(message).to_be("                                            (a#)", error=error)
    marbles.flush()
    for message in messages:
        assert message.error is error
        assert message.result is not None
        assert message.result.text == "a"


def test_the_parts_of_a_list_are_read_once_each(marbles: Marbles) -> None:
    message = stream(generated("a", "b"))
    marbles.expect(say(message, message)).to_be(
        """
            (m1 m2|)
        m1  (a b|)
        m2  (a b|)
        """
    )
    marbles.expect(message).to_be("---(^a b|)")
