"""Words as they stand in a diagram: quoted texts, calls, results, messages and states, read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..lanes import Called, Kind, Returned
from .marks import RUN, progression, unreadable

__all__ = ["bracketed", "plain", "read_quoted", "read_special", "spell"]

_ESCAPES = {"n": "\n", "t": "\t"}
_CODES = {"u": 4, "U": 8}
_NAME = re.compile(r"[^-|#()~\s{']+")
_JSON = json.JSONDecoder()


def read_quoted(line: str, column: int, close: str = "'") -> tuple[str, int]:
    """Reads from behind the opening quote or bracket; gives the text, and the column behind the closing."""
    chars: list[str] = []
    at = column
    while at < len(line):
        char = line[at]
        if char == close:
            return "".join(chars), at + 1
        if char == "\\":
            char, at = _escaped(line, at + 1, close)
            chars.append(char)
        else:
            chars.append(char)
            at += 1
    raise unreadable(
        line,
        column - 1,
        f"what begins here has no closing {close}",
        f"Close it with {close} on the same line.",
    )


def _escaped(line: str, at: int, close: str) -> tuple[str, int]:
    char = line[at : at + 1]
    if char in _CODES:
        digits = line[at + 1 : at + 1 + _CODES[char]]
        if (
            len(digits) == _CODES[char]
            and re.fullmatch("[0-9a-fA-F]+", digits)
            and int(digits, 16) < 0x110000
        ):
            return chr(int(digits, 16)), at + 1 + len(digits)
    elif char in _ESCAPES:
        return _ESCAPES[char], at + 1
    elif char and char in f"\\'{close}":
        return char, at + 1
    raise unreadable(
        line, at - 1, "no such escape", rf"There are \n, \t, \\, \{close}, \uXXXX and \UXXXXXXXX."
    )


def read_special(line: str, at: int) -> tuple[Kind, Any, int]:
    """Reads a word that begins with one of ``@ = [ < '``: its kind, its value, the column behind it."""
    return _READERS[line[at]](line, at)


def _read_token(line: str, at: int) -> tuple[Kind, Any, int]:
    text, end = read_quoted(line, at + 1)
    return "next", text, end


def _read_call(line: str, at: int) -> tuple[Kind, Any, int]:
    name = _NAME.match(line, at + 1)
    if line[at + 1 : at + 2] == "'":
        called, end = read_quoted(line, at + 2)
    elif name is not None:
        called, end = name[0], name.end()
    else:
        raise unreadable(
            line, at, "a call without the name of a tool", "Write @name; quote an @ that is said."
        )
    if line[end : end + 1] == "'":
        text, end = read_quoted(line, end + 1)
        return "call", Called(called, text), end
    if line[end : end + 1] != "{":
        return "call", Called(called), end
    try:
        arguments, behind = _JSON.raw_decode(line, end)
    except ValueError as error:
        column, what = getattr(error, "pos", end), getattr(error, "msg", str(error))
        raise unreadable(
            line, column, f"the arguments of {called} are no JSON object: {what}",
            'Write them as JSON, such as {"id": 17}; as a quoted text if they are none; or leave them open.',
        ) from None  # fmt: skip
    return "call", Called(called, arguments), behind


def _read_result(line: str, at: int) -> tuple[Kind, Any, int]:
    if line[at + 1 : at + 2] == "'":
        text, end = read_quoted(line, at + 2)
        return "result", Returned(text), end
    run = RUN.match(line, at + 1)
    if run is None:
        raise unreadable(
            line, at, "a function result without a text", "Write =text, or ='' for an empty one."
        )
    return "result", Returned(run[0].replace("_", " ")), run.end()


def _read_message(line: str, at: int) -> tuple[Kind, Any, int]:
    text, end = read_quoted(line, at + 1, "]")
    return "message", text, end


def _read_state(line: str, at: int) -> tuple[Kind, Any, int]:
    text, end = read_quoted(line, at + 1, ">")
    return "state", text, end


_READERS: dict[str, Callable[[str, int], tuple[Kind, Any, int]]] = {
    "'": _read_token,
    "@": _read_call,
    "=": _read_result,
    "[": _read_message,
    "<": _read_state,
}


def bracketed(text: str, opening: str = "'", close: str = "'") -> str:
    """The text between quotes or brackets, on one line and without what cannot be seen."""
    return opening + "".join(_escape(char, close) for char in text) + close


def _escape(char: str, close: str) -> str:
    if char in ("\\", close):
        return "\\" + char
    if char in "\n\t":
        return r"\n" if char == "\n" else r"\t"
    return char if char.isprintable() else _code(char)


def _code(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def plain(text: str) -> str | None:
    """The text as a run of ordinary characters, a space as `_`; None if it cannot be one."""
    run = text.replace(" ", "_")
    if "_" in text or not run.isprintable() or RUN.fullmatch(run) is None:
        return None
    return None if progression(run, 0) else run


def spell(kind: Kind, value: Any) -> str:
    """A call, a result, a message or a state as a word."""
    if kind == "call":
        return "@" + _spell_call(value)
    if kind == "result":
        run = plain(value.text)
        return "=" + (bracketed(value.text) if run is None or run.startswith("'") else run)
    return bracketed(str(value), "[", "]") if kind == "message" else bracketed(str(value), "<", ">")


def _spell_call(call: Called) -> str:
    named = _NAME.fullmatch(call.name) is not None and call.name.isprintable()
    name = call.name if named else bracketed(call.name)
    if call.arguments is None:
        return name
    if isinstance(call.arguments, str):
        return name + bracketed(call.arguments)
    text = json.dumps(dict(call.arguments), ensure_ascii=False, default=repr)
    return name + "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
