"""One file for each call of a model."""

from __future__ import annotations

import os
import re
from itertools import count

from ..errors import ConfigurationError
from .call_pages import page, stamp
from .model_calls import ModelCall

__all__ = ["CallFiles"]

_LONGEST = 64


class CallFiles:
    """A folder with one Markdown file for each call, named `TIME-NUMBER-WHO.md`.

    No file is ever written over, whatever process has made it.

    Args:
        folder: Made if it is not there.

    Raises:
        ConfigurationError: There can be no such folder, or nothing can be written in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.path.abspath(os.fspath(folder))
        try:
            os.makedirs(self._folder, exist_ok=True)
            writable = os.access(self._folder, os.W_OK | os.X_OK)
        except (OSError, ValueError) as error:
            raise _useless(folder, getattr(error, "strerror", None) or error) from error
        if not writable:
            raise _useless(folder, "not allowed")

    def __call__(self, call: ModelCall) -> None:
        """Writes a call down.

        Raises:
            OSError: The disk.
        """
        text = page(call).encode("utf-8", "backslashreplace")
        who = re.sub(r"[^A-Za-z0-9_-]+", "_", call.agent or "model")[:_LONGEST]
        stem = f"{stamp(call.begun)}-{call.number:04d}-{who}"
        os.makedirs(self._folder, exist_ok=True)  # it may have been cleared away since
        for other in count(2):
            try:
                # "x": a name is taken for good by who makes the file, also between processes
                with open(os.path.join(self._folder, f"{stem}.md"), "xb") as file:
                    file.write(text)
                return
            except FileExistsError:
                stem = f"{stamp(call.begun)}-{call.number:04d}-{who}-{other}"


def _useless(folder: object, reason: object) -> ConfigurationError:
    return ConfigurationError(
        f"`to`: no calls can be logged in {str(folder)!r} ({reason}); give a folder that may be written to"
    )
