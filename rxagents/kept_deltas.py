"""Deltas as a message keeps them: mere words as their text, in a quarter of the room that a dict takes.

There is one for each token of each message that is still open, and of each that is kept to be replayed. A
dict is made for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from .values import Delta, FunctionResult

__all__ = ["Deltas", "Kept"]

Kept: TypeAlias = Delta | FunctionResult | str
M = TypeVar("M")
Shown: TypeAlias = Delta | FunctionResult


class Deltas(Sequence[Shown]):
    """Deltas that came at once, with FunctionResults between them.

    Args:
        kept: As they are kept.
    """

    __slots__ = ("kept",)

    def __init__(self, kept: list[Kept]) -> None:
        self.kept: list[Any] = kept

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Shown]:
        return iter(self.shown())

    @overload
    def __getitem__(self, index: int) -> Shown: ...
    @overload
    def __getitem__(self, index: slice) -> Deltas: ...
    def __getitem__(self, index: int | slice) -> Shown | Deltas:
        return Deltas(self.kept[index]) if isinstance(index, slice) else Deltas([self.kept[index]]).shown()[0]

    def shown(self) -> list[Shown]:
        """As they are read."""
        # written out, for it is done for every token
        return [
            {"content": item, "function_call": None, "refusal": None, "tool_calls": None}
            if item.__class__ is str
            else item
            for item in self.kept
        ]

    def marked(self, mark: M, otherwise: Callable[[FunctionResult], tuple[M, Any]]) -> list[tuple[M, Any]]:
        """As they are read, each behind a mark; what is no delta as `otherwise` gives it."""
        return [
            (mark, {"content": item, "function_call": None, "refusal": None, "tool_calls": None})
            if item.__class__ is str
            else (mark, item)
            if item.__class__ is dict
            else otherwise(item)
            for item in self.kept
        ]
