"""Replay: one run of the source, however many read, whenever they come and go."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rxagents import MessageStream, say, stream
from rxagents.engine.emitters import just
from rxagents.engine.loops import on_dropped, shared_loop
from rxagents.engine.schedulers import LoopScheduler
from rxagents.errors import RunCancelledError
from rxagents.operators import text
from rxagents.participants import until_ended
from rxagents.replays import Replay
from rxagents.testing import Marbles, VirtualClock

END = "|"


def hooked(marbles: Marbles) -> list[BaseException]:
    """What goes to the hook for errors that nobody else hears of; by any other way it fails the test."""
    seen: list[BaseException] = []
    marbles.at(0, on_dropped, lambda error, what: seen.append(error))
    return seen


class Reader:
    """Records what one subscriber is told, with the time."""

    def __init__(self, replay: Observable[Any], clock: Callable[[], float] = lambda: 0.0) -> None:
        self.told: list[tuple[float, Any]] = []
        self.replay = replay
        self.clock = clock
        self.subscription: abc.DisposableBase | None = None

    @property
    def events(self) -> list[Any]:
        return [event for _, event in self.told]

    def subscribe(self) -> Reader:
        self.subscription = self.replay.subscribe(
            lambda item: self.told.append((self.clock(), item)),
            lambda error: self.told.append((self.clock(), error)),
            lambda: self.told.append((self.clock(), END)),
        )
        return self

    def dispose(self) -> None:
        assert self.subscription is not None
        self.subscription.dispose()


def counted(source: Observable[Any]) -> tuple[Observable[Any], list[str]]:
    """The source, and a record of each time it is run and let go of."""
    acts: list[str] = []

    def subscribe(observer: Any, scheduler: Any = None) -> abc.DisposableBase:
        acts.append("run")
        subscription = source.subscribe(observer, scheduler=scheduler)
        once: list[int] = []

        def release() -> None:
            once or acts.append("released")
            once.append(1)
            subscription.dispose()

        return Disposable(release)

    return Observable(subscribe), acts


def test_early_and_late_readers_hear_what_the_diagram_draws(marbles: Marbles) -> None:
    source = marbles.cold("                     --a--b-----c--|")
    replay = Replay[str](source)
    marbles.expect(replay).to_be("              --a--b-----c--|")
    marbles.expect(replay).to_be("              ------(^ab)c--|")
    marbles.expect_subscriptions(source).to_be("^-------------!")


def test_a_reader_after_the_end_hears_all_of_it_at_once(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    replay = Replay[str](source)
    marbles.expect(replay).to_be("              -a-b-|")
    marbles.expect(replay).to_be("              -------(^ab|)")
    marbles.expect_subscriptions(source).to_be("^----!")


def test_a_failure_is_replayed_after_the_items(marbles: Marbles) -> None:
    error = ValueError("broken")
    source = marbles.cold("                     -a-#", error=error)
    replay = Replay[str](source)
    marbles.expect(replay).to_be("              -a-#", error=error)
    marbles.expect(replay).to_be("              -----(^a#)", error=error)
    marbles.expect_subscriptions(source).to_be("^--!")
    marbles.flush()
    assert replay.error is error


def test_nothing_runs_before_somebody_subscribes(marbles: Marbles) -> None:
    source = marbles.cold("(a|)")
    replay = Replay[str](source)
    replay.on_end(lambda _: None)
    marbles.expect_subscriptions(source).to_be()
    marbles.flush()
    assert (replay.items, replay.length, replay.ended) == ((), 0, False)


def test_it_ends_with_what_it_has_when_the_last_reader_leaves(marbles: Marbles) -> None:
    source = marbles.cold("                                -a-b---c-|")
    replay = Replay[str](source)
    marbles.expect(replay, unsubscribe_at="^---!").to_be(" -a-b")
    marbles.expect(replay, unsubscribe_at="^----!").to_be("-a-b-")
    marbles.expect_subscriptions(source).to_be("           ^----!")
    marbles.expect(replay).to_be("                         ----------(^ab~)")
    marbles.flush()
    assert (replay.ended, replay.interrupted, replay.items) == (True, True, ("a", "b"))


def endless(record: list[int]) -> Observable[int]:
    def produce(item: int) -> int:
        record.append(item)
        return item

    return rx.from_iterable(map(produce, itertools.count()))


def on_trampoline() -> Observable[int]:
    """An endless source that emits within subscribe, as RxPY's own do without a scheduler."""
    from reactivex.scheduler import CurrentThreadScheduler

    return rx.from_iterable(itertools.count(), CurrentThreadScheduler.singleton())


