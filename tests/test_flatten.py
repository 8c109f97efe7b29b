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
from rxagents.flatten import Speaker, flatten
from rxagents.sinks import just
from rxagents.testing import virtual
from rxagents.testing.timelines import END, timeline
from rxagents.values import delta


def marbles(diagram: str) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0)


def told(entry: Any) -> Any:
    """An item as its text, or itself if it has none."""
    if isinstance(entry, MessageStream):
        return entry.result.text if entry.result else entry
    return entry


def said(*things: Any) -> list[Any]:
    return [told(item) for _, item in timeline(say(*things))]


def times(*things: Any) -> list[tuple[float, Any]]:
    return [(at, told(item)) for at, item in timeline(say(*things))]


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


def test_it_says_what_the_diagram_draws() -> None:
    assert times("a", ["b", later("c", 4)]) == [(0, "a"), (0, "b"), (4, "c"), (4, END)]


def test_nothing_and_empty_things_are_nothing() -> None:
    assert said() == [END]
    assert said(None, [], (), [None, [[]]], rx.empty(), generated(), coming()) == [END]


def test_an_empty_string_is_a_message() -> None:
    assert said("") == ["", END]


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
def test_each_kind_is_said(kind: str) -> None:
    assert said(ALL[kind]()) == ["x", END]


@pytest.mark.parametrize(
    "wrapped", list(itertools.product(["list", "observable", "awaitable", "async"], repeat=3)), ids=" ".join
)
@pytest.mark.parametrize("kind", ["a string", "a dict with text", "an observable", "an async generator"])
def test_kinds_nest_three_deep(kind: str, wrapped: tuple[str, ...]) -> None:
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
    assert said(thing) == ["a", "a", "a", "x", "z", "z", "z", END]


def test_saying_what_was_said_says_it() -> None:
    assert said(say(say("a", say("b")), "c")) == ["a", "b", "c", END]


def test_items_pass_as_they_are() -> None:
    block, update, transcript = (
        Block("b", None),
        StateUpdate("x"),
        Transcript().with_message(UserMessage("a")),
    )
    message = MessageStream(rx.never())
    entries = [item for _, item in timeline(say(block, [update], rx.of(transcript), message))]
    assert [*map(id, entries[:4]), entries[4]] == [*map(id, (block, update, transcript, message)), END]


def test_a_conversation_is_its_transcript() -> None:
    conversation = Conversation([UserMessage("a")])
    [(_, item), _] = timeline(say(conversation))
    assert item is conversation.transcript


def test_a_stream_that_is_given_twice_is_passed_twice() -> None:
    message = MessageStream(marbles("-a|"))
    assert [item for _, item in timeline(say(message, message))] == [message, message, END]


def test_plain_words_are_the_users_and_messages_stay_as_they_are() -> None:
    class Rated(Message):
        stars: int = 0

    rated = Rated(role="system", content="x", stars=3)
    streams = [
        item for _, item in timeline(say("a", rated, {"role": "assistant", "content": "b", "name": "n"}))
    ]
    assert [(item.role, item.name) for item in streams[:3]] == [
        *(("user", None), ("system", None), ("assistant", "n")),
    ]
    assert streams[1].result is rated


def test_what_a_dict_has_beside_goes_to_the_metadata() -> None:
    [(_, item), _] = timeline(say({"content": "x", "mood": "good", "metadata": {"a": 1}}))
    assert item.result.metadata == {"a": 1, "mood": "good"}


def test_a_workflow_input_has_a_text_and_maybe_a_name() -> None:
    assert WorkflowInput("x", "ada").to_dict() == {"text": "x", "name": "ada"}
    assert WorkflowInput("x").to_dict() == {"text": "x"}
    [(_, item), _] = timeline(say({"text": "x", "name": "ada"}))
    assert (item.result.role, item.result.name) == ("user", "ada")
    with pytest.raises(InputError, match="'pictures'"):
        say({"text": "x", "pictures": []})
    with pytest.raises(InputError, match="int"):
        WorkflowInput(7)  # type: ignore[arg-type]


def test_each_subscription_says_it_anew() -> None:
    source = say("a", Conversation([UserMessage("b")]))
    [first, *_], [second, *_] = timeline(source), timeline(source)
    assert first[1].id != second[1].id
    assert Transcript().fold(first[1]).fold(second[1])[1].text == "a"


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

    assert said(*[made(thing) for thing in things]) == [*flat(("list", things)), END]


def test_everything_that_can_run_runs_at_once() -> None:
    assert times(later("a", 3), later("b", 3), coming("c", "d", gap=1.5)) == [
        *((3, "a"), (3, "b"), (3, "c"), (3, "d"), (3, END)),
    ]


# Errors


def test_an_exception_fails_the_conversation_in_its_place() -> None:
    error = ValueError("broken")
    assert times(later("a", 2), error, "b") == [(2, "a"), (2, error)]


def test_errors_of_what_comes_later_come_in_their_place() -> None:
    error = ValueError("broken")

    async def failing() -> Any:
        raise error

    async def breaking() -> AsyncIterator[str]:
        yield "b"
        raise error

    def raising() -> Iterator[str]:
        yield "b"
        raise error

    assert times(later("a", 2), failing(), "c") == [(2, "a"), (2, error)]
    for things in (breaking(), raising(), rx.concat(rx.of("b"), rx.throw(error)), ["b", error]):
        assert times(later("a", 2), things, "c") == [(2, "a"), (2, "b"), (2, error)]


