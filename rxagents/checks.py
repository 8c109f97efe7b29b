"""Checks of arguments that many constructors share."""

from __future__ import annotations

from .errors import ConfigurationError

__all__ = ["check_number"]


def check_number(what: str, name: str, value: int, least: int) -> int:
    """Refuses what is no number, or too small."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{what}: {name} is {value!r}; it must be a number, {least} or more")
    return value
