"""Windows: where the text of a message is cut into pieces that are checked one after the other.

However the text is cut into tokens, its sentences are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from ..checks import check_number
from ..errors import ConfigurationError

__all__ = ["Window", "Windows", "check_window"]

Window: TypeAlias = Literal["sentence", "whole"] | int

_LATIN, _WIDE = ".!?…", "。！？｡"
# which end a sentence, and what may stand between them and its end
_TAILS = {_LATIN: _LATIN + "\"'”’»)]}*_", _WIDE: _WIDE + "」』）】”’"}


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

    What is blank is no sentence, but the beginning of the next one. Each character is looked at once, so that
    a model that says nothing but dots takes no longer than another.
    """

    def __init__(self) -> None:
        self._length = 0
        self._is_blank = True  # the sentence so far
        self._marks = ""  # those that it may have ended with: what follows tells

    def feed(self, text: str) -> list[int]:
        ends: list[int] = []
        for position, character in enumerate(text, self._length):
            if self._has_ended_before(character):
                ends.append(position)
                self._begin()
            if not character.isspace():
                self._is_blank = False
            elif character == "\n" and not self._is_blank:
                ends.append(position + 1)
                self._begin()
            if character in _LATIN:
                self._marks = _LATIN
            elif character in _WIDE:
                self._marks = _WIDE
            elif self._marks and character not in _TAILS[self._marks]:
                self._marks = ""
        self._length += len(text)
        return ends

    def _has_ended_before(self, character: str) -> bool:
        if self._marks == _LATIN:
            return character.isspace()  # "3.14" is no end
        return self._marks == _WIDE and character not in _TAILS[_WIDE]

    def close(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._is_blank = True
        self._marks = ""
