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
from reactivex import operators as ops

from rxagents import AssistantMessage, Completion, FunctionResult, InputError, Message, MessageStream, Usage
from rxagents.engine.loops import shared_loop
from rxagents.streams import new_id
from rxagents.testing import Marbles
from rxagents.values import ToolCall, delta


async def message_of(stream: MessageStream) -> Message:
    return await stream


async def items_of(stream: rx.Observable[Any]) -> list[Any]:
    return [item async for item in stream]


def test_the_stream_and_its_message_come_as_the_diagram_draws_them(marbles: Marbles) -> None:
    stream = marbles.message("    --Hel-lo-|")
    marbles.expect(stream).to_be("--Hel-lo-|")
    whole = marbles.message("     --Hel-lo-|").message
    marbles.expect(whole).to_be(" ---------([Hello]|)")


def test_what_it_is_is_known_at_once() -> None:
    stream = MessageStream(rx.never(), name="agent1", role="user", id="7")
    assert (stream.id, stream.name, stream.role, stream.result) == ("7", "agent1", "user", None)
    assert repr(stream) == "<MessageStream of agent1, open>"
    assert len({new_id() for _ in range(1000)}) == 1000


def test_strings_and_short_dicts_are_deltas_and_whole_ones_are_passed_by_reference(marbles: Marbles) -> None:
    whole = delta("c", reasoning="hm")
    bookkeeping = {"content": "d", "a": 1, "b": 2, "c": 3}
    probe = marbles.probe()
    source = marbles.cold("-a-b-c---d---|", b={"content": "b"}, c=whole, d=bookkeeping)
    marbles.expect(MessageStream(source).pipe(probe)).to_be(
        "-a-b-(cx)(dy)|", x={"reasoning": "hm"}, y={"a": 1, "b": 2, "c": 3}
    )
    marbles.flush()
    assert probe.items == [delta("a"), delta("b"), whole, delta("d", a=1, b=2, c=3)]
    assert probe.items[2] is whole
    keys = ["content", "function_call", "refusal", "tool_calls"]
    assert all(list(item)[:4] == keys for item in probe.items)


@pytest.mark.parametrize("thing", [7, None, b"bytes", ["a"], object(), Message(role="user", content="x")])
def test_what_is_no_delta_fails_the_message_and_is_named(marbles: Marbles, thing: Any) -> None:
    stream = MessageStream(marbles.cold("-a-x|", x=thing))
    marbles.expect(stream).to_be("       -a-#", error=InputError)
    marbles.flush()
    assert type(thing).__name__ in str(stream.error)


def test_a_failed_message_keeps_what_arrived(marbles: Marbles) -> None:
    stream = marbles.message("    -Hel-#", error=ValueError("lost"))
    marbles.expect(stream).to_be("-Hel-#", error=ValueError("lost"))
    marbles.flush()
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
def test_a_delta_of_the_wrong_types_fails_the_message_and_is_named(
    marbles: Marbles, given: Any, told: str
) -> None:
    stream = MessageStream(marbles.cold("-a-x|", x=given))
    marbles.expect(stream).to_be("-a-#", error=InputError)
    marbles.flush()
    assert told in str(stream.error)
    assert stream.result is not None
    assert (stream.result.text, stream.result.finish_reason) == ("a", "error")


def shown(given: Any) -> Any:
    with Marbles() as marbles:
        source = marbles.cold("(x|)", x=given)
        marbles.expect_subscriptions(source).to_be("(^!)")
        [item] = marbles.run(items_of(MessageStream(source)))
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
    names = dict(zip("abcdefghijkl", tokens, strict=False))
    drawn = "-" + "".join(f"-{name}" for name in names) + "-"
    shown = "-" + "".join(f"-{name}" if token else "--" for name, token in names.items()) + "-"
    end = len(drawn)
    with Marbles() as marbles:
        probe = marbles.probe()
        stream = MessageStream(marbles.cold(f"{drawn}|", **names))
        if cut is not None:
            end = min(end, 1 + 2 * cut)
            marbles.at(1 + 2 * cut, stream.interrupt)
        marbles.expect(stream.pipe(probe)).to_be(f"{shown[:end]}|", **names)
    expected = tokens if cut is None else tokens[:cut]
    assert [item["content"] for item in probe.items] == expected
    assert stream.result is not None
    assert stream.result.content == "".join(expected)
    was_cut = cut is not None and cut <= len(tokens)
    assert (stream.result.finish_reason == "interrupted") == was_cut == stream.interrupted


