"""Sinks, inlets and work: the grammar, whose thread it is, what is released when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import BooleanDisposable, Disposable
from reactivex.scheduler import CurrentThreadScheduler, NewThreadScheduler, TimeoutScheduler
from reactivex.subject import Subject

from rxagents.engine.emitters import Emitter, just
from rxagents.engine.inlets import listen
from rxagents.engine.loops import hop, on_dropped, shared_loop
from rxagents.engine.schedulers import LoopScheduler
from rxagents.engine.sinks import Sink
from rxagents.engine.work import afterwards, defer, together
from rxagents.errors import LateItemError, RunCancelledError
from rxagents.testing import Marbles, virtual

END = "|"
WAIT = 10.0
EVENTS = st.lists(st.sampled_from(["next", "error", "completed", "dispose"]), max_size=8)


@contextmanager
def drops() -> Iterator[list[tuple[BaseException, str]]]:
    seen: list[tuple[BaseException, str]] = []
    before = on_dropped(lambda error, what: seen.append((error, what)))
    try:
        yield seen
    finally:
        on_dropped(before)


def in_loop(action: Any) -> Any:
    async def main() -> Any:
        return action()

    return asyncio.run(main())


# Sink and Emitter


@given(EVENTS)
def test_a_sink_keeps_the_grammar_and_releases_once(events: list[str]) -> None:
    def run() -> None:
        told: list[str] = []
        released: list[int] = []
        sinks: list[Sink[int]] = []

        def start(sink: Sink[int]) -> Any:
            sinks.append(sink)
            return lambda: released.append(1)

        subscription = Emitter(start).subscribe(
            lambda _: told.append("next"),
            lambda _: told.append("error"),
            lambda: told.append("completed"),
        )
        ended = told_the_end = False
        expected: list[str] = []
        late: list[str] = []
        with drops() as seen:
            for event in events:
                if event == "next":
                    late += ["LateItemError"] * told_the_end
                    sinks[0].on_next(1)
                elif event == "error":
                    late += ["ValueError"] * ended
                    sinks[0].on_error(ValueError("x"))
                elif event == "completed":
                    sinks[0].on_completed()
                else:
                    subscription.dispose()
                if not ended and event != "dispose":
                    expected.append(event)
                    told_the_end = event != "next"
                ended = ended or event != "next"
                assert len(released) == ended
        assert told == expected
        assert [type(error).__name__ for error, _ in seen] == late

    in_loop(run)


def test_a_subscriber_that_raises_hears_its_error_after_the_source_was_released() -> None:
    def run() -> None:
        order: list[Any] = []

        def start(sink: Sink[int]) -> Any:
            sink.on_next(1)
            sink.on_next(2)
            return lambda: order.append("released")

        def raising(item: int) -> None:
            order.append(item)
            raise ValueError("mine")

        Emitter(start).subscribe(raising, lambda error: order.append(str(error)))
        assert order == [1, "mine", "released"]

    in_loop(run)


def test_what_start_raises_is_the_streams_error(marbles: Marbles) -> None:
    def start(_: Sink[int]) -> None:
        raise ValueError("no start")

    marbles.expect(Emitter(start)).to_be("#", error=ValueError("no start"))


@pytest.mark.parametrize("teardown", ["function", "disposable"])
def test_start_returns_what_to_let_go_of(teardown: str) -> None:
    def run() -> None:
        flag = BooleanDisposable()
        emitter: Emitter[int] = Emitter(lambda _: flag if teardown == "disposable" else flag.dispose)
        subscription = emitter.subscribe()
        assert not flag.is_disposed
        subscription.dispose()
        assert flag.is_disposed

    in_loop(run)


def test_an_observer_object_may_subscribe() -> None:
    subject: Subject[int] = Subject()
    told: list[Any] = []
    subject.subscribe(told.append, None, lambda: told.append(END))
    in_loop(lambda: just(1, 2).subscribe(subject))
    assert told == [1, 2, END]


def test_an_error_without_on_error_goes_to_the_hook() -> None:
    error = ValueError("nobody")
    with drops() as seen:
        in_loop(lambda: Emitter(lambda sink: sink.on_error(error)).subscribe())
    assert [dropped for dropped, _ in seen] == [error]


def test_what_on_error_or_on_completed_raises_goes_to_the_hook() -> None:
    def raising(*_: object) -> None:
        raise ValueError("late")

    with drops() as seen:
        in_loop(lambda: just(1).subscribe(None, None, raising))
        in_loop(lambda: Emitter(lambda sink: sink.on_error(KeyError())).subscribe(None, raising))
    assert [str(error) for error, _ in seen] == ["late", "late"]


def test_just_emits_at_once_and_lets_a_subscriber_leave_between_two(marbles: Marbles) -> None:
    marbles.expect(just("a", "b")).to_be("(a b|)")
    marbles.expect(just()).to_be("        |")
    two = just("a", "b", "c").pipe(ops.take(2))
    marbles.expect(two).to_be("           (a b|)")


def test_a_scheduler_never_chooses_the_loop() -> None:
    names: list[str] = []
    done = threading.Event()

    def note(_: object) -> None:
        names.append(threading.current_thread().name)
        done.set()

    just(1).subscribe(note, scheduler=NewThreadScheduler())
    assert done.wait(30)
    assert names == ["rxagents-loop"]


def test_a_subscription_from_a_plain_thread_can_be_disposed_before_it_began() -> None:
    begun: list[int] = []
    blocked, blocking = threading.Event(), threading.Event()

    def block() -> None:
        blocking.set()
        blocked.wait(30)

    shared_loop().call_soon_threadsafe(block)
    assert blocking.wait(30)
    subscription = Emitter(lambda _: begun.append(1)).subscribe()
    subscription.dispose()
    blocked.set()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), shared_loop()).result(30)
    assert begun == []


def test_a_sink_of_a_closed_loop_ends_at_once() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    told: list[Any] = []
    sink: Sink[int] = Sink(loop, None, told.append)
    sink.begin(lambda _: None)
    [error] = told
    assert isinstance(error, RunCancelledError)
    sink.dispose()


# listen


def foreign(count: int, scheduler: abc.SchedulerBase) -> Observable[int]:
    def subscribe(observer: Any, _: Any = None) -> abc.DisposableBase:
        def emit(*_: Any) -> None:
            for item in range(count):
                observer.on_next(item)
            observer.on_completed()

        return scheduler.schedule(emit)

    return Observable(subscribe)


@pytest.mark.parametrize("scheduler", [NewThreadScheduler(), TimeoutScheduler.singleton()])
def test_items_of_other_threads_arrive_in_order_on_the_loop(scheduler: abc.SchedulerBase) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: list[Any] = []
        threads: set[Any] = set()
        ended = asyncio.Event()

        def on_next(item: int) -> None:
            threads.add(threading.get_ident())
            heard.append(item)

        listen(foreign(20_000, scheduler), loop, on_next, heard.append, ended.set)
        await ended.wait()
        assert heard == list(range(20_000))
        assert threads == {threading.get_ident()}

    asyncio.run(main())


def test_items_of_the_loop_line_up_behind_those_that_came_from_elsewhere() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        subject: Subject[str] = Subject()
        heard: list[str] = []

        def on_next(item: str) -> None:
            if item == "foreign":
                subject.on_next("during")
            heard.append(item)

        listen(subject, loop, on_next, print, print)
        thread = threading.Thread(target=subject.on_next, args=("foreign",))
        thread.start()
        thread.join()
        subject.on_next("local")
        assert heard == []
        await asyncio.sleep(0)
        assert heard == ["foreign", "local", "during"]

    asyncio.run(main())


@virtual
async def test_what_on_next_raises_ends_the_subscription_and_goes_to_on_error() -> None:
    released: list[int] = []
    told: list[Any] = []

    def subscribe(observer: Any, _: Any = None) -> abc.DisposableBase:
        asyncio.get_running_loop().call_later(1, observer.on_next, 1)
        asyncio.get_running_loop().call_later(2, observer.on_next, 2)
        return Disposable(lambda: released.append(1))

    def raising(item: int) -> None:
        raise ValueError(f"no {item}")

    listen(Observable(subscribe), asyncio.get_running_loop(), raising, told.append, lambda: None)
    await asyncio.sleep(5)
    assert [str(error) for error in told] == ["no 1"]
    assert released == [1]


@virtual
async def test_nothing_is_heard_after_dispose_and_an_error_goes_to_the_hook() -> None:
    subject: Subject[int] = Subject()
    observers: list[Any] = []
    told: list[Any] = []

    def subscribe(observer: Any, _: Any = None) -> abc.DisposableBase:
        observers.append(observer)
        return Disposable()

    loop = asyncio.get_running_loop()

    class Raw(Observable[int]):
        def subscribe(self, observer: Any = None, *_: Any, **__: Any) -> abc.DisposableBase:
            return subscribe(observer)

    subscription = listen(Raw(), loop, told.append, told.append, lambda: told.append(END))
    subscription.dispose()
    with drops() as seen:
        observers[0].on_next(1)
        observers[0].on_completed()
        observers[0].on_error(ValueError("late"))
    assert told == []
    assert [str(error) for error, _ in seen] == ["late"]
    assert subject.observers == []


@virtual
async def test_a_source_gets_the_loops_scheduler() -> None:
    seen: list[Any] = []

    def subscribe(_: Any, scheduler: Any = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    loop = asyncio.get_running_loop()
    listen(Observable(subscribe), loop, print, print, print)
    assert isinstance(seen[0], LoopScheduler)
    assert seen[0].loop is loop


def test_a_source_on_another_thread_is_let_go_of_when_the_loop_is_closed() -> None:
    loop = asyncio.new_event_loop()
    subject: Subject[int] = Subject()
    loop.run_until_complete(_listening(subject, loop))
    loop.close()
    assert len(subject.observers) == 1
    subject.on_next(1)
    assert subject.observers == []


async def _listening(subject: Subject[int], loop: asyncio.AbstractEventLoop) -> None:
    listen(subject, loop, print, print, print)


@virtual
async def test_a_source_that_ends_within_subscribe_is_let_go_of() -> None:
    released: list[int] = []
    told: list[Any] = []

    class Instant(Observable[int]):
        def subscribe(self, observer: Any = None, *_: Any, **__: Any) -> abc.DisposableBase:
            observer.on_next(1)
            observer.on_completed()
            return Disposable(lambda: released.append(1))

    listen(Instant(), asyncio.get_running_loop(), told.append, told.append, lambda: told.append(END))
    assert (told, released) == ([1, END], [1])


def test_two_emitters_that_feed_each_other_from_two_threads_do_not_deadlock() -> None:
    count = 2_000
    one: Subject[int] = Subject()
    two: Subject[int] = Subject()
    done = threading.Event()
    heard: list[int] = []

    def merged(sink: Sink[int]) -> Any:
        for source in (one, two):
            listen(source, sink.loop, sink.on_next, sink.on_error, lambda: None)
        return None

    def note(item: int) -> None:
        heard.append(item)
        if len(heard) == 2 * count:
            done.set()

    ready = threading.Event()
    subscription = Emitter(lambda sink: (merged(sink), ready.set())[0]).subscribe(note)
    assert ready.wait(30)

    def feed(subject: Subject[int]) -> None:
        for item in range(count):
            subject.on_next(item)

    threads = [threading.Thread(target=feed, args=(subject,)) for subject in (one, two)]
    for thread in threads:
        thread.start()
    assert done.wait(30)
    for thread in threads:
        thread.join(30)
    subscription.dispose()
    assert sorted(heard) == sorted([*range(count), *range(count)])


# work


def test_what_is_deferred_runs_after_what_is_running_in_order() -> None:
    order: list[str] = []

    def first() -> None:
        defer(lambda: order.append("second"))
        afterwards(lambda: order.append("last"))
        defer(lambda: (defer(lambda: order.append("fourth")), order.append("third")))  # type: ignore[func-returns-value, arg-type]
        together(lambda: order.append("within"))
        order.append("first")

    together(first)
    assert order == ["within", "first", "second", "third", "fourth", "last"]


def test_defer_runs_at_once_when_nothing_is_running() -> None:
    order: list[int] = []
    defer(lambda: order.append(1))
    afterwards(lambda: order.append(2))
    assert order == [1, 2]


def test_deep_chains_need_no_stack() -> None:
    left = [100_000]

    def again() -> None:
        if left[0]:
            left[0] -= 1
            defer(again)

    defer(again)
    assert left == [0]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_piece_of_work_that_raises_takes_none_of_the_others_with_it(kind: type[BaseException]) -> None:
    order: list[int] = []

    def raising() -> None:
        raise kind("broken")

    def all_of_it() -> None:
        defer(lambda: order.append(1))
        defer(raising)
        defer(lambda: order.append(2))
        raising()

    with pytest.raises(kind):
        together(all_of_it)
    assert order == [1, 2]
    defer(lambda: order.append(3))
    assert order == [1, 2, 3]


def test_each_thread_has_a_queue_of_its_own() -> None:
    order: list[str] = []

    def elsewhere() -> None:
        thread = threading.Thread(target=lambda: defer(lambda: order.append("there")))
        thread.start()
        thread.join(30)
        order.append("here")

    together(elsewhere)
    assert order == ["there", "here"]


def test_the_current_thread_scheduler_is_free_after_a_subscriber_raised() -> None:
    def raising(_: object) -> None:
        raise ValueError("mine")

    in_loop(lambda: just(1).subscribe(raising, lambda _: None))
    assert CurrentThreadScheduler.singleton().schedule_required()


def test_emitters_take_part_in_stock_operators(marbles: Marbles) -> None:
    source = just(1, 2, 3).pipe(ops.map(lambda n: n * 2), ops.merge(rx.of(9)), ops.to_list(), ops.map(sorted))
    marbles.expect(source).to_be("(x|)", x=[2, 4, 6, 9])


def test_who_subscribes_in_a_plain_thread_hears_what_is_hot_from_then_on() -> None:
    for _ in range(20):
        source: Subject[int] = Subject()
        heard: list[int] = []
        ended = threading.Event()
        relay: Emitter[int] = Emitter(
            lambda sink, source=source: listen(
                source, sink.loop, sink.on_next, sink.on_error, sink.on_completed
            )
        )
        relay.subscribe(heard.append, on_completed=ended.set)
        source.on_next(1)
        source.on_completed()
        assert ended.wait(WAIT)
        assert heard == [1]


def test_a_loop_that_waits_for_the_thread_that_subscribes_does_not_stop_it() -> None:
    loop, subscribed, over = shared_loop(), threading.Event(), threading.Event()

    def busy() -> None:
        subscribed.wait(WAIT)

    hop(loop, busy)
    just(1).subscribe(on_completed=over.set)
    assert not over.is_set()
    subscribed.set()
    assert over.wait(WAIT)


def test_an_item_after_the_end_goes_to_the_hook_and_names_itself() -> None:
    def run() -> None:
        def start(sink: Sink[str]) -> None:
            sink.on_next("in time")
            sink.on_completed()
            sink.on_next("too late")

        heard: list[str] = []
        with drops() as seen:
            Emitter(start).subscribe(heard.append)
        assert heard == ["in time"]
        [(error, what)] = seen
        assert isinstance(error, LateItemError)
        assert str(error) == "after its end a stream emitted 'too late'"
        assert what == "an item came after the end of its stream"

    in_loop(run)
