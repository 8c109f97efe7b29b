"""MessageStream: deltas that can be read again and again, and come to one frozen Message."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import AssistantMessage, Completion, FunctionResult, InputError, Message, MessageStream, Usage
from rxagents.loops import shared_loop
from rxagents.streams import new_id
from rxagents.testing import VirtualClock, virtual
from rxagents.testing.timelines import END, timeline
from rxagents.values import ToolCall, delta


def marbles(diagram: str) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0)


def contents(entries: list[tuple[float, Any]]) -> list[tuple[float, Any]]:
    return [(at, item["content"] if type(item) is dict else item) for at, item in entries]


def result_of(*items: Any, **options: Any) -> Message:
    stream = MessageStream(rx.of(*items), **options)
    timeline(stream)
    assert stream.result is not None
    return stream.result


def error_of(*items: Any) -> Exception:
    entries = timeline(MessageStream(rx.of(*items)))
    error = entries[-1][1]
    assert isinstance(error, Exception)
    return error


def test_the_stream_and_its_message_come_as_the_diagram_draws_them() -> None:
    assert contents(timeline(MessageStream(marbles("--Hel-lo-|")))) == [(2, "Hel"), (6, "lo"), (9, END)]
    [(at, message), end] = timeline(MessageStream(marbles("--Hel-lo-|")).message)
    assert (at, message.text, end) == (9, "Hello", (9, END))


def test_what_it_is_is_known_at_once() -> None:
    stream = MessageStream(rx.never(), name="agent1", role="user", id="7")
    assert (stream.id, stream.name, stream.role, stream.result) == ("7", "agent1", "user", None)
    assert repr(stream) == "<MessageStream of agent1, open>"
    assert len({new_id() for _ in range(1000)}) == 1000


def test_strings_and_short_dicts_are_deltas_and_whole_ones_are_passed_by_reference() -> None:
    whole = delta("c", reasoning="hm")
    bookkeeping = {"content": "d", "a": 1, "b": 2, "c": 3}
    entries = timeline(MessageStream(rx.of("a", {"content": "b"}, whole, bookkeeping)))
    items = [item for _, item in entries[:-1]]
    assert items == [delta("a"), delta("b"), whole, delta("d", a=1, b=2, c=3)]
    assert items[2] is whole
    assert all(list(item)[:4] == ["content", "function_call", "refusal", "tool_calls"] for item in items)


@pytest.mark.parametrize("thing", [7, None, b"bytes", ["a"], object(), Message(role="user", content="x")])
def test_what_is_no_delta_fails_the_message_and_is_named(thing: Any) -> None:
    error = error_of("a", thing)
    assert isinstance(error, InputError)
    assert type(thing).__name__ in str(error)


def test_a_failed_message_keeps_what_arrived() -> None:
    stream = MessageStream(rx.concat(rx.of("Hel"), rx.throw(ValueError("lost"))))
    entries = timeline(stream)
    assert str(entries[-1][1]) == "lost"
    assert stream.result is not None
    assert (stream.result.text, stream.result.finish_reason) == ("Hel", "error")
    assert repr(stream) == "<MessageStream of assistant, failed>"


CALL = {"id": "c", "function": {"arguments": "{}", "name": "f"}, "type": "function", "index": 0}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"content": 5}, "the content of a delta is int; it must be str"),
        (delta(7), "the content of a delta is int"),  # type: ignore[arg-type]
        (delta(7, reasoning="hm"), "the content of a delta is int"),  # type: ignore[arg-type]
        ({"refusal": ["no"]}, "the refusal of a delta is list"),
        ({"function_call": "f"}, "the function_call of a delta is str; it must be dict"),
        ({"tool_calls": {}}, "the tool_calls of a delta is dict; it must be list"),
        (delta(tool_calls=["f"]), "the entry of tool_calls of a delta is str"),  # type: ignore[list-item]
        (delta(tool_calls=[{**CALL, "id": 5}]), "the id of a tool call of a delta is int"),
        (delta(tool_calls=[{**CALL, "index": "0"}]), "the index of a tool call of a delta is str"),
        (
            delta(tool_calls=[{**CALL, "function": {"arguments": {}, "name": "f"}}]),
            "the arguments of a tool call of a delta is dict",
        ),
        ({"content": "a", "image": b"\xff"}, "cannot be written as JSON"),
    ],
)
def test_a_delta_of_the_wrong_types_fails_the_message_and_is_named(given: Any, told: str) -> None:
    stream = MessageStream(rx.of("a", given))
    error = timeline(stream)[-1][1]
    assert isinstance(error, InputError)
    assert told in str(error)
    assert stream.result is not None
    assert (stream.result.text, stream.result.finish_reason) == ("a", "error")


def shown(given: Any) -> Any:
    [(_, item), end] = timeline(MessageStream(rx.of(given)))
    assert end == (0, END)
    return item


def test_a_delta_whose_keys_stand_in_another_order_is_put_in_order() -> None:
    item = shown({"tool_calls": None, "refusal": None, "x": 1, "function_call": None, "content": "a"})
    assert list(item.items()) == [*delta("a").items(), ("x", 1)]
    assert list(shown({**delta("a"), "role": "assistant"})) == list(delta("a"))


@pytest.mark.parametrize(
    "given",
    [delta(), delta("a"), delta(refusal="no"), delta("a", reasoning="hm"), delta(tool_calls=[CALL])],
)
def test_a_delta_in_order_is_passed_by_reference(given: Any) -> None:
    assert shown(given) is given


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        (
            {"index": 0, "function": {"name": "foo"}},
            {"id": None, "function": {"arguments": None, "name": "foo"}, "type": None, "index": 0},
        ),
        (dict(reversed(CALL.items())), CALL),
        ({**CALL, "function": {"name": "f", "arguments": "{}"}}, CALL),
        ({}, {"id": None, "function": {"arguments": None, "name": None}, "type": None, "index": None}),
        ({**CALL, "signature": "s"}, {**CALL, "signature": "s"}),
    ],
)
def test_an_entry_of_tool_calls_has_all_its_keys_in_order(given: Any, whole: Any) -> None:
    for partial in (delta(tool_calls=[given]), {"tool_calls": (given, None)}):
        [call] = shown(partial)["tool_calls"]
        assert list(call.items()) == list(whole.items())
        assert list(call["function"]) == ["arguments", "name"]


def test_what_a_delta_carries_beside_can_be_written_as_json() -> None:
    class Thing:
        def __str__(self) -> str:
            return "thing"

    item = shown(delta("a", parts=(1, Thing()), thing=Thing()))
    assert json.loads(json.dumps(item)) == item == delta("a", parts=[1, "thing"], thing="thing")
    assert shown({"function_call": {"name": Thing()}})["function_call"] == {"name": "thing"}


@given(st.lists(st.text(max_size=3), max_size=12), st.integers(0, 14) | st.none())
def test_the_tokens_join_to_the_content_however_it_ends(tokens: list[str], cut: int | None) -> None:
    source = rx.concat(*[rx.timer(1.0).pipe(ops.map(lambda _, t=token: t)) for token in tokens])
    stream = MessageStream(source)
    heard: list[Any] = []
    with VirtualClock() as clock:
        clock.at(0, lambda: stream.subscribe(lambda item: heard.append(item["content"])))
        if cut is not None:
            clock.at(cut + 0.5, stream.interrupt)
        clock.advance(30)
    expected = tokens if cut is None else tokens[:cut]
    assert heard == expected
    assert stream.result is not None
    assert stream.result.content == "".join(expected)
    was_cut = cut is not None and cut < len(tokens)
    assert (stream.result.finish_reason == "interrupted") == was_cut == stream.interrupted


def test_completions_are_no_items_but_their_usage_and_reason_count() -> None:
    usage = Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3)
    stream = MessageStream(
        rx.of("a", Completion(usage, "tool_calls"), "b", Completion(usage, "stop", "m", "r"))
    )
    assert contents(timeline(stream)) == [(0, "a"), (0, "b"), (0, END)]
    message = stream.result
    assert message is not None
    assert message.usage == usage + usage
    assert (message.finish_reason, message.metadata) == ("stop", {"model": "m", "request_id": "r"})


def test_function_results_stand_between_the_deltas() -> None:
    call = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}])
    answer = FunctionResult("f", "42", "c")
    stream = MessageStream(rx.of(call, answer, "It is 42."), name="agent1")
    whole = {"id": "c", "function": {"arguments": "{}", "name": "f"}, "type": None, "index": 0}
    assert [item for _, item in timeline(stream)[:-1]] == [
        *(delta(tool_calls=[whole]), answer, delta("It is 42.")),
    ]
    message = stream.result
    assert message is not None
    assert [(step.role, step.content) for step in message.steps] == [("assistant", None), ("tool", "42")]
    assert (message.text, message.tool_calls) == ("It is 42.", ())


# Reading


@virtual
async def test_awaiting_gives_the_message_again_and_again() -> None:
    stream = MessageStream(marbles("-a-b-|"), name="x")
    first = await stream
    assert (first.text, await stream) == ("ab", first)


@virtual
async def test_awaiting_raises_the_error() -> None:
    with pytest.raises(ValueError, match="lost"):
        await MessageStream(rx.throw(ValueError("lost")))


@virtual
async def test_awaiting_an_interrupted_message_gives_what_there_was() -> None:
    stream = MessageStream(marbles("-a-b-|"))
    asyncio.get_running_loop().call_later(2, stream.interrupt)
    message = await stream
    assert (message.text, message.finish_reason) == ("a", "interrupted")


@virtual
async def test_cancelling_the_only_one_who_awaits_cancels_the_message() -> None:
    stream = MessageStream(marbles("-a-b-|"))
    task = asyncio.create_task(stream._whole())
    await asyncio.sleep(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.interrupted


@virtual
async def test_iterating_gives_the_deltas() -> None:
    stream = MessageStream(marbles("-a-b-|"))
    assert [item["content"] async for item in stream] == ["a", "b"]  # type: ignore[index]


def test_a_plain_for_names_async_for() -> None:
    with pytest.raises(TypeError, match="async for"):
        list(MessageStream(rx.of("a")))  # type: ignore[call-overload]


@virtual
async def test_the_message_fails_as_the_stream_does_and_leaving_it_cancels() -> None:
    stream = MessageStream(rx.throw(ValueError("lost")))
    told: list[Any] = []
    stream.message.subscribe(told.append, told.append)
    await asyncio.sleep(1)
    assert [str(error) for error in told] == ["lost"]
    left = MessageStream(rx.never())
    left.message.subscribe(told.append).dispose()
    assert left.interrupted


def test_the_message_comes_on_the_loop_of_whoever_subscribes() -> None:
    stream = MessageStream(rx.of("a"))
    stream.bind(shared_loop())

    async def main() -> tuple[Any, Any]:
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        stream.message.subscribe(lambda message: heard.set_result((message.text, threading.current_thread())))
        return await heard

    text, thread = asyncio.run(main())
    assert (text, thread) == ("a", threading.main_thread())


def test_several_loops_and_threads_may_await_one_stream() -> None:
    stream = MessageStream(rx.timer(0.01).pipe(ops.map(lambda _: "Hello")))
    results: list[str] = []

    async def read() -> None:
        results.append((await stream).text)

    threads = [threading.Thread(target=lambda: asyncio.run(read())) for _ in range(4)]
    hold = stream.hold()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    hold.dispose()
    assert results == ["Hello"] * 4


# of


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (AssistantMessage("Hi", name="x"), [delta("Hi")]),
        (AssistantMessage(""), []),
        (AssistantMessage(None), []),
        (AssistantMessage(None, refusal="No."), [delta(None, refusal="No.")]),
        (
            AssistantMessage([{"type": "text", "text": "Hi"}]),
            [delta("Hi", content_parts=[{"type": "text", "text": "Hi"}])],
        ),
        (
            AssistantMessage(None, tool_calls=(ToolCall(id="c", function={"name": "f", "arguments": "{}"}),)),
            [
                delta(
                    tool_calls=[
                        {
                            "id": "c",
                            "function": {"name": "f", "arguments": "{}"},
                            "type": "function",
                            "index": 0,
                        }
                    ]
                )
            ],
        ),
    ],
)
def test_a_finished_message_as_a_stream_is_one_delta_that_carries_it(message: Message, expected: Any) -> None:
    stream = MessageStream.of(message, id="7")
    assert (stream.ended, stream.result, stream.id) == (True, message, "7")
    assert stream.result is message
    assert (stream.name, stream.role) == (message.name, message.role)
    assert timeline(stream) == [*((0, item) for item in expected), (0, END)]
    again = stream.assembled()
    assert (again.text, again.refusal, again.tool_calls) == (
        message.text,
        message.refusal,
        message.tool_calls,
    )


@virtual
async def test_a_dropped_message_and_its_readers_leave_nothing_behind() -> None:
    stream = MessageStream(marbles("-a-b-|"))
    async for _ in stream:
        break
    hold = stream.hold()
    await asyncio.sleep(1)
    hold.dispose()
    await asyncio.sleep(0)
    gone = weakref.ref(stream)
    del stream, hold
    gc.collect()
    assert gone() is None
