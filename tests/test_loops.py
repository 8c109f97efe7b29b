"""Loops: where everything runs, what keeps a script alive, and Rx's view of a loop's time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.internal.constants import UTC_ZERO

from rxagents.engine import loops
from rxagents.engine.bridges import from_async
from rxagents.engine.loops import (
    current_loop,
    dropped,
    hop,
    is_on,
    on_dropped,
    retain,
    shared_loop,
)
from rxagents.engine.schedulers import LoopScheduler
from rxagents.engine.trampolines import enqueued, trampolined
from rxagents.testing import Marbles, VirtualClock, virtual


def on_shared(action: Any) -> Any:
    """Runs the action on the shared loop and gives its result."""

    async def run() -> Any:
        return action()

    return asyncio.run_coroutine_threadsafe(run(), shared_loop()).result(30)


def script(source: str, *, stdin: str = "") -> tuple[int, str, str]:
    """Runs a program of its own; gives its exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# The loops


def test_the_current_loop_is_the_running_one_else_the_shared_one() -> None:
    async def here() -> tuple[Any, Any]:
        return current_loop(), asyncio.get_running_loop()

    found, running = asyncio.run(here())
    assert found is running
    assert current_loop() is shared_loop() is shared_loop()


def test_a_loop_is_on_its_own_thread_only() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert is_on(loop)
        assert not is_on(shared_loop())
        assert not await asyncio.to_thread(is_on, loop)

    asyncio.run(main())
    assert not is_on(shared_loop())
    assert on_shared(lambda: is_on(shared_loop()))


def test_threads_that_ask_at_once_get_one_shared_loop() -> None:
    barrier = threading.Barrier(16)
    found: list[Any] = []

    def ask() -> None:
        barrier.wait(30)
        found.append(shared_loop())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 16
    assert len(set(map(id, found))) == 1


def test_hop_runs_on_the_loop_and_tells_whether_it_is_closed() -> None:
    names: list[str] = []
    done = threading.Event()
    assert hop(shared_loop(), lambda: (names.append(threading.current_thread().name), done.set()))
    assert done.wait(30)
    assert names == ["rxagents-loop"]
    closed = asyncio.new_event_loop()
    closed.close()
    assert hop(closed, print) is False


def test_what_is_retained_on_another_loop_counts_for_nothing() -> None:
    async def main() -> None:
        release = retain(asyncio.get_running_loop())
        release()

    before = on_shared(lambda: loops._shared.subscribed)  # type: ignore[union-attr]
    asyncio.run(main())
    assert on_shared(lambda: loops._shared.subscribed) == before  # type: ignore[union-attr]


def test_what_is_subscribed_on_the_shared_loop_is_counted_until_it_is_disposed() -> None:
    from rxagents.engine.emitters import Emitter

    def count() -> int:
        assert loops._shared is not None
        return loops._shared.subscribed

    before = on_shared(count)
    begun = threading.Event()
    subscription = Emitter(lambda _: begun.set()).subscribe()
    assert begun.wait(30)
    assert on_shared(count) == before + 1
    subscription.dispose()
    assert on_shared(count) == before


def test_sys_exit_in_a_subscriber_does_not_end_the_shared_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))

    def leave() -> None:
        raise SystemExit(3)

    loop = shared_loop()
    hop(loop, leave)
    assert on_shared(lambda: 7) == 7
    assert shared_loop() is loop
    assert [error.code for error in seen] == [3]


# The trampoline


def test_what_is_trampolined_runs_at_once_and_what_is_enqueued_after_it() -> None:
    order: list[str] = []

    def inner() -> None:
        order.append("inner")

    def outer() -> None:
        enqueued(lambda: order.append("queued"))
        trampolined(inner)
        order.append("outer")

    trampolined(outer)
    assert order == ["inner", "outer", "queued"]


# The hook


@pytest.mark.drops
def test_dropped_errors_go_to_one_hook_and_none_restores_the_default() -> None:
    seen: list[Any] = []
    default = on_dropped(lambda error, what: seen.append((error, what)))
    error = ValueError("lost")
    dropped(error, "nobody listens")
    hook = on_dropped(None)
    assert seen == [(error, "nobody listens")]
    assert on_dropped(None) is default
    assert hook is not default


