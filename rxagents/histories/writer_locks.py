"""One writer at a time: a lock file, which the system unlocks when its process is gone, however it went."""

from __future__ import annotations

import contextlib
import os
from typing import Any

__all__ = ["LockedError", "WriterLock"]

try:
    import fcntl
except ImportError:  # Windows; a name of a module is given no other value, says the type checker
    fcntl = None  # type: ignore[assignment]


class LockedError(Exception):
    """Somebody else has it.

    Args:
        holder: The id of the process that has it, as far as it is known.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class WriterLock:
    """Held from its making until it is released, or its process ends.

    Args:
        path: Of the lock file. It is removed with the release; one that a killed process left is taken over.

    Raises:
        LockedError: Somebody holds it, in this process or in another one.
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        while True:
            number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock(number)
                if _is_at(number, path):
                    break
            except BlockingIOError:
                holder = os.pread(number, 20, 0).decode(errors="replace") if fcntl else ""
                os.close(number)
                raise LockedError(holder) from None
            except BaseException:
                os.close(number)
                raise
            os.close(number)  # whoever held it has removed it in between
        os.ftruncate(number, 0)
        os.write(number, str(os.getpid()).encode())
        self._number: int | None = number

    def release(self) -> None:
        """Lets go of it; once more is nothing."""
        number, self._number = self._number, None
        if number is not None:
            with contextlib.suppress(OSError):  # Windows removes no open file
                os.unlink(self._path)
            os.close(number)


def _is_at(number: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(number: int) -> None:
    if fcntl is not None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    windows: Any = msvcrt
    try:
        windows.locking(number, windows.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError from error
