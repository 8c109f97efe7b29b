"""What is said of events in the text of a failure."""

from __future__ import annotations

from ..lanes import Event, moment
from .marks import MarbleError
from .spellings import bracketed, spell

__all__ = ["brief", "contrast", "is_drawn", "said", "seconds", "shown"]

_LIMIT = 200
_COMMON = 24
_ENDS = {"completed": "the completion", "interrupted": "the interruption"}
_NOUNS = {"call": "the call", "result": "the result", "message": "the message", "state": "the state"}


def seconds(at: float) -> str:
    """A time in words, such as `1.5 s`."""
    return f"{moment(at):.6f}".rstrip("0").rstrip(".") + " s"


def shown(value: object) -> str:
    """The value as it would be typed, on one line, also where its own `__repr__` fails."""
    if isinstance(value, str):
        return bracketed(value)
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}, whose __repr__ raises>"
    return _on_one_line(text)


def said(event: Event, label: str) -> str:
    """The event in words, such as `'Hello'` or `the completion`; the label is of a lane that begins."""
    if event.kind in _ENDS:
        return _ENDS[event.kind]
    if event.kind == "open" and event.value.name:
        return f"the block {_on_one_line(event.value.name)}"
    if event.kind == "open":
        return f"the lane {label}"
    if event.kind == "error" and is_drawn(event.value):
        return "the error drawn as #"
    if event.kind == "error":
        return f"the error {shown(event.value)}"
    if event.kind == "next":
        return shown(event.value)
    return f"{_NOUNS[event.kind]} {spell(event.kind, event.value)}"


def is_drawn(error: object) -> bool:
    """Whether it is the error that a `#` stands for to which none is bound."""
    return type(error) is MarbleError and error == MarbleError()


def contrast(expected: str, actual: str) -> tuple[str, str]:
    """Both, cut to what differs if they are long."""
    common = 0
    if max(len(expected), len(actual)) > _LIMIT:
        while expected[common : common + 1] == actual[common : common + 1] != "":
            common += 1
    skipped = max(0, common - _COMMON)
    return _cut(expected, skipped), _cut(actual, skipped)


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, skipped: int) -> str:
    return brief("…" + text[skipped:] if skipped else text)


def brief(text: str, limit: int = _LIMIT) -> str:
    """At most so many characters of it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