@pytest.mark.drops
def test_by_default_a_loops_exception_handler_gets_them() -> None:
    contexts: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
        dropped(ValueError("lost"), "nobody listens")

    asyncio.run(main())
    assert [(context["message"], str(context["exception"])) for context in contexts] == [
        ("rxagents: nobody listens", "lost")
    ]


@pytest.mark.drops
def test_by_default_outside_of_a_loop_the_threads_hook_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    error = ValueError("lost")
    dropped(error, "nobody listens")
    assert [args.exc_value for args in seen] == [error]


# The scheduler


def test_the_schedulers_now_is_the_loops_time() -> None:
    async def main() -> None:
        scheduler = LoopScheduler(asyncio.get_running_loop())
        assert scheduler.now == UTC_ZERO
        await asyncio.sleep(90)
        assert scheduler.now - UTC_ZERO == timedelta(seconds=90)

    VirtualClock().run(main())


@virtual
async def test_the_scheduler_fires_in_the_order_of_time_at_once_relative_and_absolute() -> None:
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler(loop)
    fired: list[tuple[float, Any]] = []

    def note(_: Any, state: Any = None) -> None:
        fired.append((loop.time(), state))

    scheduler.schedule_absolute(UTC_ZERO + timedelta(seconds=3), note, "absolute")
    scheduler.schedule_relative(2, note, "relative")
    scheduler.schedule_relative(timedelta(seconds=-1), note, "past")
    scheduler.schedule(note, "now")
    assert fired == []
    await asyncio.sleep(5)
    assert fired == [(0, "past"), (0, "now"), (2, "relative"), (3, "absolute")]


@virtual
async def test_what_is_disposed_does_not_fire_and_lets_go_of_what_the_action_returned() -> None:
    scheduler = LoopScheduler(asyncio.get_running_loop())
    fired: list[str] = []
    later = scheduler.schedule_relative(2, lambda *_: fired.append("later"))  # type: ignore[arg-type, func-returns-value]
    soon = scheduler.schedule(lambda *_: fired.append("soon"))  # type: ignore[arg-type, func-returns-value]
    soon.dispose()
    inner = rx.disposable.BooleanDisposable()
    outer = scheduler.schedule(lambda *_: inner)
    await asyncio.sleep(1)
    later.dispose()
    outer.dispose()
    await asyncio.sleep(5)
    assert fired == []
    assert inner.is_disposed


def test_any_thread_may_schedule_and_dispose() -> None:
    scheduler = LoopScheduler(shared_loop())
    fired: list[str] = []
    done = threading.Event()
    scheduler.schedule_relative(60, lambda *_: fired.append("never")).dispose()  # type: ignore[arg-type, func-returns-value]
    scheduler.schedule(lambda *_: (fired.append(threading.current_thread().name), done.set()))  # type: ignore[arg-type]
    assert done.wait(30)
    assert fired == ["rxagents-loop"]


def test_stock_operators_tell_the_time_by_the_loop(marbles: Marbles) -> None:
    def seconds(stamped: Any) -> tuple[float, str]:
        return (stamped.timestamp - UTC_ZERO).total_seconds(), stamped.value

    source = marbles.cold("        -a--b-|")
    stamped = source.pipe(ops.delay(10.0), ops.timestamp(), ops.map(seconds))
    marbles.expect(stamped).to_be("10s -a--b-|", a=(11, "a"), b=(14, "b"))


def test_an_interval_ticks_in_the_loops_time(marbles: Marbles) -> None:
    ticking = rx.interval(5.0)
    marbles.expect(ticking, unsubscribe_at="^---------------!").to_be("-----a----b----c-", a=0, b=1, c=2)


# Scripts

AGENT = """
    import asyncio, os, threading, sys
    import reactivex as rx
    from reactivex import operators as ops
    from rxagents import *
    from rxagents.operators import *
    agent1 = Agent("agent1", ScriptedLLM(lambda request: "one two three"))
"""


def test_a_script_that_ends_in_subscribe_print_prints_all_and_exits() -> None:
    slow = "rx.timer(0.2).pipe(ops.map(lambda _: 'Hello'))"
    code, out, err = script(f"{AGENT}\n    say({slow}).pipe(agent1, text()).subscribe(print)")
    assert (code, out, err) == (0, "one\n two\n three\n", "")


def test_a_script_that_never_subscribes_exits() -> None:
    code, out, err = script(f"{AGENT}\n    say('Hello').pipe(agent1, text())")
    assert (code, out, err) == (0, "", "")
    code, out, err = script("from rxagents.engine.loops import shared_loop; shared_loop()")
    assert (code, out, err) == (0, "", "")


