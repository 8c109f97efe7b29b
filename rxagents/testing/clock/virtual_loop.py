"""An asyncio event loop whose time jumps, and that has no sockets."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

from ...errors import RxAgentsError
from .default_timers import default_timers
from .socketless import SocketlessLoop
from .waiting_tasks import callback_name, waiting

__all__ = ["EndlessInstantError", "NothingToWaitForError", "VirtualLoop"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_TICKS = 1_000_000
_GLANCE = 0.05


class NothingToWaitForError(RxAgentsError):
    """What is waited for can never come: nothing is ready, no timer is set, no worker thread is out."""


class EndlessInstantError(RxAgentsError):
    """So many callbacks ran at one instant that the time would never have moved again."""


class VirtualLoop(SocketlessLoop):
    """An asyncio event loop in virtual time, for Python 3.11 to 3.13.

    Its time starts at 0.0 seconds and moves only when nothing is ready and no worker thread is out:
    then it jumps to the next timer. Threads count as out if they came from `run_in_executor`,
    `asyncio.to_thread` or `rxagents.engine.threads`; until they are back, no timer runs, not even one that
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
        from ...engine.threads import threads_out

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
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

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

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As in asyncio; the loop knows all its tasks, weakly, also those that have ended."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self.tasks.add(task)
        return task

    def run_forever(self) -> None:
        """Runs until `stop()`, or until nothing can happen any more, which raises."""
        self._steps = 0  # Or what is left over after an EndlessInstantError could not be cancelled.
        with default_timers(self):
            super().run_forever()

    def run_to(self, when: float) -> None:
        """Runs everything that is due up to and at `when` (seconds), and moves the time there."""
        self._limit = max(when, self._now)
        try:
            self.run_forever()
        finally:
            self._limit = None

    def next_due(self) -> float | None:
        """When the next timer is due, in seconds; None if none is set."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][2].when() if self._timers else None

    def timers(self) -> list[str]:
        """What the timers that are set will call, the next one first; by name, for error texts."""
        return [callback_name(timer) for _, _, timer in sorted(self._timers) if not timer.cancelled()]

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
                    f"the next would have been {callback_name(self._ready[0])}. Let it sleep in between, "
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
        self.next_due()
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
                f"worker thread is out. Still waiting:\n{waiting(asyncio.all_tasks(self))}\n"
                "Arm what they wait for (VirtualClock.at), or end it. Of threads, the clock sees those of "
                "asyncio.to_thread, run_in_executor and tools."
            )

    def _move(self, tick: int, when: float) -> None:
        if tick > self._tick:
            self._tick = tick
            self._steps = 0
        self._now = max(self._now, when)
