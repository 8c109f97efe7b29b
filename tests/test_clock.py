"""The virtual clock: time that jumps, an order that can be relied on, and no way to hang."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import itertools
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.engine.threads import call_in_thread
from rxagents.errors import BlockingCallError, ConfigurationError, NoRealTimeError, RxAgentsError
from rxagents.testing.clock import StubbornTaskError, VirtualClock, virtual, virtual_loop
from rxagents.testing.clock.virtual_loop import EndlessInstantError, NothingToWaitForError, VirtualLoop


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


def loop_of(clock: VirtualClock) -> VirtualLoop:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loop = clock.run(running())
    assert isinstance(loop, VirtualLoop)
    return loop


# Time


@virtual
async def test_time_starts_at_zero_and_an_hour_is_one_jump() -> None:
    loop = asyncio.get_running_loop()
    assert loop.time() == 0.0
    await asyncio.sleep(3600)
    assert loop.time() == 3600.0


@virtual
async def test_ten_thousand_items_at_one_instant_do_not_move_the_clock() -> None:
    loop = asyncio.get_running_loop()
    times: set[float] = set()
    for _ in range(10_000):
        loop.call_soon(lambda: times.add(loop.time()))
        loop.call_later(2, lambda: times.add(loop.time()))
    for _ in range(10_000):
        await asyncio.sleep(0)
        times.add(loop.time())
    assert times == {0.0}
    await asyncio.sleep(2)
    assert times == {0.0, 2.0}


@virtual
async def test_time_does_not_move_while_anything_is_ready() -> None:
    loop = asyncio.get_running_loop()
    seen: list[tuple[str, float]] = []
    loop.call_later(0.001, lambda: seen.append(("timer", loop.time())))

    def again(left: int) -> None:
        if left:
            loop.call_soon(again, left - 1)
        else:
            seen.append(("chain", loop.time()))

    again(1000)
    await asyncio.sleep(1)
    assert seen == [("chain", 0.0), ("timer", 0.001)]


def test_times_that_differ_by_float_noise_are_one_instant(clock: VirtualClock) -> None:
    order: list[str] = []
    clock.at(0.1 + 0.2, order.append, "first")
    clock.at(0.3, order.append, "second")
    assert 0.1 + 0.2 > 0.3
    clock.advance(0.3)
    assert order == ["first", "second"]
    assert clock.now == 0.3


def test_sums_of_thirds_arrive_with_the_whole(clock: VirtualClock) -> None:
    order: list[str] = []

    async def thirds() -> None:
        for _ in range(3):
            await asyncio.sleep(1 / 3)
        order.append("thirds")

    clock.at(1, order.append, "armed first")
    clock.run(thirds())
    clock.at(1, order.append, "armed last")
    clock.advance(0)
    assert order == ["armed first", "thirds", "armed last"]
    assert clock.now == 1.0


@virtual
async def test_a_timer_never_sees_a_time_before_its_own() -> None:
    loop = asyncio.get_running_loop()
    for delay in (1 / 3, 1e-7, 0.1234564, 1 / 7, 1e5 / 7):
        due = loop.time() + delay
        fired = loop.create_future()
        loop.call_at(due, fired.set_result, None)
        await fired
        assert loop.time() >= due


@virtual
async def test_a_time_in_the_past_is_due_now_behind_those_that_are() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(5)
    order: list[str] = []
    loop.call_at(5, order.append, "now")
    loop.call_at(3, order.append, "past")
    loop.call_later(-1, order.append, "negative")
    loop.call_at(-math.inf, order.append, "ages ago")
    await asyncio.sleep(1)
    assert order == ["now", "past", "negative", "ages ago"]
    assert loop.time() == 6


def test_a_time_at_infinity_never_comes_and_keeps_nothing_waiting() -> None:
    with pytest.raises(NothingToWaitForError, match=r"Still waiting:\n  \S+: sleep on <Future pending>\n"):
        VirtualClock().run(asyncio.sleep(math.inf))


@virtual
async def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        asyncio.get_running_loop().call_later(math.nan, print)


@virtual
async def test_cancelled_timers_do_not_pile_up() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(10_000):
        async with asyncio.timeout(3600):
            await asyncio.sleep(0)
    assert len(loop._timers) <= 100
    await asyncio.sleep(1)
    assert loop.time() == 1.0


# Order


def test_what_was_armed_first_wins_a_tie(clock: VirtualClock) -> None:
    order: list[str] = []

    async def sleeper(name: str) -> None:
        await asyncio.sleep(1)
        order.append(name)

    async def both() -> None:
        await asyncio.gather(sleeper("b"), sleeper("c"))

    clock.at(1, order.append, "a")
    clock.run(both())
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("awaits", [0, 1, 2, 50])
def test_a_timer_runs_until_nothing_is_ready_before_the_next_of_its_instant(
    clock: VirtualClock, awaits: int
) -> None:
    order: list[str] = []

    async def work(name: str, awaits: int) -> None:
        for _ in range(awaits):
            await asyncio.sleep(0)
        order.append(name)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: tasks.append(loop.create_task(work("slow", awaits))))
        loop.call_later(1, lambda: tasks.append(loop.create_task(work("fast", 0))))
        await asyncio.sleep(2)

    tasks: list[asyncio.Task[None]] = []
    clock.run(main())
    assert order == ["slow", "fast"]


@dataclass(frozen=True)
class Timer:
    """A timer of the property test: what it does when it fires, after so many awaits."""

    tenths: int
    awaits: int
    cancels: int | None
    sets: tuple[Timer, ...]


def timers(sets: st.SearchStrategy[tuple[Timer, ...]]) -> st.SearchStrategy[Timer]:
    return st.builds(
        Timer,
        tenths=st.sampled_from([-1, 0, 0, 1, 2, 3]),
        awaits=st.integers(0, 3),
        cancels=st.none() | st.integers(0, 10),
        sets=sets,
    )


programs = st.lists(
    st.recursive(
        timers(st.just(())),
        lambda inner: timers(st.lists(inner, max_size=3).map(tuple)),
        max_leaves=12,
    ),
    max_size=8,
)


def by_the_model(program: list[Timer]) -> list[tuple[int, int]]:
    """The order by time and sequence, and nothing else: what ran, and at which tenth of a second."""
    pending: list[tuple[int, int, Timer]] = []
    ran: list[tuple[int, int]] = []
    count = 0
    now = 0
    to_set: tuple[Timer, ...] = tuple(program)
    while True:
        for timer in to_set:
            pending.append((max(now, now + timer.tenths), count, timer))
            count += 1
        if not pending:
            return ran
        pending.sort(key=lambda entry: entry[:2])
        now, sequence, fired = pending.pop(0)
        ran.append((sequence, now))
        if fired.cancels is not None:
            pending = [entry for entry in pending if entry[1] != fired.cancels % count]
        to_set = fired.sets


def by_the_clock(program: list[Timer]) -> list[tuple[int, int]]:
    ran: list[tuple[int, int]] = []
    handles: list[asyncio.TimerHandle] = []
    tasks: list[asyncio.Task[None]] = []

    def arm(timer: Timer) -> None:
        loop = asyncio.get_running_loop()
        handles.append(loop.call_later(timer.tenths / 10, fire, len(handles), timer))

    def fire(sequence: int, timer: Timer) -> None:
        tasks.append(asyncio.get_running_loop().create_task(work(sequence, timer)))

    async def work(sequence: int, timer: Timer) -> None:
        for _ in range(timer.awaits):
            await asyncio.sleep(0)
        ran.append((sequence, round(asyncio.get_running_loop().time() * 10)))
        if timer.cancels is not None:
            handles[timer.cancels % len(handles)].cancel()
        for further in timer.sets:
            arm(further)

    async def start() -> None:
        for timer in program:
            arm(timer)

    with VirtualClock() as clock:
        clock.run(start())
        clock.advance(1000)
    assert all(task.done() for task in tasks)
    return ran


@settings(max_examples=300, deadline=None)
@given(programs)
def test_the_order_is_that_of_time_and_sequence(program: list[Timer]) -> None:
    assert by_the_clock(program) == by_the_model(program)


# It is an asyncio loop


@virtual
async def test_callbacks_run_in_the_order_in_which_they_were_made_ready() -> None:
    loop = asyncio.get_running_loop()
    order: list[int] = []
    for n in range(5):
        loop.call_soon(order.append, n)
    loop.call_soon(order.append, 99).cancel()
    await asyncio.sleep(0)
    assert order == [0, 1, 2, 3, 4]


@virtual
async def test_timeouts_fire_at_their_virtual_time() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.sleep(10)
    assert loop.time() == 5.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 2)
    assert loop.time() == 7.0
    assert await asyncio.wait_for(asyncio.sleep(1, "in time"), 2) == "in time"


@virtual
async def test_queues_events_and_task_groups_work() -> None:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    done = asyncio.Event()
    got: list[tuple[int, float]] = []

    async def produce() -> None:
        for n in range(3):
            await asyncio.sleep(1)
            await queue.put(n)
        done.set()

    async def consume() -> None:
        for _ in range(3):
            got.append((await queue.get(), loop.time()))

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
        await done.wait()
    assert got == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_a_task_group_fails_and_cancels_its_others_at_that_time() -> None:
    async def fail() -> None:
        await asyncio.sleep(2)
        raise ValueError("two seconds in")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(fail())

    clock = VirtualClock()
    with pytest.raises(ExceptionGroup) as caught:
        clock.run(main())
    assert [str(error) for error in caught.value.exceptions] == ["two seconds in"]
    assert clock.now == 2.0


@virtual
async def test_context_variables_go_with_callbacks_timers_and_tasks() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    context = contextvars.copy_context()
    context.run(variable.set, "inside")
    loop.call_soon(lambda: seen.append(variable.get()), context=context)
    loop.call_later(1, lambda: seen.append(variable.get()), context=context)
    variable.set("main")
    loop.call_later(2, lambda: seen.append(variable.get()))

    async def child() -> None:
        seen.append(variable.get())
        variable.set("child")

    await asyncio.create_task(child())
    await asyncio.to_thread(lambda: seen.append(variable.get()))
    await asyncio.sleep(3)
    assert seen == ["inside", "main", "main", "inside", "main"]
    assert variable.get() == "main"


@virtual
async def test_what_a_callback_raises_goes_to_the_exception_handler() -> None:
    loop = asyncio.get_running_loop()
    heard: list[object] = []
    loop.set_exception_handler(lambda loop, context: heard.append(context["exception"]))
    error = ValueError("in a callback")

    def fail() -> None:
        raise error

    loop.call_soon(fail)
    loop.call_later(1, fail)
    await asyncio.sleep(2)
    assert heard == [error, error]


def test_async_generators_are_closed_at_the_end_of_the_run() -> None:
    closed: list[float] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            closed.append(asyncio.get_running_loop().time())

    async def main() -> AsyncIterator[int]:
        generator = numbers()
        await anext(generator)
        await asyncio.sleep(3)
        return generator

    left = VirtualClock().run(main())
    assert closed == [4.0]
    del left


@virtual
async def test_an_async_generator_that_is_dropped_is_closed_by_the_loop() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            closed.append("closed")

    generator = numbers()
    await anext(generator)
    del generator
    gc.collect()
    await asyncio.sleep(2)
    assert closed == ["closed"]


def test_it_serves_as_a_plain_loop_in_an_asyncio_runner() -> None:
    async def main() -> float:
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 60.0
        assert runner.run(main()) == 120.0


def test_it_runs_a_future_and_stops_when_told() -> None:
    loop = VirtualLoop()
    try:
        future = loop.create_future()
        loop.call_later(4, future.set_result, "came")
        assert loop.run_until_complete(future) == "came"
        loop.call_later(1, loop.stop)
        loop.run_forever()
        assert loop.time() == 5.0
    finally:
        loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


def test_debug_mode_works_and_catches_timers_set_from_another_thread() -> None:
    loop = VirtualLoop()
    loop.set_debug(True)

    async def main() -> None:
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="Non-thread-safe"):
            await asyncio.to_thread(loop.call_later, 1, print)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


# No sockets

REFUSED: dict[str, Callable[[asyncio.AbstractEventLoop], Any]] = {
    "create_connection": lambda loop: loop.create_connection(asyncio.Protocol, "localhost", 80),
    "create_server": lambda loop: loop.create_server(asyncio.Protocol, "localhost", 80),
    "create_unix_connection": lambda loop: loop.create_unix_connection(asyncio.Protocol, "s"),
    "create_unix_server": lambda loop: loop.create_unix_server(asyncio.Protocol, "s"),
    "create_datagram_endpoint": lambda loop: loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, ("localhost", 80)
    ),
    "sock_connect": lambda loop: loop.sock_connect(None, ("localhost", 80)),  # type: ignore[arg-type]
    "add_reader": lambda loop: loop.add_reader(0, print),
    "add_writer": lambda loop: loop.add_writer(1, print),
    "add_signal_handler": lambda loop: loop.add_signal_handler(2, print),
    "subprocess_exec": lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
    "subprocess_shell": lambda loop: loop.subprocess_shell(asyncio.SubprocessProtocol, "true"),
    "getaddrinfo": lambda loop: loop.getaddrinfo("localhost", 80),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_needs_real_time_and_says_why(name: str) -> None:
    async def main() -> None:
        returned = REFUSED[name](asyncio.get_running_loop())
        if inspect.isawaitable(returned):
            await returned

    with pytest.raises(NoRealTimeError) as caught:
        VirtualClock().run(main())
    assert str(caught.value) == (
        f"{name}() was called under the virtual clock, where no real time passes, and what comes from "
        "outside the process would never be in time. Use a scripted model (ScriptedLLM) and fake tools, or "
        "test in real time (asyncio.run) against rxagents.testing.OpenAIServer."
    )


@pytest.mark.parametrize(
    "opening",
    [
        lambda: asyncio.open_connection("localhost", 80),
        lambda: asyncio.start_server(lambda reader, writer: None, "localhost", 0),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.create_subprocess_shell("true"),
    ],
)
def test_the_streams_and_processes_of_asyncio_are_refused_too(
    opening: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    with pytest.raises(NoRealTimeError):
        VirtualClock().run(opening())


def test_no_socket_is_made_for_the_loop_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "socketpair", refuse)
    VirtualClock().run(asyncio.to_thread(int))


@virtual
async def test_removing_a_reader_or_writer_finds_none() -> None:
    loop = asyncio.get_running_loop()
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False


def test_every_method_of_an_asyncio_loop_is_there_or_refused() -> None:
    abstract = asyncio.AbstractEventLoop
    missing = {
        name
        for name in vars(abstract)
        if not name.startswith("_") and getattr(VirtualLoop, name) is getattr(abstract, name)
    }
    assert missing == {"remove_signal_handler"}


# Worker threads


def ask_the_time(loop: asyncio.AbstractEventLoop, times: list[float], often: int) -> str:
    """A blocking tool: goes back and forth to the loop, which so comes to rest, and waits, each time."""
    for _ in range(often):
        answered = threading.Event()

        def answer(answered: threading.Event = answered) -> None:
            times.append(loop.time())
            answered.set()

        loop.call_soon_threadsafe(answer)
        assert answered.wait(30)
    return "done"


@pytest.mark.parametrize(
    "start",
    [
        lambda tool: asyncio.to_thread(tool),
        lambda tool: asyncio.get_running_loop().run_in_executor(None, tool),
        lambda tool: call_in_thread(tool),
    ],
    ids=["to_thread", "run_in_executor", "call_in_thread"],
)
@virtual
async def test_virtual_time_stands_still_while_a_thread_is_out(
    start: Callable[[Callable[[], str]], Any],
) -> None:
    loop = asyncio.get_running_loop()
    order: list[str] = []
    times: list[float] = []
    await asyncio.sleep(3)
    loop.call_later(0, order.append, "due at once")
    loop.call_later(1, order.append, "due later")
    order.append(await start(lambda: ask_the_time(loop, times, 20)))
    assert loop.time() == 3.0
    assert times == [3.0] * 20
    await asyncio.sleep(2)
    assert order == ["done", "due at once", "due later"]


@virtual
async def test_no_timeout_passes_while_a_blocking_tool_works() -> None:
    loop = asyncio.get_running_loop()
    release = threading.Event()
    async with asyncio.timeout(0.001):
        tool = asyncio.create_task(asyncio.to_thread(release.wait))
        helper = asyncio.to_thread(ask_the_time, loop, [], 20)
        await helper
        assert not tool.done()
        release.set()
        assert await tool is True
    assert loop.time() == 0.0


def test_a_thread_that_comes_back_wakes_the_loop_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_loop, "_GLANCE", 1000)

    async def main() -> str:
        return await asyncio.to_thread(ask_the_time, asyncio.get_running_loop(), [], 5)

    assert VirtualClock().run(main()) == "done"


@virtual
async def test_several_threads_are_all_waited_for() -> None:
    loop = asyncio.get_running_loop()
    barrier = threading.Barrier(3, timeout=30)
    got = await asyncio.gather(*(asyncio.to_thread(barrier.wait) for _ in range(3)))
    assert sorted(got) == [0, 1, 2]
    assert loop.time() == 0.0


@virtual
async def test_a_cancelled_job_still_holds_the_time_until_its_thread_is_back() -> None:
    loop = asyncio.get_running_loop()
    begun = threading.Event()
    release = threading.Event()
    times: list[float] = []

    def tool() -> None:
        begun.set()
        assert release.wait(30)
        ask_the_time(loop, times, 5)

    job = loop.run_in_executor(None, tool)
    assert begun.wait(30)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    loop.call_soon(release.set)
    await asyncio.sleep(1)
    assert times == [0.0] * 5
    assert loop.time() == 1.0


@virtual
async def test_a_job_that_is_cancelled_in_the_queue_is_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    release = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        first = loop.run_in_executor(pool, release.wait)
        second = loop.run_in_executor(pool, pytest.fail, "it should not have run")
        second.cancel()
        release.set()
        assert await first is True
        await asyncio.sleep(1)
    assert loop.time() == 1.0


@virtual
async def test_what_a_job_raises_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)


def test_the_executor_is_shut_down_with_the_clock() -> None:
    before = set(threading.enumerate())
    VirtualClock().run(asyncio.to_thread(int))
    assert set(threading.enumerate()) <= before


def test_a_loop_that_closes_before_its_job_is_back_is_not_disturbed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = VirtualLoop()
    release = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        job = loop.run_in_executor(pool, release.wait)
        job.cancel()
        loop.close()
        release.set()
    assert caplog.records == []


# What can never come


def test_a_run_that_waits_for_nothing_fails_at_once_and_lists_who_waits_for_what() -> None:
    async def reader(queue: asyncio.Queue[int]) -> None:
        await queue.get()

    async def main() -> None:
        await asyncio.sleep(7)
        other = asyncio.create_task(reader(asyncio.Queue()), name="reader")
        asyncio.current_task().set_name("main")  # type: ignore[union-attr]
        await other

    with pytest.raises(NothingToWaitForError) as caught:
        VirtualClock().run(main())
    assert isinstance(caught.value, RxAgentsError)
    assert str(caught.value) == (
        "nothing can happen any more at 7.0 s: no callback is ready, no timer is set and no worker thread is "
        "out. Still waiting:\n"
        "  main: main on <Task reader>\n"
        "  reader: reader > Queue.get on <Future pending>\n"
        "Arm what they wait for (VirtualClock.at), or end it. Of threads, the clock sees those of "
        "asyncio.to_thread, run_in_executor and tools."
    )
    assert __file__ not in str(caught.value)


def test_what_is_awaited_is_shown_by_its_own_repr_if_it_has_one() -> None:
    class Reply(asyncio.Future[str]):
        def __repr__(self) -> str:
            return "<the reply of the model>"

    class Awaitable:
        def __await__(self) -> Generator[Any, None, str]:
            return Reply().__await__()

    async def main() -> None:
        await asyncio.gather(wait())

    async def wait() -> None:
        await Awaitable()

    with pytest.raises(NothingToWaitForError) as caught:
        VirtualClock().run(main())
    assert "wait on <the reply of the model>" in str(caught.value)
    assert "main on <_GatheringFuture pending>" in str(caught.value)


def test_of_many_who_wait_it_shows_the_first() -> None:
    async def main() -> None:
        event = asyncio.Event()
        await asyncio.gather(*(event.wait() for _ in range(99)))

    with pytest.raises(NothingToWaitForError, match="… and 80 more tasks"):
        VirtualClock().run(main())


def test_a_bare_future_that_nobody_sets_fails_at_once_too() -> None:
    loop = VirtualLoop()
    try:
        with pytest.raises(NothingToWaitForError, match="only the future"):
            loop.run_until_complete(loop.create_future())
    finally:
        loop.close()


def test_a_clock_goes_on_after_such_a_failure_and_the_run_is_cancelled(clock: VirtualClock) -> None:
    ends: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    with pytest.raises(NothingToWaitForError):
        clock.run(wait())
    assert ends == ["cancelled"]
    assert clock.run(asyncio.sleep(1, "fine")) == "fine"


def test_a_task_that_outlives_its_cancellation_does_not_hang_the_end() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    async def main() -> str:
        tasks.append(asyncio.create_task(stubborn(), name="stubborn"))
        await asyncio.sleep(0)
        return "done"

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(StubbornTaskError, match=r"stubborn: stubborn > Event\.wait on"):
        VirtualClock().run(main())
    tasks.clear()
    gc.collect()


def test_the_first_error_is_told_if_the_end_fails_too() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    async def main() -> None:
        tasks.append(asyncio.create_task(stubborn(), name="stubborn"))
        await asyncio.sleep(0)
        raise ValueError("the first")

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(ValueError, match="the first") as caught:
        VirtualClock().run(main())
    assert any("stubborn" in note for note in caught.value.__notes__)
    tasks.clear()
    gc.collect()


# An instant that never ends


def test_a_million_callbacks_at_one_instant_are_the_most() -> None:
    async def spin() -> None:
        await asyncio.sleep(2)
        asyncio.current_task().set_name("spinner")  # type: ignore[union-attr]
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(EndlessInstantError) as caught:
        VirtualClock().run(spin())
    assert isinstance(caught.value, RxAgentsError)
    assert str(caught.value) == (
        "more than 1,000,000 callbacks ran at 2.0 s and the time never moved; the next would have been "
        "spinner: spin > sleep > __sleep0. Let it sleep in between, or raise max_steps."
    )


def test_timers_of_one_instant_that_set_each_other_are_endless_too() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_later(0, again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(EndlessInstantError, match=r"at 0\.0 s .*been \S*again\."):
        VirtualClock(max_steps=1000).run(main())


@pytest.mark.parametrize(("callbacks", "endless"), [(99, False), (100, True)])
def test_the_limit_is_exact(callbacks: int, endless: bool) -> None:
    loop = VirtualLoop(max_steps=99)
    try:
        for _ in range(callbacks):
            loop.call_soon(int)
        if endless:
            with pytest.raises(EndlessInstantError):
                loop.run_to(1)
        else:
            loop.run_to(1)
    finally:
        loop.close()


@virtual
async def test_more_than_the_limit_is_fine_over_several_instants() -> None:
    async def main() -> None:
        for _ in range(300):
            await asyncio.sleep(0.000001)

    await asyncio.to_thread(lambda: VirtualClock(max_steps=50).run(main()))


def test_each_run_counts_anew_so_that_an_endless_one_can_be_cancelled() -> None:
    ends: list[str] = []

    async def spin() -> None:
        try:
            for _ in itertools.count():
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            ends.append("end")

    async def some() -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    with VirtualClock(max_steps=100) as clock:
        with pytest.raises(EndlessInstantError):
            clock.run(spin())
        assert ends == ["end"]
        clock.run(some())
        clock.run(some())


def test_cancelled_callbacks_are_no_steps() -> None:
    loop = VirtualLoop(max_steps=10)
    try:
        for _ in range(100):
            loop.call_soon(int).cancel()
        loop.run_to(1)
    finally:
        loop.close()


# VirtualClock


def test_run_returns_the_result_or_raises_the_error() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise KeyError("its own")

    clock = VirtualClock()
    assert clock.run(asyncio.sleep(3600, "result")) == "result"
    assert clock.now == 3600.0
    with pytest.raises(KeyError, match="its own"):
        clock.run(fail())
    assert clock.now == 1.0


def test_what_is_left_over_is_cancelled_in_order_at_the_end_of_the_run() -> None:
    ends: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def left(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ends.append(name)

    async def main() -> None:
        names = [f"left-{n}" for n in range(12)]
        tasks.extend(asyncio.create_task(left(name), name=name) for name in names)
        await asyncio.sleep(1)

    clock = VirtualClock()
    clock.run(main())
    assert ends == [f"left-{n}" for n in range(12)]
    assert all(task.cancelled() for task in tasks)
    assert clock.now == 1.0


def test_what_fails_while_it_is_cancelled_goes_to_the_exception_handler() -> None:
    heard: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("in cleanup")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: heard.append(f"{context['message']}: {context['exception']}")
        )
        tasks.append(asyncio.create_task(left(), name="left"))
        await asyncio.sleep(1)

    tasks: list[asyncio.Task[None]] = []
    VirtualClock().run(main())
    assert heard == ["the task left failed while it was being cancelled: in cleanup"]


def test_the_thread_keeps_the_event_loop_it_had() -> None:
    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    try:
        VirtualClock().run(asyncio.sleep(1))
        assert asyncio.get_event_loop_policy().get_event_loop() is mine
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
    finally:
        asyncio.set_event_loop(None)
        mine.close()


def test_the_loop_is_closed_and_nothing_leaks() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())

    VirtualClock().run(main())
    assert loops[0].is_closed()
    loops.clear()
    gc.collect()  # A ResourceWarning would fail this test.


def test_in_a_with_block_the_time_goes_on_from_run_to_run() -> None:
    with VirtualClock() as clock:
        assert clock.now == 0.0
        first = loop_of(clock)
        clock.run(asyncio.sleep(2))
        clock.run(asyncio.sleep(3))
        assert clock.now == 5.0
        assert loop_of(clock) is first
    assert clock.now == 5.0
    assert first.is_closed()
    assert clock.run(asyncio.sleep(1)) is None
    assert clock.now == 1.0


def test_in_a_with_block_tasks_live_on_until_its_end() -> None:
    log: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def beat() -> None:
        try:
            while True:
                await asyncio.sleep(1)
                log.append("beat")
        finally:
            log.append("end")

    async def start() -> None:
        tasks.append(asyncio.create_task(beat()))

    with VirtualClock() as clock:
        clock.run(start())
        clock.advance(2)
        clock.run(asyncio.sleep(1.5))
        assert log == ["beat"] * 3
    assert log == ["beat"] * 3 + ["end"]


def test_advance_runs_all_that_is_due_up_to_then_and_no_more(clock: VirtualClock) -> None:
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, clock.now))

    def chain() -> None:
        note("2")
        clock.at(2, note, "2, set at 2")

    clock.at(2, chain)
    clock.at(1, note, "1")
    clock.at(2.000001, note, "too late")
    clock.advance(2)
    assert seen == [("1", 1.0), ("2", 2.0), ("2, set at 2", 2.0)]
    assert clock.now == 2.0
    clock.advance(0)
    assert len(seen) == 3
    clock.advance(10)
    assert seen[3:] == [("too late", 2.000001)]
    assert clock.now == 12.0


def test_advance_waits_for_threads(clock: VirtualClock) -> None:
    got: list[float] = []

    async def tool() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(ask_the_time, asyncio.get_running_loop(), got, 3)

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(tool())

    task = clock.run(start())
    clock.advance(1)
    assert task.done()
    assert got == [1.0] * 3


def test_advance_by_less_than_nothing_is_refused(clock: VirtualClock) -> None:
    with pytest.raises(ConfigurationError, match="backwards"):
        clock.advance(-1)


def test_small_steps_add_up(clock: VirtualClock) -> None:
    order: list[str] = []
    clock.at(1, order.append, "at one second")
    for _ in range(10):
        clock.advance(0.1)
    assert clock.now == 1.0
    assert order == ["at one second"]


def test_at_can_be_disarmed_and_refuses_the_past(clock: VirtualClock) -> None:
    order: list[str] = []
    clock.at(1, order.append, "a").cancel()
    clock.at(1, order.append, "b")
    clock.advance(1)
    assert order == ["b"]
    with pytest.raises(ConfigurationError, match=r"at\(0\.5\): it is 1\.0 s already"):
        clock.at(0.5, order.append, "c")
    clock.at(1, order.append, "now is not past")
    clock.advance(0)
    assert order == ["b", "now is not past"]


def test_at_works_within_a_run() -> None:
    clock = VirtualClock()

    async def main() -> float:
        event = asyncio.Event()
        clock.at(3, event.set)
        await event.wait()
        return clock.now

    assert clock.run(main()) == 3.0


def test_what_an_armed_callback_raises_comes_out_of_advance_and_of_run(clock: VirtualClock) -> None:
    def fail(text: str) -> None:
        raise AssertionError(text)

    clock.at(1, fail, "first")
    clock.at(1, fail, "second")
    with pytest.raises(AssertionError, match="first") as caught:
        clock.advance(2)
    assert caught.value.__notes__ == [
        "a later callback of VirtualClock.at failed too: AssertionError('second')"
    ]
    assert clock.now == 2.0

    clock.at(3, fail, "in a run")
    with pytest.raises(AssertionError, match="in a run"):
        clock.run(asyncio.sleep(5))
    clock.at(8, fail, "the cause")
    with pytest.raises(AssertionError, match="the cause") as caught:
        clock.run(asyncio.Event().wait())
    assert isinstance(caught.value.__context__, NothingToWaitForError)
    clock.at(9, pytest.fail, "an outcome of pytest")
    with pytest.raises(pytest.fail.Exception):
        clock.advance(2)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_run_and_cleans_up(interrupt: type[BaseException]) -> None:
    ends: list[str] = []

    async def main() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ends.append("end")

    def stop() -> None:
        raise interrupt

    clock = VirtualClock()

    async def interrupted() -> None:
        clock.at(1, stop)
        await main()

    with pytest.raises(interrupt):
        clock.run(interrupted())
    assert ends == ["end"]
    assert clock.now == 1.0


def test_an_interrupt_raised_in_the_coroutine_itself_comes_out(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VirtualClock().run(main())
    gc.collect()
    assert caplog.records == []


def test_advance_and_at_need_a_clock_that_is_running() -> None:
    clock = VirtualClock()
    with pytest.raises(ConfigurationError, match=r"with VirtualClock\(\) as clock"):
        clock.advance(1)
    with pytest.raises(ConfigurationError, match=r"VirtualClock\.at needs a clock"):
        clock.at(1, print)


def test_a_clock_is_entered_once_at_a_time(clock: VirtualClock) -> None:
    with pytest.raises(ConfigurationError, match="in use already"), clock:
        pass


def test_run_takes_coroutines_only() -> None:
    with pytest.raises(ConfigurationError, match="takes a coroutine"):
        VirtualClock().run(print)  # type: ignore[arg-type]


def test_no_clock_runs_inside_a_running_loop() -> None:
    async def main() -> None:
        coroutine = asyncio.sleep(1)
        with pytest.raises(BlockingCallError, match=r"VirtualClock\.run .* event loop is running"):
            VirtualClock().run(coroutine)
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
        with pytest.raises(BlockingCallError), VirtualClock():
            pass

    asyncio.run(main())

    clock = VirtualClock()

    async def advance() -> None:
        with pytest.raises(BlockingCallError, match=r"VirtualClock\.advance"):
            clock.advance(1)

    clock.run(advance())


def test_clocks_run_side_by_side_in_threads_of_their_own() -> None:
    def hour(n: int) -> int:
        return VirtualClock().run(asyncio.sleep(3600, n))

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(hour, n) for n in range(20)]
        assert [run.result(30) for run in runs] == list(range(20))


def test_real_time_is_never_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError("slept")

    monkeypatch.setattr(time, "sleep", refuse)
    monkeypatch.setattr(threading.Event, "wait", refuse)
    VirtualClock().run(asyncio.sleep(1e9))


# virtual


@virtual
async def test_virtual_keeps_the_signature_for_fixtures(tmp_path: Path) -> None:
    await asyncio.sleep(3600)
    assert isinstance(tmp_path, Path)
    assert asyncio.get_running_loop().time() == 3600.0


class TestVirtual:
    """It also serves methods."""

    @virtual
    async def test_virtual_serves_methods(self, tmp_path: Path) -> None:
        await asyncio.sleep(1)
        assert isinstance(self, TestVirtual)
        assert isinstance(tmp_path, Path)


@settings(max_examples=20, deadline=None)
@given(delay=st.integers(0, 10**6))
@virtual
async def test_virtual_serves_property_tests(delay: int) -> None:
    await asyncio.sleep(delay)
    assert asyncio.get_running_loop().time() == delay


def test_virtual_gives_each_call_a_clock_of_its_own_and_the_result() -> None:
    @virtual
    async def hour(answer: str) -> tuple[str, float]:
        """An hour."""
        await asyncio.sleep(3600)
        return answer, asyncio.get_running_loop().time()

    assert hour("yes") == hour(answer="yes") == ("yes", 3600.0)
    assert hour.__name__ == "hour"
    assert hour.__doc__ == "An hour."
    assert not inspect.iscoroutinefunction(hour)
