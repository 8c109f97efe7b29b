"""Rules: what a gate checks, how much at a time, and what becomes of what does not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..checks import check_number
from ..errors import ConfigurationError, GuardError
from ..state_updates import StateUpdate
from .checking import Check, check_check, name_of
from .windows import Window, Windows, check_window

__all__ = ["BLOCKED", "FILTERED", "Gated", "OnFail", "Rule", "failure", "rule", "stopping", "tripped"]

OnFail: TypeAlias = Literal["cut", "replace", "retry"]

BLOCKED = "I cannot say that."
FILTERED = "content_filter"
"""The finish reason of what did not pass whole, as OpenAI has it."""


class Gated(str):
    """What a check gets: the text of the message so far, with the window that is to be checked.

    A string, so that `lambda text: "secret" not in text` is a check: it finds what stands across the
    border of two windows, too.

    Attributes:
        window: The part that waits for the check.
        passed: The part before it, which has passed.
        last: Whether the message ends with this window, as far as is known.
        agent: Who says it.
    """

    window: str
    passed: str
    last: bool
    agent: str | None

    def __new__(cls, window: str, passed: str = "", *, last: bool = False, agent: str | None = None) -> Gated:
        text = super().__new__(cls, passed + window)
        text.window, text.passed, text.last, text.agent = window, passed, last, agent
        return text


@dataclass(frozen=True, slots=True)
class Rule:
    """What a gate does.

    Args:
        name: Of the gate, in what it reports.
        check: The check.
        windows: Makes the windows of a message.
        whole: Whether that is one window.
        on_fail: What becomes of what does not pass; `fail`: the message fails with a GuardError.
        replacement: The words in its place.
        retries: How often it is asked for again.
        hold: Whether it is held back until the check has passed.
        stops: Whether the nearest team stops, too.
    """

    name: str
    check: Check
    windows: Callable[[], Windows]
    whole: bool = False
    on_fail: Literal["cut", "replace", "retry", "fail"] = "cut"
    replacement: str = BLOCKED
    retries: int = 0
    hold: bool = True
    stops: bool = False


def rule(
    what: str,
    check: Check,
    window: Window,
    on_fail: OnFail,
    replacement: str,
    retries: int,
    name: str | None,
) -> Rule:
    """The rule that arguments make.

    Raises:
        ConfigurationError: One of them is of no use.
    """
    check_check(what, check)
    if on_fail not in ("cut", "replace", "retry"):
        raise ConfigurationError(f"{what}: on_fail is {on_fail!r}; give 'cut', 'replace' or 'retry'")
    if not isinstance(replacement, str):
        raise ConfigurationError(f"{what}: replacement is a {type(replacement).__name__}; give a str")
    return Rule(
        name_of(check, name),
        check,
        check_window(what, window),
        window == "whole",
        on_fail,
        replacement,
        check_number(what, "retries", retries, 1),
    )


def tripped(guard: str, agent: str | None, reason: str, action: str) -> StateUpdate:
    """Says that a guard tripped: shown, and in the log."""
    return StateUpdate(
        "guard",
        {"guard": guard, "agent": agent, "reason": reason, "action": action},
        log=(("warning", "guard/trip", agent, guard, reason, action),),
        shown=True,
    )


def stopping(guard: str) -> StateUpdate:
    """Stops the nearest team."""
    return StateUpdate("stop", stop=f"guard: {guard}")


def failure(guard: str, agent: str | None, reason: str, cause: Exception | None) -> GuardError:
    """The error that a guard fails a turn with."""
    error = GuardError(
        f"agent {agent}: the guard {guard} tripped: {reason}", guard=guard, agent=agent, reason=reason
    )
    error.__cause__ = cause
    return error