def test_completions_are_no_items_but_their_usage_and_reason_count(marbles: Marbles) -> None:
    usage = Usage(completion_tokens=1, prompt_tokens=2, total_tokens=3)
    first, last = Completion(usage, "tool_calls"), Completion(usage, "stop", "m", "r")
    stream = MessageStream(marbles.cold("     -a-x-b-y|", x=first, y=last))
    marbles.expect(stream, state=True).to_be("-a---b--|")
    marbles.flush()
    message = stream.result
    assert message is not None
    assert message.usage == usage + usage
    assert (message.finish_reason, message.metadata) == ("stop", {"model": "m", "request_id": "r"})


def test_function_results_stand_between_the_deltas(marbles: Marbles) -> None:
    call = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}])
    answer = FunctionResult("f", "42", "c")
    stream = marbles.message("    -x----y---It_is_42.|", name="agent1", x=call, y=answer)
    marbles.expect(stream).to_be("-@f{}-=42-It_is_42.|")
    marbles.flush()
    whole = {"id": "c", "function": {"arguments": "{}", "name": "f"}, "type": None, "index": 0}
    assert stream.items == (delta(tool_calls=[whole]), answer, delta("It is 42."))
    message = stream.result
    assert message is not None
    assert [(step.role, step.content) for step in message.steps] == [("assistant", None), ("tool", "42")]
    assert (message.text, message.tool_calls) == ("It is 42.", ())


# Reading


def test_awaiting_gives_the_message_again_and_again(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    stream = MessageStream(source, name="x")
    marbles.expect_subscriptions(source).to_be("^----!")

    async def twice() -> tuple[Message, Message]:
        return await stream, await stream

    first, second = marbles.run(twice())
    assert (first.text, second) == ("ab", first)


def test_awaiting_raises_the_error(marbles: Marbles) -> None:
    stream = marbles.message("-a-#", error=ValueError("lost"))

    async def awaited() -> None:
        with pytest.raises(ValueError, match="lost"):
            await stream

    marbles.run(awaited())


def test_awaiting_an_interrupted_message_gives_what_there_was(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    stream = MessageStream(source)
    marbles.at(2, stream.interrupt)
    marbles.expect_subscriptions(source).to_be("^-!")
    message = marbles.run(message_of(stream))
    assert (message.text, message.finish_reason) == ("a", "interrupted")


def test_cancelling_the_only_one_who_awaits_cancels_the_message(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    stream = MessageStream(source)
    marbles.expect_subscriptions(source).to_be("^-!")

    async def cancelled() -> None:
        task = asyncio.create_task(stream._whole())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.interrupted

    marbles.run(cancelled())


def test_iterating_gives_the_deltas(marbles: Marbles) -> None:
    assert marbles.run(items_of(marbles.message("-a-b-|"))) == [delta("a"), delta("b")]


def test_a_plain_for_names_async_for() -> None:
    with pytest.raises(TypeError, match="async for"):
        list(MessageStream(rx.of("a")))  # type: ignore[call-overload]


def test_the_message_fails_as_the_stream_does_and_leaving_it_cancels(marbles: Marbles) -> None:
    failing = MessageStream(marbles.cold("                    -a-#", error=ValueError("lost")))
    marbles.expect(failing.message).to_be("                   ---#", error=ValueError("lost"))
    source = marbles.cold("                                   -a-b-|")
    left = MessageStream(source)
    marbles.expect(left.message, unsubscribe_at="^-!").to_be("---")
    marbles.expect_subscriptions(source).to_be("              ^-!")
    marbles.flush()
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
def test_a_finished_message_as_a_stream_is_one_delta_that_carries_it(
    marbles: Marbles, message: Message, expected: list[Any]
) -> None:
    stream = MessageStream.of(message, id="7")
    assert (stream.ended, stream.result, stream.id) == (True, message, "7")
    assert stream.result is message
    assert (stream.name, stream.role) == (message.name, message.role)
    probe = marbles.probe()
    marbles.expect_subscriptions(probe).to_be("(^!)")
    assert marbles.run(items_of(stream.pipe(probe))) == expected
    again = stream.assembled()
    assert (again.text, again.refusal, again.tool_calls) == (
        message.text,
        message.refusal,
        message.tool_calls,
    )


def test_a_dropped_message_and_its_readers_leave_nothing_behind(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")

    async def dropped() -> None:
        stream = MessageStream(source)
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

    marbles.expect_subscriptions(source).to_be("^-!")
    marbles.run(dropped())
