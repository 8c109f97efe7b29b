"""One program and its guard, as a thread sees them.

One thread does all that blocks: it starts the guard (`rxagents.coding.program_guards`), reads, and reaps it.
So there is no need of a child watcher, and it is the same on every loop in every thread, the virtual
clock's too, whose time stands still meanwhile. Whatever becomes of the loop, that thread brings the
program to its end.
"""

from __future__ import annotations

import codecs
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..engine.mailboxes import Mailbox
from ..errors import ConfigurationError
from .run_limits import Outcome, RunLimits
from .strays import MARK, kill_strays

__all__ = ["PATIENCE", "GuardedProcess"]

# Seconds that a guard may take to end a program, before it is taken for stopped itself.
PATIENCE = 5.0

_GUARD = str(Path(__file__).with_name("program_guards.py"))
_CHUNK = 65_536


class _Lifeline:
    """The pipe that keeps the guard going. Closed by whoever lets go of it last, so never under a write."""

    def __init__(self, end: int) -> None:
        self._end = end

    def cut(self) -> None:
        # a byte, not only the end of it: a fork of ours may hold the pipe too
        with suppress(OSError):
            os.write(self._end, b"k")

    def __del__(self) -> None:
        os.close(self._end)


class GuardedProcess:
    """A program and its guard. `run` is for a thread of its own, which it blocks until all have ended.

    Args:
        command: The program's path, and its arguments.
        directory: Where it runs.
        env: Its whole environment.
        limits: What it may take.

    Attributes:
        box: Gets the output.
        is_wanted: Asked about once a second whether there is still somebody to hear it.
        killed: Whether it was told to end.
        outcome: How it ended; None until then.
        gone: Set when none of its processes is left.
    """

    def __init__(self, command: list[str], directory: str, env: dict[str, str], limits: RunLimits) -> None:
        self._command = command
        self._directory = directory
        self._limits = limits
        self._token = os.urandom(16).hex()
        self._env = env | {MARK: self._token}
        self._lifeline: _Lifeline | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._written = 0
        self._too_much = False
        self.box: Mailbox[str] | None = None
        self.is_wanted: Callable[[], bool] = lambda: True
        self.killed = False
        self.outcome: Outcome | None = None
        self.gone = threading.Event()

    def kill(self) -> None:
        """Tells the guard to end it. Neither waits nor locks, so that a finalizer may call it."""
        self.killed = True
        lifeline = self._lifeline
        if lifeline is not None:
            lifeline.cut()

    def run(self) -> None:
        """Runs the program to its end.

        Raises:
            ConfigurationError: No process can be started here.
        """
        try:
            with self._spawn() as guard:
                try:
                    report = self._read(guard)
                finally:
                    self._end(guard)
            self.outcome = self._judge(report)
        finally:
            self.gone.set()

    def _spawn(self) -> subprocess.Popen[bytes]:
        limits = self._limits
        spec = json.dumps([self._command, limits.time, limits.memory, limits.processes])
        theirs, ours = os.pipe()
        self._lifeline = _Lifeline(ours)
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARD, spec],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self._directory,
                env=self._env,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigurationError(f"no program can be run with {sys.executable!r}: {error}") from error
        finally:
            os.close(theirs)

    def _read(self, guard: subprocess.Popen[bytes]) -> bytes:
        """Hears the program out, up to the guard's report, which is its last word."""
        assert guard.stdout is not None
        assert guard.stderr is not None
        output, status = guard.stdout.fileno(), guard.stderr.fileno()
        if self.killed:  # while it was started
            self.kill()
        report = b""
        patience = _Patience(self._limits.time)
        with selectors.DefaultSelector() as ready:
            ready.register(output, selectors.EVENT_READ)
            ready.register(status, selectors.EVENT_READ)
            while not report.endswith(b"}\n"):
                files = [key.fd for key, _ in ready.select(1.0)]
                if not self.killed and not self.is_wanted():
                    self.kill()
                if output in files and not self._take(output):
                    ready.unregister(output)
                if status in files:
                    data = os.read(status, _CHUNK)
                    report += data
                    if not data:
                        break
                if not files:
                    if guard.poll() is not None:
                        break
                    guard.send_signal(signal.SIGCONT)  # a program may have stopped its guard
                if patience.is_over(self.killed):
                    break
        # nobody writes any more, unless somebody got away; then this is all that is waited for
        os.set_blocking(output, False)
        with suppress(BlockingIOError):
            while self._take(output):
                pass
        self._hear(b"", final=True)
        return report

    def _take(self, output: int) -> bool:
        data = os.read(output, _CHUNK)
        self._hear(data)
        return bool(data)

    def _hear(self, data: bytes, final: bool = False) -> None:
        limit = self._limits.output
        if limit is not None and self._written + len(data) > limit and not self._too_much:
            data = data[: limit - self._written]
            self._say(data, final)
            self._too_much = True
            self.kill()
        elif not self._too_much:
            self._written += len(data)
            self._say(data, final)

    def _say(self, data: bytes, final: bool) -> None:
        text = self._decoder.decode(data, final)
        if text and self.box is not None:
            self.box.on_next(text)

    def _end(self, guard: subprocess.Popen[bytes]) -> None:
        """Reaps the guard. One that has not done its work, as it was stopped or killed, is replaced."""
        self.kill()
        try:
            code = guard.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        if code:
            kill_strays(self._token)
            guard.kill()
            guard.wait()
        self._lifeline = None

    def _judge(self, report: bytes) -> Outcome:
        last = report.decode("utf-8", "replace").strip().rpartition("\n")[2]
        try:
            found = json.loads(last)
            outcome = Outcome(found["code"], found["killed"], found["left"])
        except (ValueError, TypeError, KeyError):
            outcome = Outcome(None, fault=last)
        if self._too_much:
            return Outcome(outcome.code, "output", outcome.left)
        return outcome


class _Patience:
    """How long the guard is waited for: it keeps the limit of time itself, unless it was stopped."""

    def __init__(self, limit: float | None) -> None:
        self._until = None if limit is None else time.monotonic() + limit + PATIENCE

    def is_over(self, killed: bool) -> bool:
        now = time.monotonic()
        if killed and (self._until is None or self._until > now + PATIENCE):
            self._until = now + PATIENCE
        return self._until is not None and now > self._until
