"""Where everything runs: the current loop, the shared background loop, and the way onto a loop.

Everything that emits, emits on one event loop: the running loop of the thread that subscribes, or
else the shared one, which runs in a background thread. This is the one file that knows threads.

The shared thread is no daemon, so that a script ending in `.subscribe(print)` prints all of it: a
watcher stops the loop once the program's own threads are done and nothing is subscribed any more.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from reactivex import abc

from .daemon_executors import DaemonExecutor

__all__ = [
    "current_loop",
    "dropped",
    "hop",
    "hop_and_wait",
    "is_on",
    "is_shared",
    "let_go",
    "on_dropped",
    "pulled",
    "retain",
    "shared_loop",
]

_PATIENCE = 1.0  # seconds


class _SharedLoop:
    """The background loop, its thread, and the count of what is subscribed on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(DaemonExecutor())
        self.subscribed = 0
        self.pulled: WeakSet[abc.DisposableBase] = WeakSet()
        self.stopping = False
        self._threads_are_done = False
        # explicitly no daemon: a thread takes that over from the one that starts it
        self._thread = threading.Thread(target=self._run, name="rxagents-loop", daemon=False)
        self._thread.start()
        threading.Thread(target=self._watch, name="rxagents-watcher", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self.stopping:
                try:
                    self.loop.run_forever()
                except BaseException as error:
                    # a subscriber's sys.exit() must not end the runs of all the others
                    _except(error)
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def _watch(self) -> None:
        while others := [
            thread
            for thread in threading.enumerate()
            if thread.is_alive() and not thread.daemon and thread is not self._thread
        ]:
            for thread in others:
                thread.join()
        hop(self.loop, self._threads_have_ended)

    def _threads_have_ended(self) -> None:
        self._threads_are_done = True
        for subscription in list(self.pulled):
            subscription.dispose()
        self._stop_if_idle()

    def release(self) -> None:
        self.subscribed -= 1
        if self._threads_are_done and not self.subscribed:
            # soon: what has ended may just be subscribing to what comes next
            self.loop.call_soon(self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if not self.subscribed:
            self.stopping = True
            self.loop.stop()


_shared: _SharedLoop | None = None
_creating = threading.Lock()
_left_by_fork: AbstractEventLoop | None = None


def shared_loop() -> AbstractEventLoop:
    """The background loop, started when first asked for."""
    global _shared
    with _creating:
        if _shared is None or _shared.stopping:
            _shared = _SharedLoop()
        return _shared.loop


def _forget_after_fork() -> None:
    # Threads do not survive a fork: the child gets a loop of its own when it asks for one.
    global _shared, _creating, _left_by_fork
    if _shared is not None:
        _left_by_fork = _shared.loop
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
    """Runs the action on the loop, soon, from any thread; False if the loop is closed, or was forked from."""
    if loop is _left_by_fork:
        return False
    try:
        loop.call_soon_threadsafe(action, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
        return False
    return True


def hop_and_wait(loop: AbstractEventLoop, action: Callable[[], object]) -> bool:
    """As `hop`; a thread without a loop of its own, for which that is the shared one, waits until it is done.

    Not for long, since that loop may be busy with something that waits for this very thread.
    """
    done = threading.Event()

    def act() -> None:
        try:
            action()
        finally:
            done.set()

    if not hop(loop, act):
        return False
    if current_loop() is loop:
        done.wait(_PATIENCE)
    return True


def retain(loop: AbstractEventLoop) -> Callable[[], None]:
    """Keeps the shared loop alive past the program's threads; the result lets go. Both on the loop."""
    shared = _shared
    if shared is None or shared.loop is not loop:
        return _nothing
    shared.subscribed += 1
    return shared.release


def _nothing() -> None:
    pass


def pulled(loop: AbstractEventLoop, subscription: abc.DisposableBase) -> None:
    """Says that only a thread reads this: when none is left, it is disposed, and the program ends."""
    shared = _shared
    if shared is not None and shared.loop is loop:
        shared.pulled.add(subscription)


def is_shared(loop: AbstractEventLoop) -> bool:
    """Whether it is the background loop, on which many that know nothing of each other run."""
    return _shared is not None and _shared.loop is loop


def let_go(disposable: abc.DisposableBase) -> None:
    """Disposes; what a foreign disposable raises must not keep anything else from ending."""
    try:
        disposable.dispose()
    except Exception as error:
        dropped(error, "a source raised when it was disposed")


def _log_dropped(error: BaseException, what: str) -> None:
    loop = _get_running_loop()
    context = {"message": f"rxagents: {what}", "exception": error}
    if loop is not None:
        loop.call_exception_handler(context)
    else:
        _except(error)


def _except(error: BaseException) -> None:
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