def test_what_a_subscriber_subscribes_to_at_the_end_is_printed_too() -> None:
    code, out, err = script(
        AGENT
        + """
    later = rx.timer(0.1).pipe(ops.map(lambda _: 'Hello'))
    def again():
        say(later).pipe(agent1, text()).subscribe(print, print, lambda: print("end"))
    say(later).pipe(agent1, text()).subscribe(print, print, again)
    """
    )
    assert (code, out, err) == (0, "one\n two\n three\n" * 2 + "end\n", "")


def test_a_held_message_runs_to_its_end() -> None:
    code, out, err = script(
        AGENT
        + """
    message = stream(rx.timer(0.1).pipe(ops.map(lambda _: 'Hello')))
    message.on_end(lambda message: print(message.result))
    message.hold()
    """
    )
    assert (code, out, err) == (0, "Hello\n", "")


def test_threads_go_on_with_their_runs_after_the_main_thread_has_ended() -> None:
    code, out, err = script(
        AGENT
        + """
    shared = []
    def work(begin):
        threading.main_thread().join()
        for mark, content in Workflow(agent1).run_stream("Hello"):
            if mark == "response": print(content[0]["content"])
        print(Workflow(agent1).run("Hello"))
    Workflow(agent1).run("to have the shared loop")
    threading.Thread(target=work, args=(1,)).start()
    """
    )
    assert (code, out, err) == (0, "one two three\ndone\n", "")


def test_the_loop_outlives_the_daemon_thread_that_asked_for_it_first() -> None:
    code, out, err = script(
        AGENT
        + """
    later = rx.timer(0.2).pipe(ops.map(lambda _: 'Hello'))
    def first(): say(later).pipe(agent1, text()).subscribe(print)
    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    thread.join()
    """
    )
    assert (code, out, err) == (0, "one\n two\n three\n", "")


def test_host_names_are_looked_up_after_the_main_thread_has_ended() -> None:
    code, out, err = script(
        AGENT
        + """
    async def look():
        while threading.main_thread().is_alive():
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80)
        yield f"found {bool(found)}"
    say(look()).pipe(text(inputs=True)).subscribe(print, print)
    """
    )
    assert (code, out, err) == (0, "found True\n", "")


def test_an_endless_iterator_of_the_main_thread_does_not_keep_the_script_alive() -> None:
    code, out, err = script(
        AGENT
        + """
    from rxagents.engine.sync_items import SyncItems
    from rxagents.engine.loops import shared_loop
    from rxagents.replays import Replay
    items = SyncItems(Replay(rx.concat(rx.of("a"), rx.never())), shared_loop())
    print(next(items))
    """
    )
    assert (code, out, err) == (0, "a\n", "")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_after_a_fork_the_child_has_a_loop_of_its_own() -> None:
    code, out, err = script(
        """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads
    """
        + AGENT
        + """
    workflow = Workflow(agent1)
    workflow.run("Hello")
    open_message = stream(rx.never())
    hold = open_message.hold()
    child = os.fork()
    if not child:
        print("child", workflow.run("Hello").text, flush=True)
        open_message.subscribe(print, lambda error: print(type(error).__name__, flush=True))
    else:
        os.waitpid(child, 0)
        print("parent", workflow.run("Hello").text)
        hold.dispose()
    """
    )
    lines = "child one two three\nRunCancelledError\nparent one two three\n"
    assert (code, out, err) == (0, lines, "")


def test_a_script_whose_subscriber_exits_ends() -> None:
    code, out, err = script(
        AGENT
        + """
    def leave(token):
        print(token)
        sys.exit(1)
    say("Hello").pipe(agent1, text()).subscribe(leave, lambda error: print(type(error).__name__))
    """
    )
    assert (code, out) == (0, "one\nRunCancelledError\n")
    assert "SystemExit" in err


def test_asyncio_run_that_ends_first_ends_what_was_open() -> None:
    told: list[Any] = []

    async def main() -> None:
        source = from_async(endless)
        for _ in range(2):
            source.subscribe(told.append, lambda error: told.append(type(error).__name__))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert told == ["a", "a", "RunCancelledError", "RunCancelledError"]


async def endless(emit: Any) -> None:
    emit("a")
    await asyncio.Event().wait()
