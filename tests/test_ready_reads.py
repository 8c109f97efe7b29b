"""The reads of a body, joined as far as nothing is to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.llm.ready_reads import ReadyReads

WAIT = object()


def much() -> int:
    return 1000


def nothing() -> int:
    return 0


async def body(*steps: Any, log: list[str] | None = None) -> AsyncGenerator[bytes, None]:
    """Bytes are there, WAIT waits for the loop, a future is awaited, an exception is raised."""
    try:
        for step in steps:
            if step is WAIT:
                await asyncio.sleep(0)
            elif isinstance(step, asyncio.Future):
                await step
            elif isinstance(step, Exception):
                raise step
            else:
                yield step
    finally:
        if log is not None:
            log.append("left")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("closed")


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(10):
            await main()

    asyncio.run(timed())


async def all_of(reads: ReadyReads) -> list[bytes]:
    return [read async for read in reads]


@pytest.mark.parametrize(
    ("steps", "joined"),
    [
        ((b"a", b"b", b"c"), [b"abc"]),
        ((b"a", WAIT, b"b", b"c"), [b"a", b"b", b"c"]),  # one that was waited for is given at once
        ((WAIT, b"a", b"b", b"c", WAIT, WAIT, b"d"), [b"a", b"bc", b"d"]),
        ((b"", b"a", b"", b"b"), [b"ab"]),
        ((WAIT, b"", b"a"), [b"", b"a"]),
        ((), []),
        ((WAIT,), []),
        ((b"",), [b""]),
    ],
)
def test_what_is_there_is_one_read(steps: tuple[Any, ...], joined: list[bytes]) -> None:
    async def main() -> None:
        reads = ReadyReads(body(*steps), 100, much)
        assert await all_of(reads) == joined
        assert reads.received == len(b"".join(joined))
        assert await all_of(reads) == []

    run(main)


def test_no_more_are_joined_than_it_is_told() -> None:
    async def main() -> None:
        assert await all_of(ReadyReads(body(*[b"12345"] * 5), 10, much)) == [b"1234512345"] * 2 + [b"12345"]
        assert await all_of(ReadyReads(body(b"a", b"b", b"c"), 100, nothing)) == [b"a", b"b", b"c"]

    run(main)


def test_none_is_asked_for_ahead_where_it_is_not_to_go_on() -> None:
    async def main() -> None:
        reads = ReadyReads(body(b"a", WAIT, b"b"), 100, nothing)
        assert await anext(reads) == b"a"
        assert not reads.waits
        reads = ReadyReads(body(b"a", WAIT, b"b"), 100, much)
        assert await anext(reads) == b"a"
        assert reads.waits
        assert await anext(reads) == b"b"
        assert not reads.waits

    run(main)


@pytest.mark.parametrize("between", [(), (WAIT,)])
def test_what_had_arrived_comes_before_the_error(between: tuple[Any, ...]) -> None:
    async def main() -> None:
        reads = ReadyReads(body(b"a", b"b", *between, OSError("lost")), 100, much)
        assert await anext(reads) == b"ab"
        with pytest.raises(OSError, match="lost"):
            await anext(reads)

    run(main)


def test_a_read_that_is_put_back_is_the_next_one() -> None:
    async def main() -> None:
        reads = ReadyReads(body(b"a", WAIT, b"b"), 100, much)
        reads.put_back(await anext(reads))
        assert reads.received == 0
        assert await all_of(reads) == [b"a", b"b"]
        assert reads.received == 2

    run(main)


def test_a_cancelled_wait_is_cancelled_where_it_waits() -> None:
    async def main() -> None:
        log: list[str] = []
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reads = ReadyReads(body(b"a", never, log=log), 100, much)
        task = asyncio.ensure_future(all_of(reads))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert never.cancelled()
        assert log == ["left", "closed"]
        await reads.aclose()  # nothing is asked for any more

    run(main)


@pytest.mark.parametrize("cancelled", [0, 1, 3])
def test_a_read_is_given_up_to_its_end_however_often_its_task_is_cancelled(cancelled: int) -> None:
    async def main() -> None:
        log: list[str] = []
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reads = ReadyReads(body(b"a", never, log=log), 100, much)

        async def leave() -> None:
            assert await anext(reads) == b"a"
            assert reads.waits
            await reads.aclose()

        task = asyncio.ensure_future(leave())
        for _ in range(cancelled):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait((task,))
        assert log == ["left", "closed"]
        assert task.cancelled() == bool(cancelled)
        assert not never.cancelled()
        assert not reads.waits

    run(main)


def test_what_giving_up_fails_with_is_nothing_to_its_task() -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.sleep(0)
        finally:
            raise OSError("the connection is gone")

    async def main() -> None:
        reads = ReadyReads(failing(), 100, much)
        assert await anext(reads) == b"a"
        await reads.aclose()

    run(main)


def test_giving_up_awaits_what_the_cleaning_up_awaits() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        cleaned: asyncio.Future[None] = loop.create_future()

        async def slow() -> AsyncGenerator[bytes, None]:
            try:
                yield b"a"
                await asyncio.sleep(0)
            finally:
                await cleaned

        reads = ReadyReads(slow(), 100, much)
        assert await anext(reads) == b"a"
        closing = asyncio.ensure_future(reads.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        assert not closing.done()
        assert not cleaned.cancelled()
        cleaned.set_result(None)
        with pytest.raises(asyncio.CancelledError):
            await closing

    run(main)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=5) | st.just(WAIT), max_size=20), st.integers(1, 12), st.booleans())
def test_nothing_is_lost_and_nothing_changes_places(steps: list[Any], most: int, eager: bool) -> None:
    async def main() -> None:
        reads = await all_of(ReadyReads(body(*steps), most, lambda: 1000 if eager else 0))
        assert b"".join(reads) == b"".join(step for step in steps if step is not WAIT)

    run(main)


@pytest.mark.parametrize("most", [1, 8, 9, 64])
@pytest.mark.parametrize("read", [b"data: {}\n\n" * 20, b"x" * 200, b"data: a\n\n" + b"y" * 70])
def test_a_read_is_cut_into_reads_that_are_the_read(most: int, read: bytes) -> None:
    async def main() -> None:
        reads = ReadyReads(body(read, WAIT, b"last"), most, much)
        said = await all_of(reads)
        assert b"".join(said) == read + b"last"
        assert all(0 < len(each) <= most for each in said)
        if read.endswith(b"\n\n") and most > 10:
            assert all(each.endswith(b"\n\n") for each in said[: len(read) // most])
        assert reads.received == len(read) + 4

    run(main)


def test_what_is_put_back_comes_before_the_rest_of_what_was_cut() -> None:
    async def main() -> None:
        reads = ReadyReads(body(b"12345678"), 4, much)
        reads.put_back(await anext(reads))
        assert await all_of(reads) == [b"1234", b"5678"]

    run(main)