NO_MESSAGES = [
    *(7, 1.5, True, b"x", bytearray(b"x"), memoryview(b"x"), object(), 1j, len, UserMessage, ValueError),
    *(Usage(), Completion(), FunctionResult("f", "x", "1"), KeyboardInterrupt(), range, later),
]


@pytest.mark.parametrize("thing", NO_MESSAGES, ids=repr)
def test_what_is_no_message_is_refused_at_once_and_named(thing: Any) -> None:
    for wrapped in (thing, [thing], ["a", ("b", [thing])]):
        with pytest.raises(InputError, match=type(thing).__name__):
            say(wrapped)


@pytest.mark.parametrize("thing", NO_MESSAGES, ids=repr)
def test_what_turns_out_to_be_no_message_fails_in_its_place_and_is_named(thing: Any) -> None:
    [first, (_, error)] = timeline(say("a", rx.of(thing), "b"))
    assert told(first[1]) == "a"
    assert isinstance(error, InputError)
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


def test_a_generator_is_closed_when_its_reader_leaves() -> None:
    log: list[Any] = []

    def endless() -> Iterator[str]:
        try:
            for n in itertools.count():
                log.append(n)
                yield str(n)
        finally:
            log.append("closed")

    assert [told(item) for _, item in timeline(say(endless()).pipe(ops.take(2)))] == ["0", "1", END]
    assert log[-1] == "closed"
    assert log.count("closed") == 1
    assert len(log) <= 4


@virtual
async def test_a_generator_that_cuts_its_own_run_is_closed() -> None:
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
    heard: list[Any] = []
    message.subscribe(lambda item: heard.append(item["content"]), heard.append, lambda: heard.append(END))
    assert (heard, log) == (["a", END], ["closed"])


@virtual
async def test_leaving_closes_async_generators_and_cancels_awaitables() -> None:
    log: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(100)
        finally:
            log.append("generator")

    async def awaited() -> str:
        try:
            await asyncio.sleep(100)
        finally:
            log.append("awaitable")
        return "never"

    subscription = say(generator(), awaited()).subscribe()
    await asyncio.sleep(1)
    subscription.dispose()
    await asyncio.sleep(1)
    assert sorted(log) == ["awaitable", "generator"]


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


def test_what_a_function_agent_yields_are_its_own_words() -> None:
    speaker = Speaker("assistant", "poet")
    unnamed, named = AssistantMessage("c"), AssistantMessage("d", name="other")
    running = MessageStream(marbles("e|"))
    things = ["a", {"content": "b"}, unnamed, named, SystemMessage("s"), running, stream("f", name="x")]
    items = [item for _, item in timeline(flatten(things, speaker))][:-1]
    assert [(item.role, item.name) for item in items] == [
        *[("assistant", "poet")] * 3,
        ("assistant", "other"),
        ("system", None),
        ("assistant", "poet"),
        ("assistant", "x"),
    ]


def test_a_named_message_keeps_its_type() -> None:
    class Rated(AssistantMessage):
        stars: int = 0

    [(_, item), _] = timeline(flatten(Rated("x", stars=3), Speaker("assistant", "critic")))
    assert type(item.result) is Rated
    assert (item.result.stars, item.result.name) == (3, "critic")


# stream


def tokens(message: MessageStream) -> list[Any]:
    return [item["content"] if type(item) is dict else item for _, item in timeline(message)]


def test_a_stream_comes_as_its_source_does() -> None:
    assert [
        (at, item["content"] if type(item) is dict else item)
        for at, item in timeline(stream(marbles("--Hel-lo-|")))
    ] == [(2, "Hel"), (6, "lo"), (9, END)]


@pytest.mark.parametrize(
    "source",
    [
        lambda: ["Hel", "lo"],
        lambda: ("Hel", delta("lo")),
        lambda: generated("Hel", {"content": "lo"}),
        lambda: coming("Hel", "lo"),
        lambda: rx.of("Hel", "lo"),
        lambda: MessageStream(rx.of("Hel", "lo")),
    ],
)
def test_a_stream_is_made_of_any_source_of_tokens(source: Any) -> None:
    message = stream(source(), name="x", role="user")
    assert tokens(message) == ["Hel", "lo", END]
    assert message.result == Message(role="user", content="Hello", name="x")
    assert tokens(message) == ["Hel", "lo", END]


@pytest.mark.parametrize("source", ["Hello", delta("Hello"), {"content": "Hello"}])
def test_a_string_or_a_delta_is_a_stream_of_one_token(source: Any) -> None:
    assert tokens(stream(source)) == ["Hello", END]


@pytest.mark.parametrize("source", [7, None, b"x", bytearray(b"x"), object(), UserMessage("x"), Usage(), str])
def test_what_cannot_be_streamed_is_refused_at_once(source: Any) -> None:
    with pytest.raises(
        InputError, match=type(source).__name__ if source.__class__ is not UserMessage else "Message"
    ):
        stream(source)


def test_a_stream_fails_as_its_source_does() -> None:
    error = ValueError("broken")

    def raising() -> Iterator[str]:
        yield "a"
        raise error

    async def breaking() -> AsyncIterator[str]:
        yield "a"
        raise error

    for source in (raising(), breaking(), rx.concat(rx.of("a"), rx.throw(error))):
        message = stream(source)
        assert tokens(message) == ["a", error]
        assert message.result is not None
        assert message.result.text == "a"


def test_the_parts_of_a_list_are_read_once_each() -> None:
    message = stream(generated("a", "b"))
    assert said(message, message)[-1] == END
    assert just(message) is not None
    assert tokens(message) == ["a", "b", END]
