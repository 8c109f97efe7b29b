"""latest, sampled, coalesced: what a reader gets who is slower than what he looks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.subject import Subject

from rxagents import Agent, ConfigurationError, MessageStream, OpenAILLM, ScriptedLLM, Workflow, say, stream
from rxagents.engine.async_items import AsyncItems
from rxagents.engine.demands import current_demand, demanded_by
from rxagents.engine.emitters import Emitter
from rxagents.engine.loops import shared_loop
from rxagents.engine.mailboxes import Mailbox
from rxagents.engine.sync_items import SyncItems
from rxagents.operators import coalesced, deltas, latest, markers, sampled, text
from rxagents.testing import Endless, Marbles, OpenAIServer
from rxagents.values import delta

VIEWS = [latest, coalesced, lambda: sampled(1)]


async def told(source: Subject[Any], *items: Any) -> None:
    for item in items:
        source.on_next(item)


def test_only_the_newest_counts_for_a_busy_reader(marbles: Marbles) -> None:
    async def run() -> list[Any]:
        source: Subject[int] = Subject()
        reader = AsyncItems(source.pipe(latest()))
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        await told(source, 1, 2, 3)  # it waits for the first, and is busy with it from then on
        came = [await first, await anext(reader)]
        await told(source, 4, 5)
        source.on_completed()
        return came + [item async for item in reader]

    assert marbles.run(run()) == [1, 3, 5]


def test_the_newest_comes_before_an_error(marbles: Marbles) -> None:
    async def run() -> None:
        source: Subject[int] = Subject()
        reader = AsyncItems(source.pipe(latest()))
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        await told(source, 1, 2, 3)
        source.on_error(ValueError("broken"))
        assert [await first, await anext(reader)] == [1, 3]
        with pytest.raises(ValueError, match="broken"):
            await anext(reader)

    marbles.run(run())


@pytest.mark.parametrize("view", [latest, coalesced])
def test_who_subscribes_is_told_everything(marbles: Marbles, view: Any) -> None:
    async def run() -> list[Any]:
        came: list[Any] = []
        rx.from_iterable("abc").pipe(view()).subscribe(came.append)
        await asyncio.sleep(1)
        return came

    assert marbles.run(run()) == ["a", "b", "c"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_reads_on_however_slow_its_reader_is(marbles: Marbles, view: Any) -> None:
    async def run() -> None:
        message = stream(f"w{number} " for number in range(1000))
        reader = AsyncItems(message.pipe(view()), buffer=1)
        await anext(reader)
        await asyncio.sleep(5)
        assert message.length == 1000
        assert message.ended
        await reader.aclose()

    marbles.run(run())


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_read_behind_a_view_is_read_at_the_pace_of_its_reader(marbles: Marbles, view: Any) -> None:
    async def run() -> None:
        taken = 0

        async def tokens() -> AsyncIterator[str]:
            nonlocal taken
            for number in range(100):
                taken += 1
                yield f"w{number} "

        source: Subject[MessageStream] = Subject()
        reader = AsyncItems(source.pipe(view(), ops.flat_map(lambda message: message)), buffer=5)
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        source.on_next(stream(tokens()))
        await first
        await asyncio.sleep(5)
        assert taken <= 7
        source.on_completed()
        assert len([item async for item in reader]) == 99

    marbles.run(run())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_demands_everything(marbles: Marbles, view: Any) -> None:
    async def run() -> None:
        seen: list[Any] = []

        def start(sink: Any) -> None:
            seen.append(current_demand())
            sink.on_next("a")
            sink.on_completed()

        assert [item async for item in AsyncItems(Emitter(start).pipe(view()), buffer=1)] == ["a"]
        assert seen == [None]

    marbles.run(run())


@pytest.mark.parametrize("view", VIEWS)
def test_leaving_a_view_leaves_its_source(marbles: Marbles, view: Any) -> None:
    async def run() -> None:
        message = MessageStream(rx.interval(0.25).pipe(ops.map(str)))
        async with AsyncItems(message.pipe(view())) as reader:
            await anext(reader)
        assert message.interrupted

    marbles.run(run())


def test_a_sample_is_taken_at_its_time_and_only_of_what_is_new(marbles: Marbles) -> None:
    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        begun, came = loop.time(), []
        source: Subject[int] = Subject()
        source.pipe(sampled(10)).subscribe(lambda item: came.append((loop.time() - begun, item)))
        for at, item in ((1, "a"), (2, "b"), (35, "c"), (41, "d"), (41.5, "e")):
            loop.call_at(begun + at, source.on_next, item)
        loop.call_at(begun + 42, source.on_completed)
        await asyncio.sleep(100)
        return came

    assert marbles.run(run()) == [(10, "b"), (40, "c"), (42, "e")]


def test_a_sample_waits_for_a_busy_reader(marbles: Marbles) -> None:
    async def run() -> list[Any]:
        source = rx.interval(1).pipe(ops.take(30))
        came = []
        async for item in AsyncItems(source.pipe(sampled(2))):
            came.append(item)
            await asyncio.sleep(7)
        return came

    came = marbles.run(run())
    assert came == [0, 7, 14, 21, 28, 29]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_a_sample_is_of_some_time(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="sampled: seconds is"):
        sampled(seconds)


def plain(content: str, **others: Any) -> dict[str, Any]:
    return {**delta(content), **others}


def joined(*items: Any) -> list[Any]:
    """What a reader gets that is busy with the first item while the others come."""

    async def run() -> list[Any]:
        source: Subject[Any] = Subject()
        reader = AsyncItems(source.pipe(coalesced()))
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        await told(source, "", *items)
        source.on_completed()
        assert await first == ""
        return [item async for item in reader]

    return asyncio.run(run())


def test_what_comes_when_the_reader_has_just_asked_does_not_overtake_what_waits(marbles: Marbles) -> None:
    """He asks in another thread: his word for it is on its way, as are the items."""

    class Asking(Mailbox[Any]):
        asks = False

        @property
        def idle(self) -> bool:
            return self.asks

    async def run() -> None:
        source: Subject[str] = Subject()
        box: Asking = Asking(lambda: None)
        with demanded_by(box):
            source.pipe(coalesced()).subscribe(box.on_next)
        await told(source, "a", "b")
        box.asks = True
        await told(source, "c")
        source.on_completed()
        assert "".join(box.items) == "abc"

    marbles.run(run())


def test_strings_are_joined() -> None:
    assert joined("a", "b", "c") == ["abc"]


def test_deltas_are_joined() -> None:
    assert joined(plain("a"), plain("b")) == [plain("ab")]


def test_what_is_no_text_stands_where_it_stood() -> None:
    call = {**delta(None), "tool_calls": [{"id": "1"}]}
    assert joined(plain("a"), plain("b"), call, plain("c"), plain("d"), call, call) == [
        plain("ab"), call, plain("cd"), call, call
    ]  # fmt: skip


@pytest.mark.parametrize("extra", [{"restart": "again"}, {"progress": {}}, {"refusal": "no"}])
def test_a_delta_that_says_more_is_not_joined(extra: dict[str, Any]) -> None:
    special = plain("x", **extra)
    assert joined(plain("a"), special, plain("b")) == [plain("a"), special, plain("b")]


def test_what_is_of_another_kind_is_not_joined() -> None:
    assert joined("a", plain("b"), 1, "c") == ["a", plain("b"), 1, "c"]


def test_markers_of_one_message_are_joined_and_those_of_two_are_not(marbles: Marbles) -> None:
    async def run() -> list[Any]:
        team = rx.concat(*(say("go").pipe(Agent(name, ScriptedLLM(["one two three"]))) for name in "ab"))
        reader = AsyncItems(team.pipe(markers(), coalesced()))
        came = [await anext(reader)]
        await asyncio.sleep(1)
        return came + [marker async for marker in reader]

    came = marbles.run(run())
    assert [mark for mark, _ in came] == "start delta response end start delta response end result".split()
    assert [content["content"] for mark, content in came if mark == "delta"] == ["one two three"] * 2
    assert {mark.path for mark, _ in came if mark == "delta"} == {("a",), ("b",)}


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text(max_size=3), max_size=30), pauses=st.lists(st.integers(0, 3), min_size=1))
def test_nothing_is_lost(texts: list[str], pauses: list[int]) -> None:
    async def run() -> list[str]:
        source = rx.interval(1).pipe(ops.take(len(texts)), ops.map(lambda at: texts[at]))
        came = []
        async for item in AsyncItems(source.pipe(coalesced())):
            came.append(item)
            await asyncio.sleep(pauses[len(came) % len(pauses)])
        return came

    with Marbles() as marbles:
        assert "".join(marbles.run(run())) == "".join(texts)


def test_in_a_plain_loop() -> None:
    words = [f"w{number} " for number in range(500)]
    items = SyncItems(stream(iter(words)).pipe(coalesced()), shared_loop(), buffer=1)
    assert "".join(item["content"] for item in items) == "".join(words)


def test_a_live_view_of_a_real_reply() -> None:
    async def run() -> None:
        with OpenAIServer([Endless(3, "one two three end")]) as server:
            bot = Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any"))
            came: list[str] = []
            async for piece in say("go").pipe(bot, text(), coalesced()):  # type: ignore[attr-defined]
                came.append(piece)
                if len(came) == 2:
                    # busy for as long as it takes the server to send what no buffer would hold
                    async with asyncio.timeout(20):
                        while server.requests[0].events_sent < 30_000:
                            await asyncio.to_thread(int)
                    server.release()
            assert len(came) < 1000
            said = "".join(came)
            assert said.startswith("one two two")
            assert said.endswith("two three end")
            assert len(said.split()) == server.requests[0].events_sent - 4

    asyncio.run(run())


def test_of_a_workflow_and_of_deltas(marbles: Marbles) -> None:
    async def run() -> None:
        workflow = Workflow(Agent("bot", ScriptedLLM(["one two three"])))
        reader = AsyncItems(workflow.observe("go").pipe(coalesced()))
        await anext(reader)
        await asyncio.sleep(1)
        assert [mark async for mark, _ in reader] == ["delta", "response", "end", "result"]
        pieces = say("go").pipe(Agent("bot", ScriptedLLM(["one two"])), deltas(), coalesced())
        assert "".join([piece["content"] async for piece in pieces]) == "one two"  # type: ignore[attr-defined]

    marbles.run(run())