@pytest.mark.parametrize("in_trampoline", [False, True])
@pytest.mark.parametrize("source", [lambda: endless([]), on_trampoline])
def test_taking_two_of_an_endless_synchronous_source_keeps_the_list_short(
    source: Callable[[], Observable[int]], in_trampoline: bool
) -> None:
    async def main() -> None:
        replay = Replay[int](source())
        outer = rx.of(0).pipe(ops.flat_map(lambda _: replay)) if in_trampoline else replay
        reader = Reader(outer.pipe(ops.take(2))).subscribe()
        await until_ended(replay)
        assert reader.events == [0, 1, END]
        assert replay.items == (0, 1)

    asyncio.run(main())


@pytest.mark.parametrize("source", [lambda: endless([]), on_trampoline])
def test_taking_two_keeps_the_list_short_in_a_plain_thread_too(
    source: Callable[[], Observable[int]],
) -> None:
    replay = Replay[int](source())
    ended = threading.Event()
    replay.on_end(lambda _: ended.set())
    reader = Reader(replay.pipe(ops.take(2))).subscribe()
    assert ended.wait(30)
    assert reader.events == [0, 1, END]
    assert replay.items == (0, 1)


def numbers() -> Iterator[str]:
    for number in itertools.count():
        yield str(number)


@pytest.mark.parametrize(
    "source",
    [
        lambda: Replay[Any](endless([])),
        lambda: just(MessageStream(rx.from_iterable(numbers()))).pipe(text()),
        lambda: say(numbers()),
        lambda: say(rx.from_iterable(numbers())),
        lambda: just(stream(numbers())).pipe(text(), ops.map(str)),
    ],
)
def test_an_endless_synchronous_source_can_be_left_from_another_thread(
    source: Callable[[], Observable[Any]],
) -> None:
    # while such a source emits, the loop hears nothing else
    begun = threading.Event()
    subscription = source().subscribe(lambda _: begun.set())
    assert begun.wait(30)
    subscription.dispose()
    free = threading.Event()
    shared_loop().call_soon_threadsafe(free.set)
    assert free.wait(30)


def test_a_hold_that_is_disposed_by_the_second_item_leaves_two_in_the_list() -> None:
    async def main() -> None:
        replay = Replay[int](endless([]).pipe(ops.do_action(lambda item: item < 2 or hold.dispose())))
        hold = replay.hold()
        await until_ended(replay)
        assert replay.items == (0, 1)

    asyncio.run(main())


