"""Trees of lanes, side by side, as rows; and the labels that they are drawn with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from ..lanes import Lane
from .marks import LABEL, named
from .spellings import bracketed

__all__ = ["Label", "Row", "labels_of", "rows_of"]


@dataclass(frozen=True, slots=True)
class Label:
    """What a lane is called by.

    Args:
        word: What stands for it on other lanes; empty for an outermost lane without a name.
        head: What its own line begins with: the word, and the name if that is no label.
    """

    word: str = ""
    head: str = ""


@dataclass(slots=True)
class Row:
    """One lane of each tree, those that stand at the same place; None where a tree has none there.

    Args:
        lanes: One of each tree.
        parent: The row on which it begins.
        children: For each tree, the rows that begin on this one, in order.
    """

    lanes: tuple[Lane | None, ...]
    parent: int | None = None
    children: tuple[list[int], ...] = field(default_factory=tuple)


def rows_of(*trees: Lane) -> list[Row]:
    """All rows, depth first: each below the one on which it begins."""
    rows: list[Row] = []
    stack: list[tuple[int | None, tuple[Lane | None, ...]]] = [(None, trees)]
    while stack:
        parent, lanes = stack.pop()
        for side, lane in enumerate(lanes):
            if parent is not None and lane is not None:
                rows[parent].children[side].append(len(rows))
        within = list(zip_longest(*(lane.lanes if lane is not None else () for lane in lanes)))
        stack.extend((len(rows), inner) for inner in reversed(within))
        rows.append(Row(lanes, parent, tuple([] for _ in trees)))
    return rows


def labels_of(rows: Sequence[Row]) -> list[tuple[Label, ...]]:
    """The labels of each row, one for each tree: the same one, unless they differ by their names.

    An actual lane without a name is as good as an expected one that has one; not the other way round.
    """
    names = [[lane.name if lane is not None else "" for lane in row.lanes] for row in rows]
    shared = [
        None in row.lanes or given[-1] in ("", given[0]) for row, given in zip(rows, names, strict=True)
    ]
    wanted = [[max(given)] if one else given for given, one in zip(names, shared, strict=True)]
    labels = _allocated([name for given in wanted for name in given], len(wanted[0]))
    return [
        tuple([next(labels)] * len(given) if one else [next(labels) for _ in given])
        for given, one in zip(names, shared, strict=True)
    ]


def _allocated(names: list[str], outermost: int) -> Iterator[Label]:
    """A label for each name; the first ones are of the outermost lanes, which need none if nameless."""
    taken: Counter[str] = Counter()
    fit = {name: _is_label(name) for name in names}
    nameless = sum(not name for name in names[outermost:])
    others = (word for word in (f"b{number}" for number in range(1, 10**9)) if not fit.get(word))
    for index, name in enumerate(names):
        taken[name] += 1
        if fit[name]:
            word = f"{name}.{taken[name]}" if taken[name] > 1 else name
            yield Label(word, word)
        elif name:
            word = next(others)
            yield Label(word, f"{word}={bracketed(name)}")
        elif index < outermost:
            taken[name] -= 1
            yield Label()
        else:
            word = f"m{taken[name]}" if nameless > 1 else "m"
            yield Label(word, word)


def _is_label(name: str) -> bool:
    """Whether a lane that is labelled so has this name."""
    match = LABEL.fullmatch(name)
    return match is not None and match["name"] is None and named(name) == name
