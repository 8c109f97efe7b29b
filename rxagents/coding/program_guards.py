"""The guard of one program: a process between ours and the program's, which ends it with all its children.

This module is run by its path (`python -I -S program_guards.py SPEC`) and imports nothing of rxagents.
It needs no `preexec_fn`, which is unsafe in a process with threads, and it outlives whatever kills ours.

```
rxagents ──lifeline──▶ 0 guard 2 ──how it ended──▶ rxagents
                         └ program 1, 2 ──output──▶ rxagents
                             └ its children
```

The lifeline is a pipe: a byte on it, or its end since rxagents is gone, means stop. On Linux the guard
is a subreaper (prctl(2)): whoever among the program's children loses his parent becomes the guard's
child, also one that has left the session by `setsid`. So all are found, until `waitpid` says that there
are none. Other systems have no such thing; there the program's process group is killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

_LIFELINE, _OUTPUT, _STATUS = 0, 1, 2
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TICK = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LINUX = sys.platform == "linux"


class Guard:
    """Starts the program, watches it, and sweeps up after it.

    Args:
        command: The program and its arguments; the first is a path.
        time: Seconds (real ones) that it may take.
        memory: Bytes of address space for each process, and of memory in use for all together.
        processes: How many there may be at once, the program itself included.
    """

    def __init__(
        self, command: list[str], time: float | None, memory: int | None, processes: int | None
    ) -> None:
        self._command = command
        self._time = time
        self._memory = memory
        self._processes = processes
        self._libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None
        self._program = 0
        self._status: int | None = None
        self._bell, bell = os.pipe()
        for end in (self._bell, bell):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def run(self) -> dict[str, Any]:
        """How the program ended, once none of its processes is left."""
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1)
        guard = os.getpid()
        self._program = os.fork()
        if not self._program:
            self._become_program(guard)
        why = self._watch()
        left = self._sweep()
        code = os.waitstatus_to_exitcode(self._status) if self._status is not None else None
        return {"code": code, "killed": why, "left": left}

    def _become_program(self, guard: int) -> NoReturn:
        try:
            os.setsid()
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)
            for name in ("SIGPIPE", "SIGXFSZ", "SIGINT", "SIGTERM", "SIGHUP"):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), _LIFELINE)
            os.dup2(_OUTPUT, _STATUS)
            os.nice(5)  # or a bomb of a program could keep the guard from its work
            _lower(resource.RLIMIT_CORE, 0)
            if self._memory is not None:
                _lower(resource.RLIMIT_AS, self._memory)
            os.execv(self._command[0], self._command)
        except BaseException as error:
            with suppress(OSError):
                os.write(_STATUS, f"{self._command[0]} cannot be run: {error}\n".encode())
        os._exit(127)

    def _watch(self) -> str | None:
        """Until the program ends, or must end: then why."""
        deadline = None if self._time is None else time.monotonic() + self._time
        watched = self._memory is not None or self._processes is not None
        while True:
            self._reap()
            if self._status is not None:
                return None
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                return "time"
            if watched and (limit := self._passed()):
                return limit
            if watched:
                rest = _TICK if rest is None else min(rest, _TICK)
            if _LIFELINE in self._wait(rest, _LIFELINE):
                return "stopped"

    def _passed(self) -> str | None:
        """The limit that the processes have passed together."""
        pids = list(_descendants())
        if self._processes is not None and len(pids) > self._processes:
            return "processes"
        if self._memory is None or sum(map(_resident, pids)) <= self._memory:
            return None
        # what forked processes share was counted for each of them
        return "memory" if sum(map(_proportional, pids)) > self._memory else None

    def _sweep(self) -> int:
        """Kills until nobody is left; how many could not be killed, since they are another user's."""
        beyond: set[int] = set()
        while self._reap():
            pids = set(_descendants()) if _LINUX else {self._program}
            if pids and pids <= beyond:
                break
            # a group at once: no member can fork between two kills
            for group in {_group(pid) for pid in pids} - {0, os.getpgrp()}:
                with suppress(OSError):
                    os.killpg(group, signal.SIGKILL)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except PermissionError:
                    beyond.add(pid)
                except ProcessLookupError:
                    beyond.discard(pid)
            self._wait(_TICK / 4)
        if not _LINUX:
            with suppress(OSError):
                os.killpg(self._program, signal.SIGKILL)
        return len(beyond & set(_descendants()))

    def _reap(self) -> bool:
        """Takes note of who has ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._program:
                self._status = status

    def _wait(self, seconds: float | None, *files: int) -> list[int]:
        ready, _, _ = select.select([*files, self._bell], [], [], seconds)
        with suppress(BlockingIOError):
            while os.read(self._bell, 512):
                pass
        return ready

    def _prctl(self, option: int, value: int) -> None:
        if self._libc is not None and self._libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl({option}) is not allowed here")


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _descendants() -> Iterator[int]:
    """The processes below this one, those that nobody has reaped yet included."""
    if not _LINUX:
        return
    parents = None if os.path.exists(f"/proc/self/task/{os.getpid()}/children") else _parents()
    seen, found = {os.getpid()}, [os.getpid()]
    for pid in found:
        below = _children(pid) if parents is None else [c for c, parent in parents.items() if parent == pid]
        for child in below:
            if child not in seen:
                seen.add(child)
                found.append(child)
                yield child


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return children


def _parents() -> dict[int, int]:
    """Who is whose child, for a kernel that was built without the lists of children."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    stats = {pid: _read(f"/proc/{pid}/stat") for pid in pids}
    # the name in parentheses may hold anything
    return {pid: int(stat.rpartition(")")[2].split()[1]) for pid, stat in stats.items() if stat}


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE if fields else 0


def _proportional(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    outcome = Guard(*json.loads(sys.argv[1])).run()
    with suppress(OSError):
        os.write(_STATUS, (json.dumps(outcome) + "\n").encode())
