"""Recordings, read back: what was asked and answered, and all of it as lanes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ...errors import ConfigurationError
from ..lanes import Lane
from .exchanges import Exchange, RecordedError
from .recorded_lines import BrokenLineError, RecordedLines

__all__ = ["RecordedError", "Recording", "read_recording"]


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded.

    Args:
        lane: All of it: on the outermost lane each run of a workflow begins, and each request that
            belongs to none; on a run's its messages and blocks. Times are seconds since it began.
        requests: Each request to a model with its answer, in the order in which they were asked.
    """

    lane: Lane
    requests: tuple[Exchange, ...]


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Reads what `record` or `Workflow.record` wrote; see `rxagents.recording.journals` for the form.

    A last line that is broken is left out: it was being written when the program ended.

    Raises:
        ConfigurationError: There is no such file, or it is no recording; the text names the line.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"a recording is a file: give its path, not {type(path).__name__}")
    name = os.fspath(path)
    lines = _lines(name)
    recorded = RecordedLines()
    for number, line in enumerate(lines, 1):
        try:
            recorded.read(json.loads(line.decode()))
        except BrokenLineError as error:
            raise _unreadable(name, number, str(error)) from None
        except ValueError as error:
            if 1 < number == len(lines):
                break
            raise _unreadable(name, number, f"this is no JSON: {error}") from None
    return Recording(recorded.lane(), recorded.exchanges())


def _lines(name: str) -> list[bytes]:
    try:
        with open(name, "rb") as file:
            lines = file.read().rstrip().split(b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"the recording {name} cannot be read ({error.strerror}); record it first"
        ) from error
    if lines == [b""]:
        raise ConfigurationError(
            f"the recording {name} is empty: nothing was asked while it was made; record it again"
        )
    return lines


def _unreadable(name: str, number: int, why: str) -> ConfigurationError:
    return ConfigurationError(f"{name}, line {number}: {why}; record it again")
