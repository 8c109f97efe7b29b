"""The processes of a benchmark: each answers lines with lines, keeps to its core, and is ended for sure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any

from .contestants import Entry

__all__ = ["Child", "ChildFailed", "Server", "Worker", "awake", "cores"]

_ROOT = Path(__file__).resolve().parents[2]


class ChildFailed(Exception):
    """A process ended, said nothing in time, or could not do what it was told."""


def cores() -> tuple[int | None, int | None]:
    """The cores of the workers and of the server; None where they cannot be kept apart."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


class Child:
    """A Python process that writes lines, and ends when its standard input does.

    Args:
        name: For errors.
        command: The interpreter and its arguments.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by `end`)
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        )

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.end(at_once=error is not None)

    @property
    def pid(self) -> int:
        return self._process.pid

    def keep_to(self, core: int | None) -> None:
        if core is not None:
            os.sched_setaffinity(self.pid, {core})

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ChildFailed(f"{self._name} has ended: {self._said()}") from error

    def line(self, seconds: float) -> str:
        """Its next line.

        Raises:
            ChildFailed: It ended, or was killed because none came in so many seconds.
        """
        assert self._process.stdout is not None
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.daemon = True  # Ctrl-C may come before it is cancelled
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            code = self._process.wait(10)
            raise ChildFailed(f"{self._name} ended with {code}: {self._said()}")
        return line.strip()

    def end(self, *, at_once: bool = False) -> None:
        """Ends it: gently by closing its input, or else by force."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if at_once:
                process.kill()
            try:
                process.stdin.close()
                process.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        finally:
            process.kill()  # nothing, if it has ended
            process.wait()
            process.stdout.close()
            self._errors.close()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-2_000:].strip()


def awake() -> AbstractContextManager[object]:
    """Keeps the core of the workers from sleeping meanwhile, where there is such a one and Linux."""
    core = cores()[0]
    if core is None or not hasattr(os, "SCHED_IDLE"):
        return nullcontext()
    idler: Child = Child("the idler", [sys.executable, "-m", "tests.benchmarks.idler", str(core)])
    return idler


class Server(Child):
    """The canned server.

    Attributes:
        url: What a client takes as its `base_url`.
    """

    def __init__(self) -> None:
        super().__init__("the server", [sys.executable, "-m", "tests.benchmarks.canned_server"])
        try:
            self._address = f"127.0.0.1:{self.line(20)}"
        except BaseException:
            self.end(at_once=True)
            raise
        self.url = f"http://{self._address}/v1"
        self.keep_to(cores()[1])

    def used(self) -> dict[str, Any]:
        """Its CPU seconds so far, and how late it was since this was last asked."""
        connection = HTTPConnection(self._address, timeout=20)
        connection.request("GET", "/used")
        used: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return used


class Worker(Child):
    """One contestant. It starts at once and may use all cores; `ready` waits for it and pins it.

    Args:
        entry: The contestant.
        url: That of the server.

    Attributes:
        told: After `ready`: the milliseconds that its import and its opening took.
    """

    def __init__(self, entry: Entry, url: str) -> None:
        command = [entry.python, "-m", "tests.benchmarks.worker", entry.contestant, url]
        super().__init__(entry.name, command)
        self.told: dict[str, float] = {}

    def ready(self) -> Worker:
        if not self.told:
            self.told = json.loads(self.line(120))
            self.keep_to(cores()[0])
        return self

    def ask(self, do: str, *, seconds: float = 120, **arguments: Any) -> dict[str, Any]:
        """Tells it to measure; see `tests.benchmarks.measurements`.

        Raises:
            ChildFailed: It could not.
        """
        self.ready().write(json.dumps({"do": do, **arguments}))
        told: dict[str, Any] = json.loads(self.line(seconds))
        if "error" in told:
            raise ChildFailed(f"{self._name}: {told['error']}\n{told['traceback']}")
        return told
