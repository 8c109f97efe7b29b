"""Attempts: a model whose answer passes as it comes, and that another may be asked after if it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..errors import ConfigurationError, RunCancelledError
from ..places import words
from ..values import Completion, Delta, delta
from .compositions import Asking, Inquiry
from .requests import LLM

__all__ = ["Attempt", "On", "begun_anew", "matcher", "says", "with_others"]

On: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object]
"""Which errors: a type, some types, or a predicate."""


def says(item: Any) -> bool:
    """Whether it is a token: a string or delta that says something, be it a thought or a part of a call."""
    if isinstance(item, Completion):
        return False
    if not isinstance(item, dict):
        return bool(item != "")
    return bool(item.get("content")) or any(value for key, value in item.items() if key != "role")


class Attempt(Inquiry):
    """A model whose answer passes as it comes. Of one that fails only what it took counts.

    Args:
        llm: The model.
        asking: For whom.
        failed: Called with the error, and with whether something was said that is to be void first.
    """

    def __init__(self, llm: LLM, asking: Asking, failed: Callable[[Exception, bool], None]) -> None:
        super().__init__(llm, asking)
        self._said = False
        self._on_failed = failed
        self._emit = asking.sink.on_next
        self._completions: list[Completion] = []

    def next(self, item: Any) -> None:
        if item.__class__ is dict:
            if item.get("restart") is not None:
                self._said = False  # a model within has made it void already
            elif not self._said:
                self._said = says(item)
        elif isinstance(item, Completion):
            self._completions.append(item)  # the last word, and only if it ends well
            return
        else:
            self._said = self._said or says(item)
        self._emit(item)

    def failed(self, error: Exception) -> None:
        for completion in self._completions:
            if completion.usage:
                self._emit(Completion(usage=completion.usage))
        self._on_failed(error, self._said)

    def completed(self) -> None:
        for completion in self._completions:
            self._emit(completion)
        super().completed()


def begun_anew(error: Exception) -> Delta:
    """The delta that makes void what an attempt had said."""
    return delta(restart=words(error) or type(error).__name__)


def matcher(made_by: str, on: On) -> Callable[[Exception], bool]:
    """Tells which errors are meant. The end of the event loop is none of them: there is no other to ask.

    Raises:
        ConfigurationError: It is neither types nor a predicate.
    """
    given = on if isinstance(on, tuple) else (on,)
    types = tuple(each for each in given if isinstance(each, type) and issubclass(each, Exception))
    if len(types) == len(given):
        return lambda error: not isinstance(error, RunCancelledError) and isinstance(error, types)
    if not callable(on) or isinstance(on, type):
        raise ConfigurationError(f"{made_by}: `on` is a type of exception, some, or a predicate, not {on!r}")
    return lambda error: not isinstance(error, RunCancelledError) and bool(on(error))


def with_others(made_by: object, error: Exception, others: Sequence[tuple[str, Exception]]) -> Exception:
    """The last error, with a note of those before it.

    One object may be raised again and again: what the same model has noted there before goes.

    Args:
        made_by: The model that asked them all.
        error: The last error.
        others: Those before it, with who failed.
    """
    told = "\n".join(f"before it, {who}: {type(other).__name__}: {words(other)}" for who, other in others)
    noted: dict[int, str] = error.__dict__.setdefault("_rxagents_others", {})
    stale = noted.pop(id(made_by), "")
    if stale in getattr(error, "__notes__", ()):
        error.__notes__.remove(stale)
    if told:
        noted[id(made_by)] = told
        error.add_note(told)
    return error
