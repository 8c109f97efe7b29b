"""Where everything runs: the current loop, the shared background loop, and the way onto a loop.

Everything that emits, emits on one event loop: the running loop of the thread that subscribes, or
else the shared one, which runs in a background thread. This is the one file that knows threads.

The shared thread is no daemon, so that a script ending in `.subscribe(print)` prints all of it: a
watcher stops the loop once the main thread is done and nothing is subscribed any more.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from reactivex import abc
from reactivex.scheduler import CurrentThreadScheduler

__all__ = [
    "current_loop",
    "dropped",
    "enqueued",
    "hop",
    "is_on",
    "on_dropped",
    "retain",
    "shared_loop",
    "trampolined",
]


class _DaemonExecutor(ThreadPoolExecutor):
    """Runs each job in a daemon thread of its own.

    The stock executor refuses work once the main thread is done, and then no host name could be
    looked up any more while a script's last subscription is still streaming.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=job, name="rxagents-job", daemon=True).start()
        return future


class _SharedLoop:
    """The background loop, its thread, and the count of what is subscribed on it from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(_DaemonExecutor())
        self.subscribed = 0
        self._main_is_done = False
        threading.Thread(target=self._run, name="rxagents-loop").start()
        threading.Thread(target=self._watch, name="rxagents-watcher", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def _watch(self) -> None:
        threading.main_thread().join()
        hop(self.loop, self._stop_when_idle)

    def _stop_when_idle(self) -> None:
        self._main_is_done = True
        if not self.subscribed:
            self.loop.stop()

    def release(self) -> None:
        self.subscribed -= 1
        if self._main_is_done and not self.subscribed:
            self.loop.stop()


_shared: _SharedLoop | None = None
_creating = threading.Lock()


def shared_loop() -> AbstractEventLoop:
    """The background loop, started when first asked for."""
    global _shared
    with _creating:
        if _shared is None or _shared.loop.is_closed():
            _shared = _SharedLoop()
        return _shared.loop


def _forget_after_fork() -> None:
    # Threads do not survive a fork: the child gets a loop of its own when it asks for one.
    global _shared, _creating
    _shared = None
    _creating = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def current_loop() -> AbstractEventLoop:
    """The running loop of this thread, else the shared one."""
    return _get_running_loop() or shared_loop()


def is_on(loop: AbstractEventLoop) -> bool:
    """Whether this thread is the one that runs the loop, now."""
    return _get_running_loop() is loop


def hop(loop: AbstractEventLoop, action: Callable[..., object], *args: Any) -> bool:
    """Runs the action on the loop, soon, from any thread; False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(action, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


def retain(loop: AbstractEventLoop) -> Callable[[], None]:
    """Keeps the shared loop alive past the main thread; the result lets go. To be called on the loop."""
    shared = _shared
    if shared is None or shared.loop is not loop:
        return _nothing
    shared.subscribed += 1
    return shared.release


def _nothing() -> None:
    pass


def trampolined(action: Callable[[], object]) -> None:
    """Runs the action as Rx subscribes: at once if a trampoline is running, else within a new one."""
    if CurrentThreadScheduler.singleton().schedule_required():
        enqueued(action)
    else:
        action()


def enqueued(action: Callable[[], object]) -> None:
    """Runs the action on the thread's trampoline, after what is running on it now."""

    def run(_: abc.SchedulerBase, __: object) -> None:
        action()

    CurrentThreadScheduler.singleton().schedule(run)


def _log_dropped(error: BaseException, what: str) -> None:
    loop = _get_running_loop()
    context = {"message": f"rxagents: {what}", "exception": error}
    if loop is not None:
        loop.call_exception_handler(context)
    else:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
        )


_hook: Callable[[BaseException, str], None] = _log_dropped


def dropped(error: BaseException, what: str) -> None:
    """Reports an error that nobody else will hear of: after an end, or without an `on_error`."""
    _hook(error, what)


def on_dropped(hook: Callable[[BaseException, str], None] | None) -> Callable[[BaseException, str], None]:
    """Sets the one hook for errors that would otherwise be dropped; None restores the default.

    The default hands them to the exception handler of the event loop, which logs them.

    Args:
        hook: Called with the error and a few words about what became of it.

    Returns:
        The hook that was set before.
    """
    global _hook
    before, _hook = _hook, hook or _log_dropped
    return before