def test_holds_are_counted(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-c-d-|")
    replay = Replay[str](source)
    marbles.expect_subscriptions(source).to_be("^---!")

    async def held() -> None:
        first, second = replay.hold(), replay.hold()
        reader = Reader(replay).subscribe()
        await asyncio.sleep(2)
        reader.dispose()
        first.dispose()
        first.dispose()
        assert not replay.ended
        await asyncio.sleep(2)
        second.dispose()
        assert (replay.items, replay.interrupted) == (("a", "b"), True)

    marbles.run(held())


def test_a_hold_runs_it_silently_to_its_end(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-|")
    replay = Replay[str](source)
    marbles.expect_subscriptions(source).to_be("^--!")

    async def held() -> None:
        hold = replay.hold()
        await asyncio.sleep(5)
        assert (replay.items, replay.ended, replay.interrupted) == (("a",), True, False)
        hold.dispose()

    marbles.run(held())
    assert not replay.interrupted


def test_witnesses_are_called_once_before_readers_hear_the_end(marbles: Marbles) -> None:
    order: list[str] = []
    replay = Replay[str](marbles.cold("-a-|"))
    reading = replay.pipe(ops.do_action(order.append, None, lambda: order.append("reader")))
    replay.on_end(lambda ended: order.append(f"early {ended.items}"))
    marbles.expect(reading).to_be("    -a-|")
    marbles.at(1, replay.on_end, lambda ended: order.append(f"second {ended.ended}"))
    marbles.at(5, replay.on_end, lambda _: order.append("late"))
    marbles.at(5, replay.interrupt)
    marbles.flush()
    assert order == ["a", "early ('a',)", "second True", "reader", "late"]


def test_a_witness_that_raises_disturbs_nobody(marbles: Marbles) -> None:
    told: list[str] = []
    replay = Replay[str](marbles.cold("-a-|"))

    def raising(_: object) -> None:
        raise ValueError("a bad witness")

    replay.on_end(raising)
    replay.on_end(lambda _: told.append("second"))
    dropped = hooked(marbles)
    marbles.expect(replay).to_be("     -a-|")
    marbles.flush()
    assert told == ["second"]
    assert [str(error) for error in dropped] == ["a bad witness"]


def test_interruption_is_synchronous_and_one_truth_for_all_readers(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-c-|")
    replay = Replay[str](source)
    for _ in range(3):
        marbles.expect(replay).to_be("          -a-b~")
    marbles.expect(replay).to_be("              ------(^ab~)")
    marbles.expect_subscriptions(source).to_be("^---!")

    async def interrupt() -> None:
        readers = [Reader(replay).subscribe() for _ in range(3)]
        await asyncio.sleep(4)
        replay.interrupt()
        assert [reader.events for reader in readers] == [["a", "b", END]] * 3
        assert source.subscriptions.open == 0
        assert (replay.interrupted, Reader(replay).subscribe().events) == (True, ["a", "b", END])

    marbles.run(interrupt())


def test_it_may_be_interrupted_by_one_of_its_readers(marbles: Marbles) -> None:
    source = marbles.cold("                     ---a-b-c-|")
    replay = Replay[str](source)
    marbles.expect(replay).to_be("              ---a-(b~)")
    marbles.at(1, replay.subscribe, lambda item: item == "b" and replay.interrupt())
    marbles.expect(replay).to_be("              -^-a-(b~)")
    marbles.expect_subscriptions(source).to_be("^----!")


def test_a_reader_may_leave_or_come_while_items_are_delivered(marbles: Marbles) -> None:
    replay = Replay[str](marbles.cold("                       ---a-b-|"))
    second, third = Reader(replay), Reader(replay)

    def switch(item: str) -> None:
        if item == "a":
            second.dispose()
            third.subscribe()

    marbles.expect(replay.pipe(ops.do_action(switch))).to_be("---a-b-|")
    marbles.at(1, second.subscribe)
    marbles.flush()
    assert second.events == []
    assert third.events == ["a", "b", END]


def test_an_error_after_the_end_goes_to_the_hook(marbles: Marbles) -> None:
    source = marbles.cold("                     ---|")
    replay = Replay[str](source)
    late = ValueError("late")
    dropped = hooked(marbles)
    marbles.expect(replay).to_be("              -~")
    marbles.expect_subscriptions(source).to_be("^!")
    marbles.at(1, replay.interrupt)
    marbles.at(1, replay._fail, late)
    marbles.flush()
    assert replay.error is None
    assert dropped == [late]


def test_what_is_no_observable_fails_it(marbles: Marbles) -> None:
    replay = Replay[Any]("no source")  # type: ignore[arg-type]
    marbles.expect(replay).to_be("#", error=AttributeError)


def test_a_source_that_raises_on_subscribe_fails_it(marbles: Marbles) -> None:
    def subscribe(_: object, __: object = None) -> abc.DisposableBase:
        raise ValueError("no way")

    marbles.expect(Replay[Any](Observable(subscribe))).to_be("#", error=ValueError("no way"))


def test_what_cannot_be_settled_fails_it(marbles: Marbles) -> None:
    class Unsettled(Replay[str]):
        def _settle(self) -> None:
            raise ValueError("does not add up")

    replay = Unsettled(marbles.cold("-a-|"))
    told: list[bool] = []
    replay.on_end(lambda ended: told.append(ended.error is not None))
    marbles.expect(replay).to_be("   -a-#", error=ValueError("does not add up"))
    marbles.flush()
    assert told == [True]


# A reader that raises


def test_a_reader_that_raises_gets_its_own_error_and_the_others_go_on(marbles: Marbles) -> None:
    replay = Replay[str](marbles.cold("---a-b-|"))
    heard: list[Any] = []

    def raising(item: str) -> None:
        heard.append(item)
        raise ValueError(f"cannot read {item}")

    marbles.expect(replay).to_be("     ---a-b-|")
    marbles.at(1, replay.subscribe, raising, heard.append, lambda: heard.append(END))
    marbles.expect(replay).to_be("     -^-a-b-|")
    marbles.flush()
    assert [str(event) for event in heard] == ["a", "cannot read a"]


@pytest.mark.parametrize(
    "stock",
    [
        ops.map(lambda item: item),
        ops.filter(lambda _: True),
        ops.do_action(lambda _: None),
        ops.scan(lambda _, item: item),
        ops.take(5),
        ops.distinct_until_changed(),
        ops.merge(rx.never()),
        ops.take_until(rx.never()),
    ],
)
def test_a_reader_that_raises_behind_a_stock_operator_gets_its_error_or_the_hook_does(
    marbles: Marbles, stock: Any
) -> None:
    replay = Replay[str](marbles.cold("--a-b-|"))
    heard: list[Any] = []

    def raising(item: str) -> None:
        raise ValueError(f"cannot read {item}")

    dropped = hooked(marbles)
    marbles.expect(replay).to_be("     --a-b-|")
    marbles.at(1, lambda: replay.pipe(stock).subscribe(raising, heard.append))
    marbles.flush()
    assert [str(error) for error in [*heard, *dropped]] == ["cannot read a"]


def test_a_reader_without_on_error_that_raises_goes_to_the_hook(marbles: Marbles) -> None:
    replay = Replay[str](marbles.cold("--a-b-|"))

    def raising(item: str) -> None:
        raise ValueError(f"cannot read {item}")

    dropped = hooked(marbles)
    marbles.at(0, replay.subscribe, raising)
    marbles.expect(replay).to_be("     -^a-b-|")
    marbles.flush()
    assert [str(error) for error in dropped] == ["cannot read a"]


@pytest.mark.parametrize("end", ["|", "#"])
def test_what_a_reader_raises_at_the_end_goes_to_the_hook(marbles: Marbles, end: str) -> None:
    replay = Replay[str](marbles.cold(f"--a-{end}"))

    def raising(*_: object) -> None:
        raise ValueError("at the end")

    dropped = hooked(marbles)
    marbles.at(0, replay.subscribe, None, raising, raising)
    marbles.expect(replay).to_be(f"-^a-{end}")
    marbles.flush()
    assert [str(error) for error in dropped] == ["at the end"]


# The laws, over any source and any readers

ITEMS = st.lists(st.integers(0, 3), max_size=8)  # each the seconds since the one before
READERS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 14) | st.none()), min_size=1, max_size=5)


