"""Blocking functions in threads: what becomes of results, errors, cancelled callers and places."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxagents.engine.limits import Limit
from rxagents.engine.threads import call_in_thread, threads_out
from rxagents.errors import ConfigurationError


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


async def ticks(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


class Gate:
    """A blocking function that says on the loop when it has begun, and ends when it is let."""

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.open = threading.Event()
        self.result, self.error = result, error
        self.thread: threading.Thread | None = None

    def __call__(self) -> Any:
        self.thread = threading.current_thread()
        self.loop.call_soon_threadsafe(self.begun.set)
        self.open.wait()
        if self.error:
            raise self.error
        return self.result

    def end(self) -> None:
        """Lets the function end and waits for its thread."""
        self.open.set()
        assert self.thread
        self.thread.join()


def test_the_result_comes_back_on_the_calling_loop() -> None:
    async def main() -> None:
        assert await call_in_thread(lambda: 42) == 42
        assert await call_in_thread(lambda: [None]) == [None]

    run(main())


def test_each_call_has_a_daemon_thread_of_its_own() -> None:
    async def main() -> None:
        threads = await asyncio.gather(*(call_in_thread(threading.current_thread) for _ in range(3)))
        assert all(thread.daemon for thread in threads)
        assert len({id(thread) for thread in threads}) == 3
        assert threading.current_thread() not in threads

    run(main())


def test_the_default_executor_is_not_used() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*_: Any) -> Any:
            raise AssertionError("the default executor was used")

        with mock.patch.object(loop, "run_in_executor", refuse):
            assert await call_in_thread(lambda: 1) == 1

    run(main())


def test_the_function_sees_the_callers_context_variables_and_cannot_change_them() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    def look() -> str:
        seen = variable.get()
        variable.set("changed")
        return seen

    async def main() -> None:
        variable.set("set")
        assert await call_in_thread(look) == "set"
        assert variable.get() == "set"

    run(main())


def test_an_exception_is_raised_as_it_is() -> None:
    error = ValueError("no")

    def fail() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(ValueError, match="no") as caught:
            await call_in_thread(fail)
        assert caught.value is error

    run(main())


@pytest.mark.parametrize(
    "error",
    [
        StopIteration("over"),
        SystemExit("over"),
        KeyboardInterrupt("over"),
        GeneratorExit("over"),
        asyncio.CancelledError("over"),
    ],
)
def test_what_a_task_must_not_get_comes_wrapped(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(RuntimeError, match=f"the function raised {type(error).__name__}: over") as caught:
            await call_in_thread(fail)
        assert caught.value.__cause__ is error

    run(main())


def test_a_cancelled_caller_does_not_wait_for_its_thread() -> None:
    async def main() -> None:
        gate = Gate("late")
        task = asyncio.create_task(call_in_thread(gate))
        await gate.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.thread
        assert gate.thread.is_alive()
        gate.end()
        await ticks()

    run(main())


def test_what_an_abandoned_thread_raises_goes_to_the_hook_on_the_loop() -> None:
    async def main() -> None:
        dropped: list[tuple[BaseException, threading.Thread]] = []
        heard = asyncio.Event()

        def hook(error: BaseException) -> None:
            dropped.append((error, threading.current_thread()))
            heard.set()

        error = ValueError("late")
        gate = Gate(error=error)
        task = asyncio.create_task(call_in_thread(gate, on_dropped=hook))
        await gate.begun.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.end()
        await heard.wait()
        assert dropped == [(error, threading.current_thread())]

    run(main())


def test_an_error_that_arrives_together_with_the_cancellation_goes_to_the_hook_once() -> None:
    async def main() -> None:
        dropped: list[BaseException] = []
        error = ValueError("late")
        gate = Gate(error=error)
        task = asyncio.create_task(call_in_thread(gate, on_dropped=dropped.append))
        await gate.begun.wait()
        # The thread has queued its delivery; the cancellation is queued behind it.
        gate.end()
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        await ticks()
        assert dropped == [error]

    run(main())


def test_an_error_that_arrives_between_the_cancellation_and_its_hearing_goes_to_the_hook_once() -> None:
    async def main() -> None:
        dropped: list[BaseException] = []
        error = ValueError("late")
        gate = Gate(error=error)
        task = asyncio.create_task(call_in_thread(gate, on_dropped=dropped.append))
        await gate.begun.wait()
        gate.end()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ticks()
        assert dropped == [error]

    run(main())


def test_an_error_that_the_caller_gets_does_not_go_to_the_hook() -> None:
    async def main() -> None:
        dropped: list[BaseException] = []
        with pytest.raises(ZeroDivisionError):
            await call_in_thread(lambda: 1 / 0, on_dropped=dropped.append)
        assert dropped == []

    run(main())


@pytest.mark.parametrize("error", [None, ValueError("late")])
def test_a_thread_that_outlives_its_loop_breaks_nothing(error: BaseException | None) -> None:
    dropped: list[BaseException] = []
    limit = Limit(1)

    async def main() -> Gate:
        gate = Gate("late", error)
        task = asyncio.create_task(call_in_thread(gate, limit=limit, on_dropped=dropped.append))
        await gate.begun.wait()
        task.cancel()
        return gate

    run(main()).end()
    assert dropped == ([error] if error else [])
    assert run(call_in_thread(lambda: "next", limit=limit)) == "next"


def test_a_coroutine_that_an_abandoned_thread_returns_is_closed() -> None:
    async def never_awaited() -> None: ...

    async def main() -> None:
        coroutine = never_awaited()
        gate = Gate(coroutine)
        task = asyncio.create_task(call_in_thread(gate))
        await gate.begun.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.end()
        await ticks()
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED

    run(main())


def test_threads_out_counts_a_call_until_its_caller_has_the_outcome() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        gate = Gate()
        assert threads_out(loop) == 0
        task = asyncio.create_task(call_in_thread(gate))
        await gate.begun.wait()
        assert threads_out(loop) == 1
        gate.end()
        assert threads_out(loop) == 1, "the thread has ended, but its delivery is still to come"
        await task
        assert threads_out(loop) == 0

    run(main())


def test_threads_out_counts_for_each_loop_and_after_an_error_too() -> None:
    async def fails() -> None:
        with pytest.raises(ZeroDivisionError):
            await call_in_thread(lambda: 1 / 0)
        assert threads_out(asyncio.get_running_loop()) == 0

    async def main() -> None:
        def other_loop() -> int:
            async def inside() -> int:
                return threads_out(asyncio.get_running_loop())

            return asyncio.run(inside())

        assert await call_in_thread(other_loop) == 0
        await fails()

    run(main())


def test_an_abandoned_thread_holds_no_time_up() -> None:
    async def main() -> None:
        gate = Gate()
        task = asyncio.create_task(call_in_thread(gate))
        await gate.begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert threads_out(asyncio.get_running_loop()) == 0
        gate.end()
        await ticks()
        assert threads_out(asyncio.get_running_loop()) == 0

    run(main())


def test_a_call_that_waits_for_its_place_counts_as_out() -> None:
    async def main() -> None:
        loop, limit = asyncio.get_running_loop(), Limit(1)
        gate = Gate()
        first = asyncio.create_task(call_in_thread(gate, limit=limit))
        await gate.begun.wait()
        first.cancel()
        second = asyncio.create_task(call_in_thread(lambda: 2, limit=limit))
        await ticks()
        assert threads_out(loop) == 1
        gate.end()
        assert await second == 2
        assert threads_out(loop) == 0

    run(main())


@given(n=st.integers(1, 4), calls=st.integers(1, 12))
def test_never_more_threads_are_out_than_the_limit_has_places(n: int, calls: int) -> None:
    counting = threading.Lock()
    now = most = 0

    def work() -> None:
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        with counting:
            now -= 1

    async def main() -> None:
        limit = Limit(n)
        await asyncio.gather(*(call_in_thread(work, limit=limit) for _ in range(calls)))
        assert most <= n

    run(main())


def test_waiting_callers_get_their_places_in_order() -> None:
    async def main() -> None:
        limit, order = Limit(1), list[int]()
        gate = Gate()
        first = asyncio.create_task(call_in_thread(gate, limit=limit))
        await gate.begun.wait()
        rest = [asyncio.create_task(call_in_thread(partial(order.append, i), limit=limit)) for i in range(5)]
        await ticks()
        assert order == []
        gate.end()
        await asyncio.gather(first, *rest)
        assert order == [0, 1, 2, 3, 4]

    run(main())


def test_an_abandoned_thread_keeps_its_place_until_it_ends() -> None:
    async def main() -> None:
        limit = Limit(1)
        gate = Gate()
        first = asyncio.create_task(call_in_thread(gate, limit=limit))
        await gate.begun.wait()
        first.cancel()
        second = asyncio.create_task(call_in_thread(lambda: 2, limit=limit))
        await ticks()
        assert not second.done()
        gate.end()
        assert await second == 2

    run(main())


def test_waiting_for_a_place_can_be_cancelled_and_costs_no_place() -> None:
    async def main() -> None:
        limit = Limit(1)
        gate, called = Gate(), list[int]()
        first = asyncio.create_task(call_in_thread(gate, limit=limit))
        await gate.begun.wait()
        second = asyncio.create_task(call_in_thread(lambda: called.append(2), limit=limit))
        third = asyncio.create_task(call_in_thread(lambda: called.append(3), limit=limit))
        await ticks()
        second.cancel()
        await asyncio.wait([second])
        gate.end()
        await third
        await first
        assert second.cancelled()
        assert called == [3]

    run(main())


@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_place_that_is_given_to_a_caller_just_cancelled_goes_to_the_next(cancel_first: bool) -> None:
    async def main() -> None:
        limit = Limit(1)
        await limit.acquire()
        second = asyncio.create_task(limit.acquire())
        third = asyncio.create_task(limit.acquire())
        await ticks()
        if cancel_first:
            second.cancel()
            limit.release()
        else:
            limit.release()
            asyncio.get_running_loop().call_soon(second.cancel)
        await third
        await asyncio.wait([second])
        assert second.cancelled()

    run(main())


def test_a_limit_serves_several_loops_at_once() -> None:
    limit = Limit(1)
    waiting, results = threading.Event(), list[str]()

    async def other() -> None:
        task = asyncio.create_task(call_in_thread(lambda: "other", limit=limit))
        await ticks()
        assert not task.done()
        waiting.set()
        results.append(await task)

    async def main() -> None:
        gate = Gate("first")
        first = asyncio.create_task(call_in_thread(gate, limit=limit))
        await gate.begun.wait()
        thread = threading.Thread(target=run, args=(other(),))
        thread.start()
        waiting.wait()
        gate.end()
        results.append(await first)
        thread.join()
        assert sorted(results) == ["first", "other"]

    run(main())


def test_a_waiter_whose_loop_was_closed_under_it_is_passed_over() -> None:
    limit = Limit(1)

    async def take() -> None:
        await limit.acquire()

    asyncio.run(take())
    loop = asyncio.new_event_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    left = loop.create_task(limit.acquire())
    loop.run_until_complete(ticks())
    loop.close()
    limit.release()
    asyncio.run(take())
    # The forgotten task ends in a finalizer; it must not give back a place that it never had.
    del left
    gc.collect()
    limit.release()

    async def only_one_place() -> None:
        await limit.acquire()
        second = asyncio.create_task(limit.acquire())
        await ticks()
        assert not second.done()
        second.cancel()

    asyncio.run(only_one_place())


def test_many_threads_and_loops_lose_no_place_whatever_is_cancelled() -> None:
    limit = Limit(3)

    async def worker(seed: int) -> None:
        tasks = [asyncio.create_task(call_in_thread(lambda: None, limit=limit)) for _ in range(30)]
        await ticks(seed % 7)
        for i, task in enumerate(tasks):
            if (i + seed) % 3 == 0:
                task.cancel()
            if i % 10 == 0:
                await ticks(1)
        await asyncio.wait(tasks)

    threads = [threading.Thread(target=lambda i=i: run(worker(i))) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def all_places_are_there() -> None:
        for _ in range(3):
            await limit.acquire()

    run(all_places_are_there())


def test_a_thread_that_cannot_be_started_is_an_error_and_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        limit = Limit(1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                await call_in_thread(lambda: 1, limit=limit)
        assert threads_out(asyncio.get_running_loop()) == 0
        assert await call_in_thread(lambda: 1, limit=limit) == 1

    run(main())


@pytest.mark.parametrize("n", [0, -1])
def test_a_limit_without_places_is_refused(n: int) -> None:
    with pytest.raises(ConfigurationError, match="at least one place"):
        Limit(n)


def test_releasing_holds_nothing_while_it_wakes_a_waiter() -> None:
    """A waker that comes back into the limit, as a finalizer may, finds it free of locks."""

    async def main() -> None:
        limit = Limit(1)
        loop = asyncio.get_running_loop()
        await limit.acquire()
        task = asyncio.create_task(limit.acquire())
        await ticks()
        wake = loop.call_soon_threadsafe

        def reenter(callback: Callable[..., Any], *args: Any, **options: Any) -> Any:
            limit.release()
            return wake(callback, *args, **options)

        with mock.patch.object(loop, "call_soon_threadsafe", reenter):
            limit.release()
        await task
        await limit.acquire()

    run(main())
