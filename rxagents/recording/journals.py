"""The journal: the file in which the calls of models, and the runs of workflows, are recorded.

JSON lines in UTF-8. The first says what this is, each further one what happened:

```
{"rxagents": "recording", "version": 1}
{"at": 0.0, "is": "run", "id": 1, "askable": "team"}
{"at": 0.0, "is": "message", "id": 2, "in": 1, "role": "user"}
{"at": 0.0, "is": "delta", "id": 2, "delta": {"content": "Where is my order?"}}
{"at": 0.0, "is": "end", "id": 2, "how": "completed", "message": {"content": "Where …", "role": "user"}}
{"at": 0.0, "is": "block", "id": 3, "in": 1, "name": "team", "entry": "append"}
{"at": 0.0, "is": "request", "id": 4, "in": 1, "agent": "team", "body": {"messages": […], …}}
{"at": 0.4, "is": "delta", "id": 4, "delta": {"content": "{\\"agent_id\\": \\"bot\\"}"}}
{"at": 0.5, "is": "completion", "id": 4, "finish_reason": "stop", "usage": {…}, "model": "gpt-4o-mini"}
{"at": 0.5, "is": "end", "id": 4, "how": "completed"}
{"at": 0.5, "is": "state", "id": 3, "kind": "choice", "data": {"agent_id": "bot", …}}
{"at": 0.9, "is": "result", "id": 6, "name": "get_order_id", "text": "214", "call": "call_1"}
{"at": 2.0, "is": "end", "id": 1, "how": "completed", "result": "agent-stop"}
```

- `at`: seconds since the first line, of the time of the loop (or of the scheduler that was passed to
  `subscribe`), to the microsecond; never less than on the line before.
- `is`: what it is. Four open a lane of their own: `run`, `block` and `message` (of a workflow) and
  `request` (to a model). `delta`, `completion`, `result`, `state` happen on a lane, and `end` ends it.
- `id`: the lane that is opened, or on which it happens: whole numbers, each new one higher.
- `in`: the lane on which a new one opens; a request names the run that it belongs to. Without: none.
- `run`: `askable`, the id of whom the workflow asks. `block`: `name`, `entry`. `message`: `role`, `name`
  (the speaker). `request`: `agent`, `body` (see `ChatRequest.body`), and `constraints` where the model
  has some.
- `delta`: a string as it is, or a Delta, whose four keys are left out where they are None.
- `result`: what a tool answered to the `call` of this id. `state`: the content of the `state` marker; of
  one that enters the conversation the whole `messages`, and in `drop` how many go before them.
- `end`: `how` is `completed`, `interrupted` (by disposing, too) or `error`; then `error` has the `type`, the
  `message`, in `as` the class of rxagents that it counts as, and what else is known (`status`, …),
  and `where` the places that it passed. A message's has the whole `message`, a run's its `result`.

A key that is absent is None. A reader ignores keys that it does not know; a new kind of line makes a
new version. A line is written at once and whole, so a crash costs the last one at the most. There is
no header of HTTP and no key in it: see `rxagents.recording.redaction`.
"""

from __future__ import annotations

import json
import os
import threading
from asyncio import AbstractEventLoop
from itertools import count
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary, finalize

from reactivex import abc
from reactivex.internal.constants import UTC_ZERO

from ..engine.loops import current_loop, dropped
from ..engine.schedulers import LoopScheduler
from ..errors import ConfigurationError

__all__ = ["HEADER", "Journal", "Timekeeper", "timekeeper"]

HEADER = {"rxagents": "recording", "version": 1}
_ENCODER = json.JSONEncoder(ensure_ascii=False)

Timekeeper: TypeAlias = AbstractEventLoop | abc.SchedulerBase
"""Whose time it is."""


