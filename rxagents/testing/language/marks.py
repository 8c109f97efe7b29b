"""The characters of the marble language, the errors about it, and the units of its time."""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from ...errors import ConfigurationError, RxAgentsError

__all__ = [
    "BEGINNINGS",
    "LABEL",
    "LETTERS",
    "RUN",
    "DiagramError",
    "MarbleError",
    "decimal",
    "duration",
    "exact",
    "frame_of",
    "is_label",
    "named",
    "progression",
    "unreadable",
]

BEGINNINGS = "@=[<'"
LABEL = re.compile(r"(?P<label>[^\W\d][\w.]*)(?:=(?P<name>'(?:[^'\\]|\\.)*'))?(?=\s|$)")
NAMELESS = re.compile(r"m\d*")
RUN = re.compile(r"[^-|#()~\s]+")
LETTERS = re.compile(r"[^-|#()~\s^]+")

_UNITS = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
}
_NUMBERED = re.compile(r"\.\d+$")
_PROGRESSION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)(?=\s|$)", re.ASCII)


class MarbleError(RxAgentsError):
    """The error that a drawn `#` raises where none is bound to it.

    Two of them are equal if they say the same.
    """

    def __init__(self, message: str = "the error drawn as # in a marble diagram") -> None:
        super().__init__(message)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.args == self.args

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class DiagramError(ConfigurationError):
    """A marble diagram cannot be read. The text shows the line, the column, and what to do."""


def unreadable(line: str, column: int, what: str, remedy: str) -> DiagramError:
    """The error about one column (from 0) of a line."""
    shown = "".join(" " if char.isspace() else char for char in line.rstrip())
    return DiagramError(f"{what}\n    {shown}\n    {' ' * column}^\n{remedy}")


def is_label(run: str, labels: Collection[str]) -> bool:
    """Whether a run can only be meant as a label: of those that there are, or numbered as they are."""
    return run in labels or (bool(labels) and (NAMELESS.fullmatch(run) is not None or named(run) in labels))


def named(label: str) -> str:
    """The name of the block that is labelled so: `bot` for `bot` and `bot.2`, none for `m` and `m2`."""
    return "" if NAMELESS.fullmatch(label) else _NUMBERED.sub("", label)


def exact(seconds: float) -> Fraction:
    """The number as it is written: a tenth for 0.1, and not the double next to it."""
    return Fraction(repr(seconds))


def frame_of(seconds: float) -> Fraction:
    """The length of a frame, checked."""
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"frame is the seconds of one column, more than 0, not {seconds!r}")
    return exact(float(seconds))


def progression(line: str, column: int) -> tuple[Fraction, int] | None:
    """The time progression that begins here, such as `500ms`, in seconds, and the column behind it."""
    if column and not line[column - 1].isspace():
        return None
    match = _PROGRESSION.match(line, column)
    return (Fraction(match[1]) * _UNITS[match[2]], match.end()) if match else None


def duration(seconds: Fraction) -> str:
    """A time progression in the unit that makes it shortest; the larger one of two."""
    texts = {unit: decimal(seconds / length) for unit, length in _UNITS.items()}
    fit = [
        text + unit
        for unit, text in texts.items()
        if text is not None
        and (seconds >= _UNITS[unit] or unit == "ns")
        and ("." not in text or unit not in "hm")
    ]
    return min(fit, key=len)


def decimal(number: Fraction) -> str | None:
    """In decimal digits, if they come to an end."""
    places = 0
    rest = number.denominator
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for prime in (5, 2):
        while rest % prime == 0:
            rest, places = rest // prime, places + 1
    if rest != 1:
        return None
    digits = str(number.numerator * 10**places // number.denominator).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :].rstrip("0")
    return f"{whole}.{part}" if part else whole
