"""Reading JSON that is still coming: each piece of text is read once, however long the whole becomes.

(A parser for complete JSON would have to begin anew with each token, and takes the beginning of the
number 120 for the number 12.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, Protocol

from pydantic_core import from_json

__all__ = ["JsonReader", "Receiver"]

_SPACE = " \t\r\n"
_WORD = re.compile(r"[^\s,\]}]*")
_PLAIN = re.compile(r'[^"\\]+')
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}"
_ESCAPE = re.compile(rf"\\(?:{_PAIR}|u(?![dD][89abAB])[0-9a-fA-F]{{4}}|[^u])")
_LONGEST_ESCAPE = len(r"\ud83d\ude00")
_LONGEST_WORD = 5000  # Python reads no number of more digits than 4300
_DEEPEST = 200  # nor pydantic's parser what is nested deeper


class Receiver(Protocol):
    """Who is told of what is read.

    Attributes:
        is_whole: Whether it wants no more.
    """

    is_whole: bool

    def open(self, kind: Literal["object", "array"]) -> None: ...
    def close(self) -> None: ...
    def key(self, text: str) -> None: ...
    def word(self, text: str) -> None: ...
    def open_string(self) -> None: ...
    def grow_string(self, text: str) -> None: ...
    def close_string(self) -> None: ...
    def forget(self) -> bool: ...


class JsonReader:
    """Reads one JSON object or list, wherever it begins, and tells what it meets.

    Where it turns out to be no JSON, the receiver is asked to `forget` it: if it can, the search goes on
    from there; else nothing more is read.

    Args:
        receiver: Told of everything. Keys and words (numbers, booleans, null) come whole, strings in pieces.
        begins: The characters that it may begin with.
    """

    def __init__(self, receiver: Receiver, begins: Literal["{", "{["]) -> None:
        self._receiver = receiver
        self._beginning = re.compile(f"[{re.escape(begins)}]")
        self._read: Callable[[str, int], int] | None = self._search
        self._open_kinds: list[Literal["object", "array"]] = []
        self._is_key = False
        self._key_text = ""
        self._rest = ""  # of a word or an escape that is cut

    def read(self, text: str) -> None:
        """Reads on."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text) and self._read is not None and not self._receiver.is_whole:
            try:
                after = self._read(text, at)
            except ValueError:
                self._open_kinds.clear()
                self._read = self._search if self._receiver.forget() else None
                continue
            if after < 0:
                self._rest = text[at:]
                break
            at = after

    # Each of these reads one thing at a position, and gives the position behind it; -1: it is cut.

    def _search(self, text: str, at: int) -> int:
        beginning = self._beginning.search(text, at)
        if beginning is None:
            return len(text)
        self._open(beginning[0])
        return beginning.end()

    def _value(self, text: str, at: int) -> int:
        mark = text[at]
        if mark in _SPACE:
            return at + 1
        if mark in "{[":
            self._open(mark)
            return at + 1
        if mark == '"':
            self._receiver.open_string()
            self._is_key, self._read = False, self._in_string
            return at + 1
        word = _WORD.match(text, at)
        assert word is not None
        if word.end() == len(text) and len(word[0]) <= _LONGEST_WORD:
            return -1  # it may go on
        from_json(word[0])
        self._read = self._behind
        self._receiver.word(word[0])
        return word.end()

    def _first_value(self, text: str, at: int) -> int:
        if text[at] == "]":
            self._close()
        elif text[at] not in _SPACE:
            self._read = self._value
            return at
        return at + 1

    def _first_key(self, text: str, at: int) -> int:
        if text[at] != "}":
            return self._key(text, at)
        self._close()
        return at + 1

    def _key(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._is_key, self._key_text, self._read = True, "", self._in_string
        else:
            _expect(text[at] in _SPACE)
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        if text[at] == ":":
            self._read = self._value
        else:
            _expect(text[at] in _SPACE)
        return at + 1

    def _behind(self, text: str, at: int) -> int:
        is_list = self._open_kinds[-1] == "array"
        if text[at] == ",":
            self._read = self._value if is_list else self._key
        elif text[at] == ("]" if is_list else "}"):
            self._close()
        else:
            _expect(text[at] in _SPACE)
        return at + 1

    def _in_string(self, text: str, at: int) -> int:
        if text[at] == '"':
            if self._is_key:
                self._read = self._colon
                self._receiver.key(self._key_text)
            else:
                self._read = self._behind
                self._receiver.close_string()
            return at + 1
        found = _PLAIN.match(text, at) or _ESCAPE.match(text, at)
        if found is None:
            _expect(len(text) - at < _LONGEST_ESCAPE)
            return -1
        piece = from_json(f'"{found[0]}"') if text[at] == "\\" else found[0]
        if self._is_key:
            self._key_text += piece
        else:
            self._receiver.grow_string(piece)
        return found.end()

    def _open(self, mark: str) -> None:
        _expect(len(self._open_kinds) < _DEEPEST)
        kind: Literal["object", "array"] = "object" if mark == "{" else "array"
        self._open_kinds.append(kind)
        self._read = self._first_key if kind == "object" else self._first_value
        self._receiver.open(kind)

    def _close(self) -> None:
        self._open_kinds.pop()
        self._read = self._behind if self._open_kinds else None
        self._receiver.close()


def _expect(is_so: bool) -> None:
    if not is_so:
        raise ValueError("this is no JSON")
