"""Checking: how a check is asked, and what it came to. A check that raises has not passed.

What it raises by accident may quote what was not to be shown. So only its kind is told, and its place logged;
the words of a GuardError are told, as they are meant to be.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import isawaitable
from typing import Any, NamedTuple

from reactivex import Observable, abc

from ..asking.own_turns import Turn, within
from ..engine.demands import demanded_by
from ..engine.tasks import keep
from ..errors import ConfigurationError, GuardError
from ..places import words
from ..recording.masks import masked
from ..state_updates import StateUpdate
from ..values import Message

__all__ = ["Check", "Checking", "Verdict", "check_check", "name_of"]

_log = logging.getLogger("rxagents.agent")

Check = Callable[[Any], Any]
"""Called with what is to be checked; truthy passes, but no words. Plain or async."""


class Verdict(NamedTuple):
    """What a check came to.

    Args:
        passed: Whether it passed.
        reason: If not, why.
        error: What the check raised.
    """

    passed: bool
    reason: str = ""
    error: Exception | None = None


class Checking(abc.DisposableBase):
    """One call of a check. Disposing cancels it.

    What it asks of agents belongs to it: it runs no longer than the check, and its usage is told.

    Args:
        check: The check.
        loop: Where it runs.
        judged: Told the verdict, once; of a plain check before `begin` returns.
        tell: Told what the check took.
    """

    def __init__(
        self,
        check: Check,
        loop: AbstractEventLoop,
        judged: Callable[[Verdict], None],
        tell: Callable[[StateUpdate], None],
    ) -> None:
        self._check = check
        self._loop = loop
        self._judged = judged
        self._tell = tell
        self._turn = Turn()
        self._turn.loop = loop
        self._task: asyncio.Task[bool] | None = None
        self._answer: Any = None
        self._over = False

    def begin(self, value: Any) -> None:
        """Calls the check. To be called on the loop."""
        task: asyncio.Task[bool] | None = None
        try:
            # the check is nobody's reader: what it asks for is wanted
            with within(self._turn), demanded_by(None):
                answer = self._check(value)
                if isawaitable(answer):
                    self._answer = answer
                    task = self._task = self._loop.create_task(_awaited(answer))
            if task is None:
                self._end(_verdict(_truth(answer)))
                return
        except Exception as error:
            self._end(self._raised(error))
            return
        keep(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[bool]) -> None:
        if inspect.iscoroutine(self._answer):
            self._answer.close()  # one that was cancelled before its first step was never awaited
        if task.cancelled():
            self._end(Verdict(False, "the check was cancelled"))
        elif (error := task.exception()) is not None:
            self._end(self._raised(error))
        else:
            self._end(_verdict(task.result()))

    def _end(self, verdict: Verdict) -> None:
        if not self._over:
            self._over = True
            self._settle()
            self._judged(verdict)

    def _raised(self, error: BaseException) -> Verdict:
        kind = type(error).__name__
        if isinstance(error, GuardError):
            return Verdict(False, masked(words(error)) or kind, error)
        places = [f"{at.filename}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        _log.warning("the check %s raised %s in %s", name_of(self._check, None), kind, places[-1:])
        return Verdict(False, f"the check raised {kind}", error if isinstance(error, Exception) else None)

    def _settle(self) -> None:
        spent = self._turn.end(())
        if spent is not None:
            self._tell(spent)

    def dispose(self) -> None:
        if not self._over:
            self._over = True
            if self._task is not None:
                self._task.cancel()
            self._settle()


async def _awaited(answer: Any) -> bool:
    return _truth(await answer)


def _truth(answer: Any) -> bool:
    # "no" is true, as is the message that says it, and whatever was not awaited
    if isinstance(answer, (str, Message, Iterator, AsyncIterator, Observable)):
        raise GuardError(
            f"the check gave {type(answer).__name__}, which is neither yes nor no; give True or False"
        )
    return bool(answer)


def _verdict(passed: bool) -> Verdict:
    return Verdict(passed, "" if passed else "the check did not pass")


def check_check(what: str, check: Check) -> Check:
    """Refuses what is no function."""
    if not callable(check):
        raise ConfigurationError(
            f"{what}: check is a {type(check).__name__}; give a function, plain or async, that says whether "
            "it passes"
        )
    return check


def name_of(check: Check, name: str | None) -> str:
    """What a guard is called: as was said, or as its function is."""
    if not isinstance(name, str | None):
        raise ConfigurationError(f"the name of a guard is a {type(name).__name__}; give a str")
    named = name or str(getattr(check, "__name__", type(check).__name__))
    return "check" if named == "<lambda>" else named
