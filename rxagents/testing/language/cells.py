"""What is drawn on a lane, before it is known where: one cell for each instant at which something happens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, groupby
from typing import Any

from ...places import words
from ..lanes import Event, Lane
from .comparing import same
from .marks import BEGINNINGS, is_label
from .rows import Label
from .spellings import bracketed, plain, spell
from .wordings import is_drawn, shown

__all__ = ["Cell", "Speller", "cells_of"]

_SIGNS = {"completed": "|", "interrupted": "~"}


@dataclass(frozen=True, slots=True)
class Cell:
    """What happens on a lane at one instant.

    Args:
        at: In microseconds.
        text: What is drawn.
        offsets: Where within the text each event stands.
        is_word: Whether another word must keep its distance.
    """

    at: int
    text: str
    offsets: tuple[int, ...]
    is_word: bool


class Speller:
    """Spells events, and binds what cannot be written to names.

    Args:
        labels: The labels of the diagram.
        letters: Single characters to bind values to, as long as there are any.
        alike: Binds errors that say the same to one name; else only one and the same error.
        names: What is bound already.
    """

    def __init__(
        self,
        labels: Collection[str],
        *,
        letters: str = "",
        alike: bool = False,
        names: Mapping[str, Any] = {},
    ) -> None:
        self.values: dict[str, Any] = {}
        self._labels = labels
        self._alike = alike
        self._known: dict[object, list[str]] = {}
        self._free = {"v": _names("v", letters), "e": _names("e", "e" if letters else "")}
        for name, value in names.items():
            if name not in labels and type(value) is not str:
                self.values[name] = value
                self._known.setdefault(self._key(value), []).append(name)

    def texts(self, lane: Lane, children: Iterable[Label]) -> list[str]:
        """What is drawn for each event of a lane, on which lanes with these labels begin."""
        labels = iter(children)
        return [self._text(event, labels) for event in lane.events]

    def _text(self, event: Event, children: Iterator[Label]) -> str:
        if event.kind in _SIGNS:
            return _SIGNS[event.kind]
        if event.kind == "open":
            return next(children).word
        if event.kind == "error":
            return "#" if is_drawn(event.value) else "#" + self._bound(event.value, "e")
        if event.kind != "next":
            return spell(event.kind, event.value)
        return self._token(event.value) if type(event.value) is str else self._bound(event.value, "v")

    def _token(self, text: str) -> str:
        run = plain(text)
        if run is None or run[0] in BEGINNINGS + "^" or is_label(run, self._labels) or _is_name(run):
            return bracketed(text)
        return run

    def _bound(self, value: object, letter: str) -> str:
        known = self._known.setdefault(self._key(value), [])
        for name in known:
            bound = self.values[name]
            if bound is value or (
                (self._alike or not isinstance(value, BaseException)) and same(bound, value)
            ):
                return name
        name = next(
            name for name in self._free[letter] if name not in self._labels and name not in self.values
        )
        known.append(name)
        self.values[name] = value
        return name

    def _key(self, value: object) -> object:
        """The same for all that may share a name."""
        if isinstance(value, BaseException):
            return type(value), words(value)
        try:
            hash(value)
        except Exception:
            return type(value), shown(value)
        return type(value), value


def _names(letter: str, letters: str) -> Iterator[str]:
    return chain(letters, (f"{letter}{number}" for number in count(1)))


def _is_name(run: str) -> bool:
    """Whether it could be one of the names that values are bound to."""
    return run[0] in "ve" and run[1:].isdecimal()


def cells_of(lane: Lane, texts: Sequence[str], *, parted: bool = True) -> list[Cell]:
    """The cells of a lane; what happens at one instant is a group.

    Args:
        lane: The lane.
        texts: What is drawn for each of its events.
        parted: Whether words must be kept apart, as they need not where each is a single character.
    """
    cells: list[Cell] = []
    drawn = zip(lane.events, texts, strict=True)
    for at, together in groupby(drawn, key=lambda pair: round(pair[0].at * 10**6)):
        pairs = list(together)
        if len(pairs) == 1:
            event, text = pairs[0]
            cells.append(Cell(at, text, (0,), parted and not event.ends))
            continue
        group, offsets, word_before = "(", [], False
        for event, text in pairs:
            group += " " if word_before and parted and not event.ends else ""
            offsets.append(len(group))
            group += text
            word_before = not event.ends
        cells.append(Cell(at, group + ")", tuple(offsets), False))
    return cells
