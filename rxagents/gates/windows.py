"""Windows: where the text of a message is cut into pieces that are checked one after the other.

However the text is cut into tokens, its sentences are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from ..checks import check_number
from ..errors import ConfigurationError

__all__ = ["Window", "Windows", "check_window"]

Window: TypeAlias = Literal["sentence", "whole"] | int

_LATIN, _LATIN_CLOSING = ".!?…", "\"'”’»)]}*_"
_WIDE, _WIDE_CLOSING = "。！？｡", "」』）】”’"
_PENDING = _LATIN + _LATIN_CLOSING + _WIDE + _WIDE_CLOSING
# Each but the line break looks at the character that follows: "3.14" is no end, and quotes belong to it.
_END = re.compile(
    rf"[{_LATIN}]+[{re.escape(_LATIN_CLOSING)}]*(?=\s)"
    rf"|[{_WIDE}]+[{_WIDE_CLOSING}]*(?=[^{_WIDE}{_WIDE_CLOSING}])"
    r"|\n"
)


class Windows(Protocol):
    """Where the windows of one message end, as positions in its text."""

    def feed(self, text: str) -> list[int]:
        """Takes the next token; gives the ends that are known by it."""

    def close(self) -> None:
        """Says that a window ends with what was fed so far."""


def check_window(what: str, window: Window) -> Callable[[], Windows]:
    """What makes the windows of a message.

    Args:
        what: Whose they are, for the error.
        window: `"sentence"`, `"whole"`, or a number of tokens.

    Raises:
        ConfigurationError: It is none of these.
    """
    if window == "sentence":
        return _Sentences
    if window == "whole":
        return _Whole
    if isinstance(window, str) or window is None:
        raise ConfigurationError(
            f"{what}: window is {window!r}; give 'sentence', 'whole', or a number of tokens"
        )
    count = check_number(what, "window", window, 1)
    return lambda: _Tokens(count)


class _Whole:
    """One window: the message."""

    def feed(self, text: str) -> list[int]:
        return []

    def close(self) -> None:
        pass


class _Tokens:
    """A window for so many tokens."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._tokens = 0
        self._length = 0

    def feed(self, text: str) -> list[int]:
        self._length += len(text)
        self._tokens += 1
        if self._tokens < self._count:
            return []
        self._tokens = 0
        return [self._length]

    def close(self) -> None:
        self._tokens = 0


class _Sentences:
    """A window ends behind `.` `!` `?` `…` (and closing quotes) before a space, 。！？, or a line break.

    What is blank is no sentence, but the beginning of the next one.
    """

    def __init__(self) -> None:
        self._rest = ""  # the sentence so far
        self._length = 0  # of what is before it

    def feed(self, text: str) -> list[int]:
        # what stood at the end waits for the character that follows; all before that was looked at
        position = len(self._rest.rstrip(_PENDING))
        self._rest += text
        ends: list[int] = []
        begun = 0
        for found in _END.finditer(self._rest, position):
            if self._rest[begun : found.end()].strip():
                begun = found.end()
                ends.append(self._length + begun)
        self._length += begun
        self._rest = self._rest[begun:]
        return ends

    def close(self) -> None:
        self._length += len(self._rest)
        self._rest = ""
