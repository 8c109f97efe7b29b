"""Around the models of a run: functions from model to model that every model asked in it wears."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeAlias

from .requests import LLM

__all__ = ["Wrapper", "as_worn", "take_off", "wear"]

Wrapper: TypeAlias = Callable[[LLM], LLM]

# Tasks, threads of tools and callbacks inherit it, so it reaches all that a run comes to, and no other.
_around: ContextVar[tuple[Wrapper, ...]] = ContextVar("rxagents.llm.around", default=())


def wear(wrapper: Wrapper) -> None:
    """Puts a wrapper around each model that is asked in this task, or in what it starts from now on.

    Wrappers that are there already stay outside of it.
    """
    _around.set((wrapper, *_around.get()))


def take_off(wrapper: Wrapper) -> None:
    """Takes a wrapper off again in this task, wherever it is among those that are worn."""
    _around.set(tuple(other for other in _around.get() if other is not wrapper))


def as_worn(llm: LLM) -> LLM:
    """The model with all the wrappers around it that are worn here."""
    for wrapper in _around.get():
        llm = wrapper(llm)
    return llm
