"""Asking the person at the standard input, so that a question which nobody awaits any more does no harm.

The builtin `input` reads a pipe or a file with the lock of `sys.stdin`'s buffer held. A thread that is
left in there makes Python abort at the end of the process, which takes that lock, and it swallows the
line that was meant for the next question. So lines are read here from the file descriptor, into a
buffer that all questions share. At a terminal it stays with `input`, which lets the line be edited
and holds no lock.
"""

from __future__ import annotations

import builtins
import codecs
import inspect
import io
import os
import selectors
import sys
import threading
from functools import partial
from types import BuiltinFunctionType
from typing import Any
from weakref import WeakKeyDictionary

from .engine.loops import dropped
from .engine.threads import call_in_thread

__all__ = ["is_builtin_input", "not_heard", "typed"]

_CHUNK = 65536
# epoll takes no regular file, and select no high descriptor
_Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


async def typed(prompt: str) -> Any:
    """What the person typed: one line, without its end.

    Asks `builtins.input`, as it is at this moment, in a thread. Where that would be Python's own and
    would not edit the line (the standard input or output is no terminal), it reads the
    descriptor of `sys.stdin` itself, from the first byte that `sys.stdin` has not buffered: who
    reads `sys.stdin` as well may find that lines are missing. Lines that come while nobody asks, or
    whose question was cancelled, are kept for the next question.

    Args:
        prompt: Written before, to the standard output.

    Raises:
        EOFError: The input has ended.
        Exception: What `builtins.input` raises, or the read.
    """
    ask = builtins.input
    source = _source() if is_builtin_input(ask) else None
    if source is not None:
        return await _typed_into(source, prompt)
    line: Any = await call_in_thread(partial(ask, prompt), on_dropped=partial(not_heard, what="the input"))
    return await line if inspect.isawaitable(line) else line


def is_builtin_input(function: object) -> bool:
    """Whether it is Python's own `input`, not what a notebook or a test has put in its place."""
    # by its type, since the name may have been bound anew before this module was imported
    return isinstance(function, BuiltinFunctionType) and function.__name__ == "input"


def not_heard(error: BaseException, *, what: str) -> None:
    """Reports what a question failed with after its run had ended; that the input ended is no failure."""
    if not isinstance(error, EOFError):
        dropped(error, f"{what} failed after its run had ended")


async def _typed_into(source: _Lines, prompt: str) -> str:
    # The thread closes one end, the asker the other: so neither closes what the other still uses.
    left, leave = os.pipe()
    begun = threading.Event()

    def read() -> str:
        begun.set()
        try:
            return source.line(prompt, left)
        finally:
            os.close(left)

    try:
        return await call_in_thread(read, on_dropped=partial(not_heard, what="the input"))
    except RuntimeError:
        if not begun.is_set():  # no thread could be started
            os.close(left)
        raise
    finally:
        os.close(leave)


class _Lines:
    """The lines of one descriptor, and what was read of it beyond them."""

    def __init__(self, stdin: io.TextIOWrapper) -> None:
        decoder = codecs.getincrementaldecoder(stdin.encoding)(stdin.errors or "strict")
        self._fd = stdin.fileno()
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._text = ""
        self._lock = threading.Lock()

    def line(self, prompt: str, left: int) -> str:
        """The next line; EOFError when there is none, or once `left`, a descriptor, is readable."""
        with self._lock, _Selector() as selector:
            selector.register(left, selectors.EVENT_READ)
            _wait(selector, left, 0)
            if sys.stdout is not None:
                sys.stdout.write(prompt)
                sys.stdout.flush()
            selector.register(self._fd, selectors.EVENT_READ)
            while "\n" not in self._text:
                _wait(selector, left, None)
                try:
                    chunk = os.read(self._fd, _CHUNK)
                except BlockingIOError:  # another process was quicker
                    continue
                self._text += self._decoder.decode(chunk, final=not chunk)
                if not chunk:
                    break
            _wait(selector, left, 0)
            if not self._text:
                raise EOFError("the input has ended")
            line, _, self._text = self._text.partition("\n")
            return line


def _wait(selector: Any, left: int, timeout: float | None) -> None:
    if any(key.fd == left for key, _ in selector.select(timeout)):
        raise EOFError("the question was withdrawn")


_sources: WeakKeyDictionary[io.TextIOWrapper, _Lines] = WeakKeyDictionary()


def _source() -> _Lines | None:
    """What to read in place of `input`; None where `input` is the better reader."""
    stdin = sys.stdin
    if os.name != "posix" or not isinstance(stdin, io.TextIOWrapper):
        return None
    try:
        descriptor = stdin.fileno()
        if descriptor == 0 and os.isatty(0) and _is_terminal(sys.stdout):
            return None
        return _sources.get(stdin) or _sources.setdefault(stdin, _Lines(stdin))
    except (OSError, ValueError):  # closed, or no file behind it: `input` says so
        return None


def _is_terminal(stdout: Any) -> bool:
    try:
        return stdout.fileno() == 1 and os.isatty(1)
    except (AttributeError, OSError, ValueError):
        return False
