"""A clock for tests: an asyncio event loop whose time jumps, so that an hour takes milliseconds.

```
ready      a b c │ nothing ready: a worker thread out?  yes: wait for it in real time, time stands still
timers  (tick, sequence)                                no:  run the next timer, time is now its time
```

`VirtualLoop` is a whole asyncio loop but for the sockets; `VirtualClock` runs coroutines on one, and
`virtual` makes a plain test of an async one. What the order of execution follows from is all here:
ready callbacks run in the order in which they became ready; only when none is left, one timer runs,
the one with the lowest (tick, sequence), where the sequence counts the timers as they were set.
So timers of the same instant run in the order in which they were set, each one until nothing is
ready before the next, and the number of awaits in between does not matter.

A tick is a microsecond, the resolution of `datetime` and so of Rx. Times that round to the same tick
are one instant, so that `0.1 + 0.2` and `0.3` are, and a float resolves it for centuries.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import inspect
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack

from ..errors import BlockingCallError, ConfigurationError, NoRealTimeError, RxAgentsError

__all__ = ["EndlessInstantError", "NothingToWaitForError", "VirtualClock", "VirtualLoop", "virtual"]

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Ts = TypeVarTuple("_Ts")

_TICKS = 1_000_000
_GLANCE = 0.05
_SHOWN = 20
_FUTURE_REPR: object = asyncio.Future.__repr__


class NothingToWaitForError(RxAgentsError):
    """What is waited for can never come: nothing is ready, no timer is set, no worker thread is out."""


class EndlessInstantError(RxAgentsError):
    """So many callbacks ran at one instant that the time would never have moved again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio event loop in virtual time, for Python 3.11 to 3.13.

    Its time starts at 0.0 seconds and moves only when nothing is ready and no worker thread is out:
    then it jumps to the next timer. Threads count as out if they came from `run_in_executor`,
    `asyncio.to_thread` or `rxagents.threads`; until they are back, no timer runs, not even one that
    is due. A thread that in turn waits for virtual time to pass therefore waits for ever.

    Everything that needs a socket, a file descriptor, a signal or a process raises NoRealTimeError.
    It has no selector and no self-pipe, hence nothing to leak. Also fit for
    `asyncio.Runner(loop_factory=VirtualLoop)`.

    Args:
        max_steps: How many callbacks may run at one instant.

    Raises:
        NothingToWaitForError: From any way of running it, when it would otherwise hang.
        EndlessInstantError: Likewise, for more than `max_steps` callbacks at one instant.
    """

    # The private names of BaseEventLoop that this relies on; `_run_once` and `_write_to_self` it replaces.
    _ready: deque[asyncio.Handle]
    _stopping: bool
    _default_executor: ThreadPoolExecutor | None
    _check_closed: Callable[[], None]
    _check_thread: Callable[[], None]
    _check_default_executor: Callable[[], None]

    def __init__(self, *, max_steps: int = 1_000_000) -> None:
        # Late, because the clock is wanted also where no agent, and so no thread, ever is.
        from ..threads import threads_out

        super().__init__()
        self._max_steps = max_steps
        self._steps = 0
        self._tick = 0
        self._now = 0.0
        self._limit: float | None = None
        self._sequence = itertools.count()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._sweep_at = 64
        self._wake = threading.Event()
        self._jobs: set[Future[Any]] = set()
        self._pools_closing = 0
        self._threads_out = threads_out

    @property
    def now(self) -> float:
        """The time in seconds, to the tick: 0.3 also where the sum of the delays is 0.30000000000000004."""
        return self._tick / _TICKS

    def time(self) -> float:
        """The time in seconds. Never less than what a timer that has run was set to."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Sets a timer. One in the past is due now, behind those already due; one at infinity never is."""
        self._check_closed()
        if self.get_debug():
            self._check_thread()
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if when == math.inf:
            return timer
        if len(self._timers) >= self._sweep_at:
            # Most timeouts are cancelled long before they are due, and would pile up until then.
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._sweep_at = 64 + 2 * len(self._timers)
        tick = round(max(when, self._now) * _TICKS)
        heapq.heappush(self._timers, (tick, next(self._sequence), timer))
        return timer

    def run_forever(self) -> None:
        """Runs until `stop()`, or until nothing can happen any more, which raises."""
        self._steps = 0  # Or what is left over after an EndlessInstantError could not be cancelled.
        super().run_forever()

    def run_to(self, when: float) -> None:
        """Runs everything that is due up to and at `when` (seconds), and moves the time there."""
        self._limit = max(when, self._now)
        try:
            self.run_forever()
        finally:
            self._limit = None

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """As in asyncio; virtual time stands still until `func` has returned, also if it is cancelled."""
        self._check_closed()
        if executor is None:
            self._check_default_executor()
            if self._default_executor is None:
                self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="virtual"))
            executor = self._default_executor
            assert executor is not None
        job = executor.submit(func, *args)
        self._jobs.add(job)
        future = asyncio.wrap_future(job, loop=self)
        # Behind wrap_future's own callback: the result must stand here before the job counts as back.
        job.add_done_callback(self._came_back)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """As in asyncio, but for the timeout, which could not pass while the threads are out."""
        self._pools_closing += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._pools_closing -= 1

    def remove_reader(self, fd: Any) -> bool:
        """There is never one to remove."""
        return False

    def remove_writer(self, fd: Any) -> bool:
        """There is never one to remove."""
        return False

    def close(self) -> None:
        """Closes the loop and forgets its timers."""
        super().close()
        self._timers.clear()

    def _came_back(self, job: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop was closed in the meantime.
            self.call_soon_threadsafe(self._jobs.discard, job)

    def _write_to_self(self) -> None:
        self._wake.set()

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            self._wait_for_threads()
            if not self._ready:
                self._jump()
        for _ in range(len(self._ready)):
            if self._steps >= self._max_steps:
                raise EndlessInstantError(
                    f"more than {self._max_steps:,} callbacks ran at {self.now} s and the time never moved; "
                    f"the next would have been {_callback_name(self._ready[0])}. Let it sleep in between, "
                    "or raise max_steps."
                )
            handle = self._ready.popleft()
            if not handle.cancelled():
                self._steps += 1
                handle._run()

    def _wait_for_threads(self) -> None:
        while True:
            self._wake.clear()
            out = self._jobs or self._pools_closing or self._threads_out(self)
            # Looked at after the count: what a thread brings is here before it is no longer counted.
            if self._ready or not out:
                return
            # Not for ever: the count also drops, and nobody tells, when what waited is garbage-collected.
            self._wake.wait(_GLANCE)

    def _jump(self) -> None:
        """Makes the next timer ready, and it is that time; or ends the run at its limit."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        limit = self._limit
        if self._timers and (limit is None or self._timers[0][0] <= round(limit * _TICKS)):
            tick, _, timer = heapq.heappop(self._timers)
            self._move(tick, timer.when())
            self._ready.append(timer)
        elif limit is not None:
            self._move(round(limit * _TICKS), limit)
            self.stop()
        else:
            raise NothingToWaitForError(
                f"nothing can happen any more at {self.now} s: no callback is ready, no timer is set and no "
                f"worker thread is out. Still waiting:\n{_waiting(asyncio.all_tasks(self))}\n"
                "Arm what they wait for (VirtualClock.at), or end it. Of threads, the clock sees those of "
                "asyncio.to_thread, run_in_executor and tools."
            )

    def _move(self, tick: int, when: float) -> None:
        if tick > self._tick:
            self._tick = tick
            self._steps = 0
        self._now = max(self._now, when)


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: VirtualLoop, *args: object, **kwargs: object) -> Any:
        raise NoRealTimeError(
            f"{name}() was called under the virtual clock, where no real time passes, and what comes from "
            "outside the process would never be in time. Use a scripted model (ScriptedLLM) and fake tools, "
            "or test in real time (asyncio.run) against rxagents.testing.OpenAIServer."
        )

    refuse.__name__ = name
    refuse.__qualname__ = f"VirtualLoop.{name}"
    refuse.__doc__ = "Raises NoRealTimeError."
    return refuse


for _name in (
    *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
    *("create_datagram_endpoint", "connect_accepted_socket", "start_tls", "sendfile"),
    *("sock_connect", "sock_accept", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
    *("sock_sendall", "sock_sendto", "sock_sendfile", "add_reader", "add_writer", "add_signal_handler"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell"),
    *("getaddrinfo", "getnameinfo"),
):
    setattr(VirtualLoop, _name, _refusing(_name))


class VirtualClock:
    """Runs coroutines in virtual time.

    `VirtualClock().run(coroutine)` gives each run a loop of its own, which starts at 0.0 seconds. As a
    context manager it keeps one loop: its time goes on from run to run, `advance` and `at` may be used
    between them, and tasks live until the end of the block.

    ```python
    with VirtualClock() as clock:
        clock.at(3, stop.set)
        clock.run(agent_that_sleeps_for_an_hour())
        assert clock.now == 3600
    ```

    When a loop ends, the tasks that are left over are cancelled, async generators and the executor
    are shut down and the loop is closed. The thread's current event loop is left as it was.

    Args:
        max_steps: How many callbacks may run at one instant, see `VirtualLoop`.
    """

    def __init__(self, *, max_steps: int = 1_000_000) -> None:
        self._max_steps = max_steps
        self._loop: VirtualLoop | None = None
        self._ended_at = 0.0
        self._failures: list[BaseException] = []

    @property
    def now(self) -> float:
        """Virtual seconds since the loop began; after the last run, when that ended."""
        return self._ended_at if self._loop is None else self._loop.now

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs the coroutine to its end and returns its result, or raises its error.

        Raises:
            BlockingCallError: An event loop is running in this thread.
            ConfigurationError: It is no coroutine.
            NothingToWaitForError: It waits for something that can never come.
            EndlessInstantError: The time stopped moving.
            BaseException: What a callback of `at` raised.
        """
        if not inspect.iscoroutine(coroutine):
            raise ConfigurationError(
                f"VirtualClock.run takes a coroutine, as an async function returns it, not {coroutine!r}"
            )
        try:
            _refuse_nesting("run")
        except BlockingCallError:
            coroutine.close()
            raise
        with self if self._loop is None else contextlib.nullcontext():
            loop = self._open("run")
            task: asyncio.Task[_T] = loop.create_task(coroutine)
            try:
                return loop.run_until_complete(task)
            except BaseException:
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        loop.run_until_complete(task)
                raise
            finally:
                self._raise_failures()

    def advance(self, seconds: float) -> None:
        """Runs everything that is due within the next `seconds`, their end included, and moves there.

        Raises:
            BlockingCallError: An event loop is running in this thread.
            ConfigurationError: Outside of `with VirtualClock() as clock`, or a negative time.
            BaseException: What a callback of `at` raised.
        """
        loop = self._open("advance")
        if seconds < 0:
            raise ConfigurationError(f"virtual time does not run backwards: advance({seconds!r})")
        _refuse_nesting("advance")
        try:
            loop.run_to(loop.time() + seconds)
        finally:
            self._raise_failures()

    def at(self, seconds: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        """Arms a callback for that time of the clock; what is armed first is called first.

        What the callback raises is raised by the run, or by the `advance`, that called it.

        Returns:
            A handle whose `cancel()` disarms it.

        Raises:
            ConfigurationError: Neither within a run nor in `with VirtualClock() as clock`, or the
                time has passed.
        """
        loop = self._open("at")
        if seconds < min(loop.now, loop.time()):
            raise ConfigurationError(f"at({seconds!r}): it is {loop.now} s already")
        return loop.call_at(seconds, self._call, callback, args)

    def __enter__(self) -> Self:
        _refuse_nesting("__enter__")
        if self._loop is not None:
            raise ConfigurationError("this VirtualClock is in use already; make one for each use")
        self._loop = VirtualLoop(max_steps=self._max_steps)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop = self._loop
        assert loop is not None
        self._ended_at = loop.now
        try:
            _close(loop)
        except Exception as late:
            if error is None:
                raise
            # The first error tells more than what came of it.
            error.add_note(f"while the virtual clock was closing: {late}")
        finally:
            self._loop = None
        if error is None:
            self._raise_failures()

    def _open(self, method: str) -> VirtualLoop:
        if self._loop is None:
            raise ConfigurationError(
                f"VirtualClock.{method} needs a clock that is running: with VirtualClock() as clock: ..."
            )
        return self._loop

    def _call(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            callback(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Also the outcomes of pytest, such as pytest.fail().
            self._failures.append(error)

    def _raise_failures(self) -> None:
        if self._failures:
            first, *others = self._failures
            self._failures = []
            for other in others:
                first.add_note(f"a later callback of VirtualClock.at failed too: {other!r}")
            raise first


def virtual(test: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, _T]:
    """Makes a plain function of an async one: each call runs in a `VirtualClock` of its own.

    The signature stays, so that pytest passes its fixtures:

    ```python
    @virtual
    async def test_an_hour_passes(tmp_path):
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == 3600
    ```
    """

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return VirtualClock().run(test(*args, **kwargs))

    return run


def _refuse_nesting(method: str) -> None:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BlockingCallError(
        f"VirtualClock.{method} was called in a thread whose event loop is running ({running!r}), and would "
        "block it. Call it from a plain function, or await the coroutine."
    )


def _close(loop: VirtualLoop) -> None:
    try:
        left = _in_order(asyncio.all_tasks(loop))
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                message = f"the task {task.get_name()} failed while it was being cancelled"
                loop.call_exception_handler({"message": message, "exception": error, "task": task})
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _in_order(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """By name, Task-9 before Task-10: the set that asyncio keeps has an order of its own in each run."""
    return sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))


def _waiting(tasks: Iterable[asyncio.Task[Any]]) -> str:
    ordered = _in_order(tasks)
    lines = [f"  {task.get_name()}: {_steps_of(task)} on {_awaited(task)}" for task in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"  … and {len(ordered) - _SHOWN} more tasks")
    return "\n".join(lines) or "  no task, only the future that the loop was run for"


def _steps_of(task: asyncio.Task[Any]) -> str:
    """The coroutines from the task's own to the innermost, such as `main > Queue.get`."""
    names: list[str] = []
    step: Any = task.get_coro()
    while (name := getattr(step, "__qualname__", None)) is not None:
        names.append(name.rpartition("<locals>.")[2])
        step = next(
            (getattr(step, at) for at in ("cr_await", "gi_yieldfrom", "ag_await") if hasattr(step, at)), None
        )
    return " > ".join(names) or repr(task.get_coro())


def _awaited(task: asyncio.Task[Any]) -> str:
    """The future that the task waits for; asyncio's own repr is cut, as it holds paths of the machine."""
    future = getattr(task, "_fut_waiter", None)
    if isinstance(future, asyncio.Task):
        return f"<Task {future.get_name()}>"
    if type(future).__repr__ is _FUTURE_REPR:
        return f"<{type(future).__name__} pending>"
    return repr(future)


def _callback_name(handle: asyncio.Handle) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{task.get_name()}: {_steps_of(task)}"
    return str(getattr(callback, "__qualname__", repr(callback)))
