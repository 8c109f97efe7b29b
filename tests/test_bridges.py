"""Bridges and iterators: coroutines and async iterables as observables, and back."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxagents.engine.async_items import AsyncItems
from rxagents.engine.bridges import forward, from_async, from_async_iterable
from rxagents.engine.emitters import Emitter, just
from rxagents.engine.loops import on_dropped, shared_loop
from rxagents.engine.sinks import Sink
from rxagents.engine.sync_items import SyncItems
from rxagents.errors import BlockingCallError, RunCancelledError
from rxagents.replays import Replay
from rxagents.testing import Marbles, virtual


class Source:
    """An observable that counts its subscriptions and its releases."""

    def __init__(self, *items: Any, error: Exception | None = None) -> None:
        self.begun = 0
        self.released = threading.Semaphore(0)
        self.releases = 0
        self.items, self.error = items, error
        self.observable: Observable[Any] = Emitter(self._start)

    def _start(self, sink: Sink[Any]) -> Callable[[], None]:
        self.begun += 1
        for item in self.items:
            sink.on_next(item)
        if self.error is not None:
            sink.on_error(self.error)

        def release() -> None:
            self.releases += 1
            self.released.release()

        return release


async def ticks(*items: Any, log: list[Any] | None = None, gap: float = 1.0) -> AsyncIterator[Any]:
    try:
        for item in items:
            await asyncio.sleep(gap)
            yield item
    finally:
        if log is not None:
            log.append((asyncio.get_running_loop().time(), "closed"))


# from_async, from_async_iterable


def test_what_a_coroutine_emits_comes_as_it_comes(marbles: Marbles) -> None:
    async def run(emit: Callable[[str], None]) -> None:
        emit("a")
        await asyncio.sleep(2)
        emit("b")
        await asyncio.sleep(1)

    marbles.expect(from_async(run)).to_be("a-b|")


def test_what_a_coroutine_raises_is_the_error(marbles: Marbles) -> None:
    error = ValueError("broken")
    probe = marbles.probe()

    async def run(emit: Callable[[str], None]) -> None:
        emit("a")
        raise error

    marbles.expect(from_async(run).pipe(probe)).to_be("(a#)", error=error)
    marbles.flush()
    assert probe.errors == [error]


def test_each_subscription_starts_the_coroutine_and_disposing_cancels_it(marbles: Marbles) -> None:
    log: list[Any] = []

    async def run(emit: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        log.append((loop.time(), "begun"))
        try:
            await asyncio.sleep(10)
        finally:
            log.append((loop.time(), "cleaned"))

    source = from_async(run)
    for _ in range(2):
        marbles.expect(source, unsubscribe_at="^---!").to_be("---")
    marbles.flush()
    assert log == [(0, "begun"), (0, "begun"), (4, "cleaned"), (4, "cleaned")]


def test_what_a_cancelled_coroutine_raises_goes_to_the_hook(marbles: Marbles) -> None:
    async def run(emit: Callable[[str], None]) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError("while cleaning up")

    dropped: list[str] = []
    marbles.at(0, on_dropped, lambda error, _: dropped.append(str(error)))
    marbles.expect(from_async(run), unsubscribe_at="^---!").to_be("---")
    marbles.flush()
    assert dropped == ["while cleaning up"]


@pytest.mark.parametrize("first_step", [True, False])
def test_a_task_that_is_cancelled_from_outside_fails_its_stream(first_step: bool) -> None:
    @virtual
    async def test() -> None:
        told: list[Any] = []

        async def run(emit: Callable[[str], None]) -> None:
            await asyncio.Event().wait()

        before = asyncio.all_tasks()
        from_async(run).subscribe(None, told.append)
        if first_step:
            await asyncio.sleep(0)
        [task] = asyncio.all_tasks() - before
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        [error] = told
        assert isinstance(error, RunCancelledError)
        assert "cancelled" in str(error)

    test()


def test_a_task_that_exits_fails_its_stream() -> None:
    told: list[Any] = []

    async def run(emit: Callable[[str], None]) -> None:
        raise SystemExit(4)

    async def main() -> None:
        from_async(run).subscribe(None, told.append)
        await asyncio.sleep(1)

    with pytest.raises(SystemExit):
        asyncio.run(main())
    [error] = told
    assert isinstance(error, RunCancelledError)
    assert "SystemExit" in str(error)


def test_a_running_coroutine_is_not_collected_while_somebody_listens() -> None:
    @virtual
    async def test() -> None:
        told: list[Any] = []

        async def run(emit: Callable[[str], None]) -> None:
            # nothing but the task and its own frame hold this future
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(
                5, lambda ref: ref() and ref().set_result(None), weakref.ref(future)
            )
            await future
            emit("a")

        from_async(run).subscribe(told.append)
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(10)
        assert told == ["a"]

    test()


def test_an_async_iterable_is_pulled_and_closed_at_the_end(marbles: Marbles) -> None:
    log: list[Any] = []
    marbles.expect(from_async_iterable(ticks("a", "b", gap=2, log=log))).to_be("--a-(b|)")
    marbles.flush()
    assert log == [(4, "closed")]


def test_disposing_closes_the_async_iterable(marbles: Marbles) -> None:
    log: list[Any] = []
    ticking = from_async_iterable(ticks("a", "b", gap=2, log=log))
    marbles.expect(ticking, unsubscribe_at="^--!").to_be("--a")
    marbles.flush()
    assert log == [(3, "closed")]


def test_an_async_iterator_without_aclose_will_do(marbles: Marbles) -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    marbles.expect(from_async_iterable(Plain())).to_be("(one zero|)", one=1, zero=0)


# forward


@virtual
async def test_forward_hands_on_items_and_raises_the_error() -> None:
    heard: list[Any] = []
    await forward(just(1, 2), heard.append)
    with pytest.raises(KeyError):
        await forward(rx.concat(just(3), rx.throw(KeyError("x"))), heard.append)
    assert heard == [1, 2, 3]


@virtual
async def test_forward_raises_what_on_next_raises_and_releases_the_source() -> None:
    source = Source("a", "b")

    def raising(item: str) -> None:
        raise ValueError(item)

    with pytest.raises(ValueError, match="a"):
        await forward(source.observable, raising)
    assert source.releases == 1


def test_cancelling_forward_disposes_the_source(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b|")
    marbles.expect_subscriptions(source).to_be("^-!")
    heard: list[str] = []

    async def cancelled() -> None:
        task = asyncio.create_task(forward(source, heard.append))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.subscriptions.open == 0

    marbles.run(cancelled())
    assert heard == ["a"]


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration("x")])
def test_an_error_that_would_pass_for_an_end_does_not(error: Exception) -> None:
    @virtual
    async def test() -> None:
        with pytest.raises((RuntimeError, StopAsyncIteration)):
            await forward(rx.throw(error), print)
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await anext(AsyncItems(rx.throw(error)))

    test()
    with pytest.raises(RuntimeError, match=type(error).__name__):
        next(SyncItems(rx.throw(error), shared_loop()))


# AsyncItems


@virtual
async def test_async_items_gives_all_then_stays_at_its_end() -> None:
    items = AsyncItems(from_async_iterable(ticks("a", "b")))
    assert [item async for item in items] == ["a", "b"]
    assert [item async for item in items] == []


@virtual
async def test_async_items_raises_the_error_once_after_the_items() -> None:
    source = Source("a", "b", error=ValueError("broken"))
    items = AsyncItems(source.observable)
    assert [await anext(items), await anext(items)] == ["a", "b"]
    with pytest.raises(ValueError, match="broken"):
        await anext(items)
    with pytest.raises(StopAsyncIteration):
        await anext(items)


@virtual
async def test_async_items_subscribes_at_the_first_step_and_once() -> None:
    source = Source("a", "b")
    items = AsyncItems(source.observable)
    assert source.begun == 0
    await anext(items)
    await anext(items)
    assert source.begun == 1
    await items.aclose()
    assert source.releases == 1


def test_closing_before_the_first_step_never_subscribes(marbles: Marbles) -> None:
    source = marbles.cold("-a|")
    marbles.expect_subscriptions(source).to_be()
    items = AsyncItems(source)

    async def steps() -> None:
        await items.aclose()
        assert [item async for item in items] == []

    marbles.run(steps())


@virtual
async def test_leaving_the_context_closes() -> None:
    source = Source("a", "b")
    async with AsyncItems(source.observable) as items:
        assert await anext(items) == "a"
    assert source.releases == 1
    assert [item async for item in items] == []


@virtual
async def test_breaking_out_of_an_async_for_disposes() -> None:
    source = Source("a", "b")
    async for _ in AsyncItems(source.observable):
        break
    await asyncio.sleep(0)
    assert source.releases == 1


@virtual
async def test_dropping_async_items_disposes_without_the_collector() -> None:
    source = Source("a", "b")
    items = AsyncItems(source.observable)
    await anext(items)
    gone = weakref.ref(items)
    gc.disable()
    try:
        del items
        assert gone() is None
        await asyncio.sleep(0)
        assert source.releases == 1
    finally:
        gc.enable()


@virtual
async def test_async_items_in_a_cycle_are_disposed_by_the_collector() -> None:
    source = Source("a", "b")
    cycle: list[Any] = [AsyncItems(source.observable)]
    cycle.append(cycle)
    await anext(cycle[0])
    del cycle
    gc.collect()
    await asyncio.sleep(0)
    assert source.releases == 1


def test_cancelling_the_waiting_task_disposes(marbles: Marbles) -> None:
    source = marbles.cold("                     ---a|")
    marbles.expect_subscriptions(source).to_be("^!")
    items = AsyncItems(source)

    async def steps() -> None:
        task = asyncio.create_task(anext(items))  # type: ignore[arg-type]
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.subscriptions.open == 0
        assert [item async for item in items] == []

    marbles.run(steps())


@virtual
async def test_two_tasks_cannot_wait_on_one_iterator_and_the_first_goes_on() -> None:
    subject: Subject[str] = Subject()
    items = AsyncItems(subject)
    first = asyncio.create_task(anext(items))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(items)
    subject.on_next("a")
    assert await first == "a"
    subject.on_next("b")
    assert await anext(items) == "b"


def test_closing_wakes_a_task_that_waits(marbles: Marbles) -> None:
    source = marbles.cold("                     ---a|")
    marbles.expect_subscriptions(source).to_be("^!")
    items = AsyncItems(source)

    async def steps() -> None:
        task = asyncio.create_task(_all(items))
        await asyncio.sleep(1)
        await items.aclose()
        assert await task == []

    marbles.run(steps())


async def _all(items: AsyncItems[Any]) -> list[Any]:
    return [item async for item in items]


@virtual
async def test_aclose_waits_until_what_it_cancelled_has_cleaned_up() -> None:
    log: list[str] = []

    async def run(emit: Callable[[str], None]) -> None:
        emit("a")
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            log.append("cleaned")

    items = AsyncItems(from_async(run))
    await anext(items)
    await items.aclose()
    assert log == ["cleaned"]


def test_async_items_hands_a_hundred_thousand_items_over_between_threads() -> None:
    count = 100_000
    numbers = Replay[int](rx.from_iterable(range(count)))
    numbers.bind(shared_loop())

    async def main() -> list[int]:
        return [item async for item in numbers]

    assert asyncio.run(main()) == list(range(count))


# SyncItems


def test_sync_items_hands_a_hundred_thousand_items_over_between_threads() -> None:
    count = 100_000
    assert list(SyncItems(rx.from_iterable(range(count)), shared_loop())) == list(range(count))


def test_sync_items_gives_all_then_stays_at_its_end() -> None:
    items = SyncItems(just("a", "b"), shared_loop())
    assert list(items) == ["a", "b"]
    assert list(items) == []


def test_sync_items_raises_the_error_once_after_the_items() -> None:
    items = SyncItems(Source("a", error=ValueError("broken")).observable, shared_loop())
    assert next(items) == "a"
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert list(items) == []


@pytest.mark.parametrize("way", ["close", "context", "break", "drop", "collect"])
def test_leaving_sync_items_disposes(way: str) -> None:
    source = Source("a", "b")
    items = SyncItems(source.observable, shared_loop())
    if way == "close":
        next(items)
        items.close()
        assert list(items) == []
    elif way == "context":
        with items:
            next(items)
        assert list(items) == []
    elif way == "break":
        for _ in SyncItems(source.observable, shared_loop()):
            break
    elif way == "drop":
        next(items)
        del items
    else:
        cycle: list[Any] = [items]
        cycle.append(cycle)
        next(items)
        del items, cycle
        gc.collect()
    assert source.released.acquire(timeout=30)
    assert source.releases == 1


def test_sync_items_closed_before_the_first_step_never_subscribe() -> None:
    source = Source("a")
    items = SyncItems(source.observable, shared_loop())
    items.close()
    assert list(items) == []
    assert source.begun == 0


def test_closing_from_another_thread_wakes_the_one_that_waits() -> None:
    source = Source("a")
    items = SyncItems(source.observable, shared_loop())
    got: list[Any] = []
    waiting = threading.Event()

    def wait() -> None:
        for item in items:
            got.append(item)
            waiting.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(30)
    items.close()
    thread.join(30)
    assert not thread.is_alive()
    assert got == ["a"]


def test_sync_items_work_in_a_thread_whose_loop_is_running() -> None:
    async def main() -> list[Any]:
        return list(SyncItems(just(1, 2), shared_loop()))

    assert asyncio.run(main()) == [1, 2]


def test_waiting_on_the_loop_that_brings_the_items_is_refused() -> None:
    source = Source()
    items = SyncItems(source.observable, shared_loop())

    async def wait() -> None:
        with pytest.raises(BlockingCallError, match="async for"):
            next(items)

    asyncio.run_coroutine_threadsafe(wait(), shared_loop()).result(30)
    assert source.begun == 0


@pytest.mark.parametrize("where", ["waiting", "in the body"])
@pytest.mark.parametrize("kept", ["items", "unnamed"])
def test_ctrl_c_disposes_and_the_program_ends(where: str, kept: str) -> None:
    body = "pass" if where == "waiting" else "import time; time.sleep(40)"
    program = textwrap.dedent(
        f"""
        import signal
        from rxagents.engine.sync_items import SyncItems
        from rxagents.engine.loops import shared_loop
        from rxagents.engine.emitters import Emitter

        # where a shell starts this in the background, Ctrl-C is switched off
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def start(sink):
            sink.on_next("a")
            return lambda: print("released", flush=True)

        items = SyncItems(Emitter(start), shared_loop())
        held = items if {kept == "items"} else None
        if held is None:
            for item in SyncItems(Emitter(start), shared_loop()):
                print(item, flush=True)
                {body}
        for item in items:
            print(item, flush=True)
            {body}
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "a\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "released\n"
    assert "KeyboardInterrupt" in err
    assert process.returncode != 0


def test_sync_items_may_be_read_inside_a_stock_operator_on_a_plain_thread() -> None:
    def read(_: object) -> list[int]:
        return list(SyncItems(just(1, 2), shared_loop()))

    told: list[Any] = []
    rx.of("a", "b").pipe(ops.map(read)).subscribe(told.append)
    assert told == [[1, 2], [1, 2]]


def test_a_stock_observable_may_be_iterated() -> None:
    def subscribe(observer: Any, _: Any = None) -> Disposable:
        observer.on_next(1)
        observer.on_completed()
        return Disposable()

    assert list(SyncItems(Observable(subscribe), shared_loop())) == [1]
