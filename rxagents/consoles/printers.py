"""What is said, printed at a console as it comes."""

from __future__ import annotations

import re
import sys
from asyncio import AbstractEventLoop
from collections import deque
from typing import Any

from ..engine.emitters import just
from ..engine.inlets import listen
from ..engine.loops import current_loop
from ..places import words
from ..streams import MessageStream
from ..transcripts import Item
from ..values import FunctionResult, Message
from ..walks import message_streams

__all__ = ["Pen", "Printer"]

# What a model says must not move the cursor, nor change the colours, nor the title of the window.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FINE = (None, "stop", "tool_calls", "error")
_LONGEST = 100


class Pen:
    """Writes to the standard output, whatever it is at the moment: all that came in one step at once.

    Attributes:
        broken: Whether nobody reads it any more.
    """

    def __init__(self) -> None:
        self.broken = False
        self._waiting: list[str] = []

    def write(self, text: str) -> None:
        """Writes soon. To be called on a loop."""
        if not self._waiting:
            current_loop().call_soon(self.flush)
        self._waiting.append(text)

    def flush(self) -> None:
        """Writes now what waits."""
        text, self._waiting = "".join(self._waiting), []
        out = sys.stdout
        if not text or out is None or self.broken:
            return
        encoding = getattr(out, "encoding", None) or "utf-8"
        try:
            out.write(text.encode(encoding, "replace").decode(encoding))
            out.flush()
        except (OSError, ValueError):  # the reader has left, or it was closed
            self.broken = True


class Printer:
    """Prints messages, one after the other in their order, each as it comes.

    The speaker's name stands before the first words; a tool's call and its result get a line each.

    Args:
        pen: What writes.
        bold: Whether names stand out.

    Attributes:
        printed: The messages that were printed, in their order; whoever reads it may clear it.
    """

    def __init__(self, pen: Pen, *, bold: bool = False) -> None:
        self.printed: list[Message] = []
        self._pen = pen
        self._bold = bold
        self._waiting: deque[MessageStream | Exception] = deque()
        self._current: MessageStream | None = None
        self._headed = False
        self._in_line = False
        self._last_error: Exception | None = None

    def show(self, item: Item) -> None:
        """Prints what is said in an item, after what is still being printed. To be called on its loop."""
        loop = current_loop()
        message_streams(just(item), inputs=True).subscribe(
            lambda stream: self._put(stream, loop), lambda error: self._put(error, loop)
        )

    def _put(self, what: MessageStream | Exception, loop: AbstractEventLoop) -> None:
        if isinstance(what, MessageStream) and what.role not in ("assistant", "user"):
            return
        self._waiting.append(what)
        if self._current is None:
            self._next(loop)

    def _next(self, loop: AbstractEventLoop) -> None:
        while self._waiting and self._current is None:
            what = self._waiting.popleft()
            if isinstance(what, Exception):
                self._error(what)
                continue
            self._current, self._headed, self._in_line = what, False, False
            stream = what

            def end(error: Exception | None = None, stream: MessageStream = stream) -> None:
                self._end(stream, error)
                self._current = None
                self._next(loop)

            listen(stream, loop, self._piece, end, end)

    def _piece(self, item: Any) -> None:
        if isinstance(item, FunctionResult):
            self._note(f"{item.name}: {_short(item.result)}")
            return
        text = item["content"] or item["refusal"]
        if text:
            self._text(text)
        for call in item["tool_calls"] or ():
            name = (call.get("function") or {}).get("name")
            if name:
                self._note(f"{name} …")
        if len(item) > 4:
            progress = item.get("progress")
            if isinstance(progress, dict) and str(progress.get("content") or "").strip():
                self._note(f"{progress.get('name')}: {_short(str(progress['content']))}")
            if item.get("restart") is not None:
                self._note(f"begins anew: {_short(str(item['restart']))}")

    def _text(self, text: str) -> None:
        self._head()
        self._pen.write(_plain(text))
        self._in_line = not text.endswith("\n")

    def _head(self) -> None:
        if not self._headed and self._current is not None:
            name = _plain(self._current.name or self._current.role)
            self._pen.write(f"\x1b[1m{name}:\x1b[0m " if self._bold else f"{name}: ")
            self._headed = self._in_line = True

    def _note(self, text: str) -> None:
        self._new_line()
        self._pen.write(f"  · {_plain(text)}\n")

    def _new_line(self) -> None:
        if self._in_line:
            self._pen.write("\n")
            self._in_line = False

    def _end(self, stream: MessageStream, error: Exception | None) -> None:
        result = stream.result
        if result is not None:
            self.printed.append(result)
            if result.finish_reason not in _FINE:
                gap = " " if self._in_line else ""
                self._head()
                self._pen.write(f"{gap}[{_plain(result.finish_reason or '')}]")
                self._in_line = True
        self._new_line()
        if error is not None:
            self._error(error)
        self._pen.flush()

    def _error(self, error: Exception) -> None:
        if error is not self._last_error:  # it comes by every block around, too
            self._last_error = error
            self._pen.write(f"  ! {type(error).__name__}: {_short(words(error), 400)}\n")


def _plain(text: str) -> str:
    return _CONTROLS.sub("", text)


def _short(text: str, longest: int = _LONGEST) -> str:
    line = _plain(" ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 2]} …"