@given(ITEMS, st.sampled_from(["completes", "fails", "goes on"]), READERS, st.integers(0, 20) | st.none())
def test_whoever_reads_whenever_sees_the_same_list(
    gaps: list[int], end: str, visits: list[tuple[int, int | None]], interrupted_at: int | None
) -> None:
    error = ValueError("end")
    times = list(itertools.accumulate(gaps))

    def subscribe(observer: Any, scheduler: Any = None) -> abc.DisposableBase:
        assert isinstance(scheduler, LoopScheduler)
        loop = scheduler.loop
        begun = loop.time()
        timers = [loop.call_at(begun + at, observer.on_next, n) for n, at in enumerate(times)]
        last = begun + (times[-1] if times else 0)
        if end == "completes":
            timers.append(loop.call_at(last, observer.on_completed))
        elif end == "fails":
            timers.append(loop.call_at(last, observer.on_error, error))
        return Disposable(lambda: [timer.cancel() for timer in timers])

    source, acts = counted(Observable(subscribe))
    replay = Replay[int](source)
    witnessed: list[Replay[int]] = []
    replay.on_end(witnessed.append)
    with VirtualClock() as clock:
        readers = []
        for come, leave in visits:
            reader = Reader(replay, lambda: clock.now)
            readers.append(reader)
            clock.at(come, reader.subscribe)
            if leave is not None:
                clock.at(max(come, leave), reader.dispose)
        if interrupted_at is not None:
            clock.at(interrupted_at, replay.interrupt)
        clock.advance(100)

        whole = [*replay.items, *([replay.error or END] if replay.ended else [])]
        for reader, (come, leave) in zip(readers, visits, strict=True):
            events = reader.events
            assert events == whole[: len(events)], "everybody sees a prefix of the same"
            if leave is None:
                assert events == whole, "who stays sees all"
            else:
                left = max(come, leave)
                assert all(at <= left for at, _ in reader.told), "nothing after dispose"
            assert sum(event == END or event is error for event in events) <= 1
        assert replay.items == tuple(range(replay.length))
        assert acts.count("run") <= 1
        if replay.ended:
            assert acts in (["run", "released"], []), "released exactly once"
            assert witnessed == [replay]
        else:
            assert end == "goes on"
            replay.interrupt()


