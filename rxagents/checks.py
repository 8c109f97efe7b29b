"""Checks of arguments that many constructors share."""

from __future__ import annotations

import math
import re

from .errors import ConfigurationError

__all__ = ["check_number", "check_seconds", "is_id"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(id: object) -> bool:
    """Whether it can name a block or a speaker."""
    return isinstance(id, str) and _ID.fullmatch(id) is not None


def check_number(what: str, name: str, value: int, least: int) -> int:
    """Refuses what is no number, or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{what}: {name} is {value!r}; it must be a number, {least} or more")
    return value


def check_seconds(what: str, name: str, value: float, *, zero: bool = False) -> float:
    """Refuses what is no time: a finite number above 0, or with `zero` 0 as well."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf or not (value or zero):
        least = "0 or more" if zero else "above 0"
        raise ConfigurationError(f"{what}: {name} is {value!r}; it must be a number of seconds, {least}")
    return value