def timekeeper(scheduler: abc.SchedulerBase | None = None) -> Timekeeper:
    """Whose time a subscription goes by: the scheduler's that it was given, else the current loop's."""
    if scheduler is None:
        return current_loop()
    # the stock asyncio schedulers set their timers on a loop, and read the wall clock
    loop = scheduler.loop if isinstance(scheduler, LoopScheduler) else getattr(scheduler, "_loop", None)
    return loop if isinstance(loop, AbstractEventLoop) else scheduler


class Journal:
    """A file that lines are added to, from any thread; see the module for what they are.

    Whoever opens a path that is being written to writes to the same file, so that several models can
    be recorded in one. What the file held before goes with the first new line.

    A line that cannot be written ends the recording, not what is recorded: that goes to `on_dropped`.

    Args:
        path: Of the file.

    Raises:
        ConfigurationError: Nothing can be written there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            real = os.path.realpath(os.fspath(path))
            with _opening:
                file = _open.get(real)
                if file is None:
                    file = _open[real] = _File(real)
                file.users += 1
        except (OSError, TypeError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise ConfigurationError(
                f"`path`: nothing can be recorded to {str(path)!r} ({reason}); give a file in a folder that "
                "exists and may be written to"
            ) from error
        self.path = os.fspath(path)
        self.closed = False
        self._file = file

    def close(self) -> None:
        """Nothing is written any more by this one; with the last one, the file is closed."""
        with _opening:
            if not self.closed:
                self.closed = True
                self._file.users -= 1
                if not self._file.users:
                    self._file.close()

    def new_id(self) -> int:
        """The id of a new lane."""
        return next(self._file.ids)

    def write(self, time: Timekeeper, what: str, id: int, **fields: Any) -> None:
        """Adds a line; a field that is None is left out.

        Args:
            time: Whose time it is.
            what: What happened, the line's `is`.
            id: The lane.
            fields: JSON data; `within` is the line's `in`.
        """
        if self.closed:
            return
        within = fields.pop("within", None)
        try:
            self._file.add(time, {"is": what, "id": id, "in": within, **fields})
        except (OSError, ValueError, TypeError, RecursionError) as error:
            with _opening:
                self.closed = True
                self._file.close()
            dropped(error, f"the recording {self.path} ends here: its next line cannot be written")


class _File:
    """The file, and its clock."""

    def __init__(self, path: str) -> None:
        self.users = 0
        self.ids = count(1)
        self._path = path
        self._lock = threading.Lock()
        self._begun = False
        self._last = 0.0
        self._origins: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._common: dict[type, float] = {}
        # not a file object: one that is dropped unclosed warns, and a line is one write
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._number = os.open(path, flags, 0o666)
        self._close = finalize(self, os.close, self._number)

    def close(self) -> None:
        with self._lock:
            self._close()
        if _open.get(self._path) is self:
            del _open[self._path]

    def add(self, time: Timekeeper, fields: dict[str, Any]) -> None:
        with self._lock:
            if not self._close.alive:
                return
            if not self._begun:
                if os.fstat(self._number).st_size:
                    os.ftruncate(self._number, 0)
                self._write(HEADER)
                self._begun = True
            line = {"at": self._moment(time), **fields}
            self._write({key: value for key, value in line.items() if value is not None})

    def _write(self, line: dict[str, Any]) -> None:
        try:
            data = _ENCODER.encode(line).encode() + b"\n"
        except UnicodeEncodeError:  # half of a surrogate pair
            data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._number, data) :]

    def _moment(self, time: Timekeeper) -> float:
        now = time.time() if isinstance(time, AbstractEventLoop) else (time.now - UTC_ZERO).total_seconds()
        if time not in self._origins:
            # Loops of one kind show one clock; where one begins anew, it goes on from the last line.
            common = self._common.setdefault(type(time), now - self._last)
            self._origins[time] = common if now - common >= self._last else now - self._last
        self._last = max(self._last, round(now - self._origins[time], 6))
        return self._last


_open: WeakValueDictionary[str, _File] = WeakValueDictionary()
_opening = threading.Lock()
