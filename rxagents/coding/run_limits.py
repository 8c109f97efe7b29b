"""What a program may take, and how it ended."""

from __future__ import annotations

import math
import os
import signal
import sys
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError

__all__ = ["KilledFor", "Outcome", "RunLimits"]

KilledFor = Literal["time", "memory", "processes", "output", "stopped"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a program may take; None is as much as it likes.

    Args:
        time: Seconds, real ones, from its start to its end.
        memory: Bytes of address space for each of its processes, and bytes of memory in use for all
            of them together. Python itself needs about 32 MiB.
        output: Bytes that it may write to stdout and stderr.
        processes: How many processes it may be at once, itself included. They are counted fifty
            times a second, so for a moment there may be more. Threads are not counted.

    Raises:
        ConfigurationError: A limit is no such number, or this system cannot keep it.
    """

    time: float | None = 30.0
    memory: int | None = 512 * _MIB
    output: int | None = _MIB
    processes: int | None = 32

    def __post_init__(self) -> None:
        if self.time is not None and not (_is_number(self.time) and 0 < self.time < math.inf):
            raise ConfigurationError(f"timeout is {self.time!r}; it must be seconds above 0, or None")
        for name, least in (("memory", 32 * _MIB), ("output", 1), ("processes", 1)):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value == int(value) and value >= least):
                raise ConfigurationError(f"{name} is {value!r}; it must be {least} or more, or None")

    def check_system(self) -> None:
        """Refuses what this system cannot do.

        Raises:
            ConfigurationError: There are no POSIX processes here, or a limit cannot be kept.
        """
        if os.name != "posix":
            raise ConfigurationError(
                "programs are run in POSIX processes, so that they can be ended with all their children; "
                f"this system ({sys.platform}) has none: use WSL or a container"
            )
        if sys.platform == "linux":
            return
        asked = [name for name in ("memory", "processes") if getattr(self, name) is not None]
        if asked:
            raise ConfigurationError(
                f"this system ({sys.platform}) cannot keep a limit of {' and '.join(asked)}; "
                f"give {', '.join(f'{name}=None' for name in asked)}, or run it in a Linux container"
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Args:
        code: Its exit code, or minus the signal that ended it; None if nobody saw it end.
        killed: The limit for which it was killed, or `stopped` on request.
        left: How many of its processes could not be killed, since they had become another user's.
        fault: The last words of a guard that could not do its work.
    """

    code: int | None
    killed: KilledFor | None = None
    left: int = 0
    fault: str = ""

    def words(self, limits: RunLimits) -> str:
        """How it ended, for the model."""
        text = self._words(limits)
        if self.left:
            text += f"; {self.left} of its processes belong to another user and could not be killed"
        return text

    def _words(self, limits: RunLimits) -> str:
        match self.killed:
            case "time":
                return f"killed: it took longer than {limits.time:g} s"
            case "memory":
                return f"killed: its processes together used more than {_size(limits.memory)} of memory"
            case "processes":
                return f"killed: it was more than {limits.processes} processes at once"
            case "output":
                return f"killed: it wrote more than {_size(limits.output)}"
            case "stopped":
                return "killed: it was stopped from outside"
        if self.code is None:
            why = self.fault or "the process that guarded it is gone"
            return f"killed: nobody saw how it ended ({why})"
        if self.code >= 0:
            return f"exit code {self.code}"
        name = _signal_name(-self.code)
        if -self.code == signal.SIGKILL:
            name += ", by itself, or by the system when memory ran out"
        return f"ended by signal {name}"


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _size(number: int | None) -> str:
    size = number or 0
    for unit, name in ((_MIB, "MiB"), (1024, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
