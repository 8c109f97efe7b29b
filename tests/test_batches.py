"""Deltas that come at once: to whoever acts on them they come one by one."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from itertools import permutations
from typing import Any

import pytest

from rxagents import Agent, Delta, MessageStream, Workflow, on_dropped
from rxagents.engine.bridges import fed
from rxagents.engine.emitters import Emitter
from rxagents.engine.sinks import Sink
from rxagents.kept_deltas import Deltas
from rxagents.values import delta

WORDS = [f"word{number} " for number in range(8)]
BATCHES = [WORDS[:1], WORDS[1:6], WORDS[6:]]


def batches() -> Emitter[Any]:
    async def run(sink: Any) -> None:
        for batch in BATCHES:
            await asyncio.sleep(0)
            sink.on_many(Deltas([*batch]))

    return fed(run)


def said(deltas: list[Any]) -> str:
    return "".join(each["content"] for each in deltas)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(10):
            await main()

    asyncio.run(timed())


@pytest.mark.parametrize("cut_at", [1, 3, 6, 8])
@pytest.mark.parametrize("order", [*permutations(["pulls", "hears", "cuts"])], ids="-".join)
def test_a_message_that_is_cut_keeps_what_its_readers_have_seen(cut_at: int, order: tuple[str, ...]) -> None:
    async def main() -> None:
        stream = MessageStream(batches())
        seen: dict[str, list[Any]] = {"pulls": [], "hears": [], "cuts": []}

        def cut(each: Any) -> None:
            seen["cuts"].append(each)
            if len(seen["cuts"]) == cut_at:
                stream.interrupt()

        async def pull() -> None:
            async for each in stream:
                seen["pulls"].append(each)

        pulling = []
        for reader in order:
            if reader == "pulls":
                pulling.append(asyncio.ensure_future(pull()))
            else:
                stream.subscribe(cut if reader == "cuts" else seen["hears"].append)
        message = await stream
        await pulling[0]
        heard = "".join(WORDS[:cut_at])
        assert [message.text, said([*stream.items]), *map(said, seen.values())] == [heard] * 5
        assert message.finish_reason == "interrupted"

    run(main)


@pytest.mark.parametrize("cut_at", [1, 3, 6])
def test_a_run_that_is_left_at_a_marker_ends_behind_that_marker(cut_at: int) -> None:
    async def main() -> None:
        running = Workflow(Agent("bot", lambda _: batches())).start("Hi")
        marks: list[Any] = []
        deltas: list[Delta] = []
        over = asyncio.Event()

        def hear(marker: Any) -> None:
            mark, content = marker
            marks.append(marker)
            if mark == "delta":
                deltas.append(content)
                if len(deltas) == cut_at:
                    running.dispose()

        running.markers().subscribe(hear, on_completed=over.set)
        await over.wait()
        heard = "".join(WORDS[:cut_at])
        assert said(deltas) == heard
        assert [content[0]["content"] for mark, content in marks if mark == "interrupted"] == [heard]

    run(main)


def test_one_who_raises_or_leaves_in_the_midst_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        stream = MessageStream(batches())
        raising: list[Any] = []
        leaving: list[Any] = []
        others: list[Any] = []
        errors: list[Exception] = []

        def fail(each: Any) -> None:
            raising.append(each)
            if len(raising) == 3:
                raise ValueError("mine")

        def leave(each: Any) -> None:
            leaving.append(each)
            if len(leaving) == 4:
                subscription.dispose()

        stream.subscribe(fail, errors.append)
        subscription = stream.subscribe(leave)
        stream.subscribe(others.append)
        await stream
        assert [len(raising), len(leaving), len(others)] == [3, 4, 8]
        assert [str(error) for error in errors] == ["mine"]

    run(main)


def test_what_a_thread_emits_at_once_keeps_its_order() -> None:
    async def several(sink: Any) -> None:
        def emit() -> None:
            for number in range(5):
                sink.on_many(Deltas([f"{number}a ", f"{number}b "]))

        await asyncio.to_thread(emit)
        await asyncio.sleep(0)

    async def main() -> None:
        stream = MessageStream(fed(several))
        threads: set[int] = set()
        stream.subscribe(lambda _: threads.add(threading.get_ident()))
        message = await stream
        assert message.text == "".join(f"{number}a {number}b " for number in range(5))
        assert threads == {threading.get_ident()}

    run(main)


class Many:
    """Takes many at once; at the first item it emits others, and at the last it leaves."""

    passive = False

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.sink: Any = None

    def on_next(self, value: Any) -> None:
        self.told.append([value])
        if len(self.told) == 1:
            self.sink.on_many(["b", "c"])
            self.told.append("told")

    def on_many(self, values: list[Any]) -> None:
        self.told.append(values)
        self.sink.dispose()

    def on_error(self, error: Exception) -> None: ...
    def on_completed(self) -> None: ...


def test_what_comes_at_once_while_one_is_told_comes_after_and_nothing_after_he_has_left() -> None:
    async def main() -> None:
        observer = Many()
        sink = observer.sink = Sink[Any](asyncio.get_running_loop(), observer)
        sink.on_next("a")
        assert observer.told == [["a"], "told", ["b"], ["c"]]
        sink.on_many(["d", "e"])
        sink.on_many(["f"])
        assert observer.told[4:] == [["d", "e"]]

    run(main)


def test_what_comes_after_the_end_is_reported_each_by_itself() -> None:
    async def main() -> None:
        kept: list[Any] = []

        async def leave(sink: Any) -> None:
            kept.append(sink)
            sink.on_next("a")

        await MessageStream(fed(leave))
        told: list[str] = []
        before = on_dropped(lambda error, _: told.append(str(error)))
        try:
            kept[0].on_next("b")
            kept[0].on_many(["c", "d"])
        finally:
            on_dropped(before)
        assert told == [f"after its end a stream emitted {late!r}" for late in "bcd"]

    run(main)


def test_so_many_are_wanted_at_once_as_the_fastest_reader_has_room_for() -> None:
    async def main() -> None:
        async def stall(_: Any) -> None:
            await asyncio.Event().wait()

        stream = MessageStream(fed(stall))
        rooms = [stream._demand.room]
        readers = [stream.pull(buffer=buffer) for buffer in (2, 3)]
        reading = []
        for reader in readers:
            reading.append(asyncio.ensure_future(anext(reader)))
            await asyncio.sleep(0)
            rooms.append(stream._demand.room)
        assert rooms == [0, 2, 3]
        stream._accept("a")
        stream._accept("b")
        assert stream._demand.room == 1
        stream._accept("c")
        assert stream._demand.room == 0
        with stream.subscribe():
            assert stream._demand.room > 1000
        stream.interrupt()
        await asyncio.wait(reading)

    run(main)


def test_what_a_coroutine_feeds_is_let_go_of_without_the_collector() -> None:
    gc.disable()
    try:
        left = weakref.ref(batches())
        assert left() is None
    finally:
        gc.enable()


def test_what_stands_beside_the_words_is_kept() -> None:
    async def several(sink: Any) -> None:
        sink.on_many(Deltas(["a", delta("b", reasoning="since"), "c"]))

    async def main() -> None:
        message = await MessageStream(fed(several))
        assert (message.text, message.metadata) == ("abc", {"reasoning": "since"})

    run(main)
