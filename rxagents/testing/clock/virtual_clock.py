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
import inspect
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ...errors import BlockingCallError, ConfigurationError
from .loop_closing import close_loop
from .virtual_loop import VirtualLoop

__all__ = ["VirtualClock", "virtual"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


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

    @property
    def loop(self) -> VirtualLoop:
        """The event loop that is in use.

        Raises:
            ConfigurationError: None is.
        """
        return self._open("loop")

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
            close_loop(loop)
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