# Loops and threads


def test_readers_of_several_threads_at_once_share_one_run_and_one_loop() -> None:
    source, acts = counted(rx.from_iterable(range(2_000)))
    replay = Replay[int](source)
    count = 16
    barrier = threading.Barrier(count)
    done = threading.Semaphore(0)
    heard: list[list[int]] = [[] for _ in range(count)]

    def read(mine: list[int]) -> None:
        barrier.wait(30)
        replay.subscribe(mine.append, None, done.release)

    threads = [threading.Thread(target=read, args=(mine,)) for mine in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert done.acquire(timeout=30)
    assert all(mine == list(range(2_000)) for mine in heard)
    assert acts == ["run", "released"]


def test_two_running_loops_read_one_stream() -> None:
    released = threading.Event()

    async def gated() -> Any:
        for item in range(100):
            yield item
        await asyncio.to_thread(released.wait, 30)
        yield "last"

    from rxagents.engine.bridges import from_async_iterable

    async def first() -> None:
        replay = Replay[Any](from_async_iterable(gated()))
        hold = replay.hold()
        results: list[list[Any]] = []

        def second() -> None:
            async def read() -> None:
                seen = []
                async for item in replay:
                    seen.append(item)
                    if item == 99:
                        released.set()
                results.append(seen)

            asyncio.run(read())

        thread = threading.Thread(target=second)
        thread.start()
        own = [item async for item in replay]
        thread.join(30)
        hold.dispose()
        assert results == [own] == [[*range(100), "last"]]

    asyncio.run(first())


def test_disposing_from_another_thread_releases_the_source_on_its_loop() -> None:
    begun, released = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def subscribe(observer: Any, _: Any = None) -> abc.DisposableBase:
        begun.set()

        def release() -> None:
            threads.append(threading.current_thread())
            released.set()

        return Disposable(release)

    replay = Replay[int](Observable(subscribe))
    subscription = replay.subscribe(lambda _: None)
    assert begun.wait(30)
    subscription.dispose()
    assert released.wait(30)
    assert [thread.name for thread in threads] == ["rxagents-loop"]


def test_a_witness_that_comes_while_it_ends_elsewhere_is_called_exactly_once() -> None:
    for _ in range(200):
        subject: Subject[int] = Subject()
        replay = Replay[int](subject)
        begun = threading.Event()
        shared_loop().call_soon_threadsafe(lambda: (replay.hold(), begun.set()))  # noqa: B023
        assert begun.wait(30)
        calls: list[Replay[int]] = []
        shared_loop().call_soon_threadsafe(subject.on_completed)
        witnesses = 0
        while not replay.ended:
            replay.on_end(calls.append)
            witnesses += 1
        replay.on_end(calls.append)
        settled = threading.Event()
        shared_loop().call_soon_threadsafe(settled.set)
        assert settled.wait(30)
        assert calls == [replay] * (witnesses + 1)


def test_a_stream_whose_loop_is_closed_ends_with_what_it_has() -> None:
    replay = Replay[str](rx.concat(rx.of("a"), rx.never()))

    async def main() -> None:
        replay.hold()
        async for _ in replay:
            break

    asyncio.run(main())
    assert not replay.ended
    told: list[Any] = []
    heard = threading.Event()
    replay.subscribe(told.append, lambda error: (told.append(error), heard.set()))
    assert heard.wait(30)
    assert told[0] == "a"
    assert isinstance(told[1], RunCancelledError)
    assert replay.ended


def test_interrupting_a_stream_whose_loop_is_closed_ends_it() -> None:
    replay = Replay[str](rx.never())

    async def main() -> None:
        replay.hold()

    asyncio.run(main())
    replay.interrupt()
    assert replay.ended
    assert isinstance(replay.error, RunCancelledError)


# Misuse, and memory


def test_a_plain_for_loop_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match="async for"):
        for _ in Replay[int](rx.of(1)):
            pass


def test_a_dropped_stream_leaves_nothing_behind(marbles: Marbles) -> None:
    source = marbles.cold("                     -a-b-|")
    marbles.expect_subscriptions(source).to_be("^-!")

    async def dropped() -> None:
        replay = Replay[str](source)
        reader = Reader(replay).subscribe()
        await asyncio.sleep(2)
        reader.dispose()
        gone = weakref.ref(replay)
        del replay, reader
        await asyncio.sleep(1)
        gc.collect()
        assert gone() is None

    marbles.run(dropped())
