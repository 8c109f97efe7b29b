"""python -m rxagents chat: in a pseudo-terminal, in a pipe, and without prompt_toolkit."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxagents import ModelError
from rxagents.__main__ import main
from rxagents.llm import Call, Reply
from rxagents.testing import OpenAIServer, Paused

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

WAIT = 30.0
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-B]|[=>78MDEHc])|\r")
CHAT = [sys.executable, "-W", "error", "-m", "rxagents", "chat"]


def environment(**variables: str) -> dict[str, str]:
    """What the program sees: no key, and a terminal of a kind that all know."""
    hidden = ("OPENAI_", "AZURE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | variables


class Terminal:
    """A program in a pseudo-terminal of 100 columns."""

    def __init__(self, command: list[str], **variables: str) -> None:
        self.screen = ""
        self._read = 0
        self._raw = ""
        pid, self._fd = pty.fork()
        if pid == 0:  # pragma: no cover
            os.environ.clear()
            os.environ.update(environment(COLUMNS="100", LINES="30", **variables))
            os.execv(command[0], command)
        self._pid = pid
        self._status: int | None = None

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def until(self, text: str) -> str:
        """Reads until this is shown, after what was waited for before; gives what came before it."""
        deadline = time.monotonic() + WAIT
        while (at := self.screen.find(text, self._read)) < 0:
            assert self._more(deadline), f"no {text!r} in {self.screen[self._read :]!r}"
        shown, self._read = self.screen[self._read : at], at + len(text)
        return shown

    def end(self) -> int:
        """Reads to the end, and gives the exit status."""
        deadline = time.monotonic() + WAIT
        while self._more(deadline):
            pass
        if self._status is None:
            _, self._status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(self._status)

    def rest(self) -> str:
        return self.screen[self._read :]

    def kill(self, number: int) -> None:
        os.kill(self._pid, number)

    def close(self) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            _, self._status = os.waitpid(self._pid, 0)
        os.close(self._fd)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the program has closed its side
            return False
        if b"\x1b[6n" in data:
            os.write(self._fd, b"\x1b[1;1R")  # where the cursor is, as a terminal answers
        self._raw += data.decode("utf-8", "replace")
        self.screen = _ESCAPES.sub("", self._raw)
        return bool(data)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_x(terminals):
    t = Terminal(CHAT)
    terminals.append(t)
    try:
        t.until("user:")
        t.until("leaves")
        t.type("Hello\r")
        t.until("You said")
        t.until("user:")
        t.type("\x04")
        assert t.end() == 0
    finally:
        print(repr(t._raw))
        print(t.screen)
    assert 0
