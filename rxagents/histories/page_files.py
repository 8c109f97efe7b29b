"""PageFile: a text file that somebody else may edit as well."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from ..errors import HistoryError

__all__ = ["PageFile"]


class PageFile:
    """A text file in UTF-8, opened anew for each write: an editor may have put another one in its place.

    Args:
        path: Of the file, which need not be there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: Any = None

    @property
    def changed(self) -> bool:
        """Whether somebody else has changed it since it was read, or written, last.

        Raises:
            HistoryError: It cannot be looked at.
        """
        with self._named("read"):
            return bool(self._stamp != self._stamped())

    def read(self) -> str:
        """What is in it; nothing, if there is no file.

        Raises:
            HistoryError: It cannot be read.
            ValueError: It is no text in UTF-8.
        """
        with self._named("read"):
            self._stamp = self._stamped()
            try:
                with open(self._path, "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                return ""
        return data.decode().removeprefix("\ufeff")

    def add(self, text: str) -> None:
        """Adds lines at the end, in one write.

        Raises:
            HistoryError: It cannot be written.
        """
        if not text:
            return
        with self._named("written"):
            mine = self._stamp == self._stamped()
            # not a file object: what is to be added is one write
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            number = os.open(self._path, flags, 0o666)
            try:
                size = os.fstat(number).st_size
                os.lseek(number, max(0, size - 1), os.SEEK_SET)
                if os.read(number, 1) not in (b"", b"\n"):
                    text = f"\n{text}"
                _write_all(number, text.encode(), size)
            finally:
                os.close(number)
                # what somebody else has written in between is still to be read
                self._stamp = self._stamped() if mine else None

    def replace(self, text: str) -> None:
        """Begins it anew; a crash leaves either the old or the new.

        Raises:
            HistoryError: It cannot be written.
        """
        with self._named("written"):
            beside = f"{self._path}.{os.getpid()}.new"
            try:
                with open(beside, "wb") as file:
                    file.write(text.encode())
                with contextlib.suppress(FileNotFoundError):
                    shutil.copymode(self._path, beside)
                os.replace(beside, self._path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside)
            self._stamp = self._stamped()

    def _stamped(self) -> Any:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_size, found.st_mtime_ns

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise HistoryError(f"the history {self._path!r} cannot be {what}: {reason}") from error


def _write_all(number: int, data: bytes, size: int) -> None:
    written = 0
    try:
        while written < len(data):
            written += os.write(number, data[written:])
    except OSError:
        # the disk is full: half a message would be read as one, and come once more with the next write
        if os.fstat(number).st_size == size + written:
            os.ftruncate(number, size)
        raise
