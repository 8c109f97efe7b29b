"""Program: a child process with limits, its output as an async iterator."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from ..engine.loops import dropped
from ..engine.mailboxes import AsyncBell, Mailbox
from ..engine.tasks import to_its_end
from ..engine.threads import call_in_thread
from .guarded_processes import PATIENCE, GuardedProcess
from .run_limits import Outcome, RunLimits

__all__ = ["Program"]


class Program(AsyncIterator[str]):
    """A program that runs in processes of its own, with limits; the iterator is its output.

    It starts at the first step. Stdout and stderr come merged, in the order in which they were
    written, as soon as there is something, decoded as UTF-8 with replacement. The iterator ends when
    none of its processes is left: when the program itself has ended, its children are killed.
    Closing, cancelling the step that waits and dropping the iterator kill it.

    Args:
        command: The program's path, and its arguments.
        directory: Where it runs.
        env: Its whole environment.
        limits: What it may take.
        on_orphaned: Called in a thread, when the loop was closed before the program had ended.

    Attributes:
        outcome: How it ended; None until then.

    Raises:
        ConfigurationError: At the first step: no process can be started here.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: str | os.PathLike[str],
        env: Mapping[str, str],
        limits: RunLimits,
        on_orphaned: Callable[[], None] | None = None,
    ) -> None:
        self._on_orphaned = on_orphaned
        self._process = GuardedProcess(list(command), os.fspath(directory), dict(env), limits)
        self._running: asyncio.Task[None] | None = None
        self._box: Mailbox[str] | None = None
        self._bell: AsyncBell | None = None

    @property
    def outcome(self) -> Outcome | None:
        return self._process.outcome

    def __aiter__(self) -> Program:
        return self

    async def __anext__(self) -> str:
        box, bell = self._started()
        while True:
            texts: list[str] = []
            while box.items:
                texts.append(box.items.popleft())
            if texts:
                return "".join(texts)
            if box.ended:
                box.raise_error()
                raise StopAsyncIteration
            try:
                await bell.wait(box)
            except asyncio.CancelledError:
                self.kill()
                raise

    def _started(self) -> tuple[Mailbox[str], AsyncBell]:
        if self._box is None or self._bell is None:
            self._bell = AsyncBell(asyncio.get_running_loop())
            self._box = self._process.box = Mailbox(self._bell.ring)
            if self._process.killed:  # before it began
                self._box.ended = True
            else:
                self._running = _run(self._process, self._box, self._on_orphaned)
        return self._box, self._bell

    def kill(self) -> None:
        """Kills it and all its children, soon. From any thread, and as often as you like."""
        self._process.kill()

    async def aclose(self) -> None:
        """Kills it, and waits until none of its processes is left."""
        self.kill()
        if self._running is not None:
            await to_its_end(_ended(self._running))

    def wait_until_gone(self) -> bool:
        """Blocks until none of its processes is left; False if that takes too long."""
        return self._running is None or self._process.gone.wait(3 * PATIENCE)

    def __del__(self) -> None:
        process: GuardedProcess | None = getattr(self, "_process", None)
        if process is not None:
            process.kill()


def _run(
    process: GuardedProcess, box: Mailbox[str], on_orphaned: Callable[[], None] | None
) -> asyncio.Task[None]:
    """Knows the process, and not the iterator: so that a dropped iterator is collected, and kills."""
    loop = asyncio.get_running_loop()
    process.is_wanted = lambda: not loop.is_closed()
    begun = False

    def work() -> None:
        process.run()
        if loop.is_closed() and on_orphaned is not None:
            on_orphaned()

    def report(error: BaseException) -> None:
        dropped(error, "a program failed after its reader had left")

    async def run() -> None:
        nonlocal begun
        begun = True
        await call_in_thread(work, on_dropped=report)

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            process.kill()
        if error is not None or not begun:
            process.gone.set()  # there may never have been a thread that could say so
        if isinstance(error, Exception):
            box.on_error(error)
        else:
            box.on_completed()

    task = loop.create_task(run())
    task.add_done_callback(ended)
    return task


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait((task,))
