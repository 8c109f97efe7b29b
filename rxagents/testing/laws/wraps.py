"""The sixth law: further teams around an agent change paths and block marks, nothing else."""

from __future__ import annotations

import re
from typing import Any

import reactivex as rx

from ...named_operators import as_agent
from ...participants import Participant
from ...teams import Team
from .cases import Broken, Case
from .folds import marked
from .sameness import difference
from .worlds import Make, Operator, World

__all__ = ["check_wrapping"]

_AROUND = re.compile(r"\baround\d+( > |$)")


def check_wrapping(make: Make, case: Case) -> None:
    """Wrapping in further teams changes paths and block marks, nothing else.

    Raises:
        Broken: It does.
    """

    def bare(world: World) -> Participant:
        operator = make(world)
        return operator if isinstance(operator, Participant) else as_agent("operator", operator)

    def wrapped(world: World) -> Operator:
        member = bare(world)
        for level in range(case.depth):
            member = Team(_asks_nobody, [member], f"around{level}", allowed_transitions={})
        return member

    alone, lane = marked(bare, case)
    within, other_lane = marked(wrapped, case)
    alone["markers"] = _without_wraps(alone["markers"])
    within["markers"] = _without_wraps(within["markers"])
    words = difference(alone, within)
    if words is not None:
        raise Broken(
            f"in {case.depth} teams it is not the same: {words}", [("alone", lane), ("within", other_lane)]
        )


def _asks_nobody(_: Any) -> Any:
    return rx.throw(AssertionError("a team of one asked its model"))


def _without_wraps(entries: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for at, kind, path, content in entries:
        inner = [name for name in path if not name.startswith("around")]
        if kind in ("start", "end") and path[-1].startswith("around"):
            continue
        if kind == "result" and content != "agent-error":
            content = "done"  # a team's own word for how it ended
        if kind == "error":
            content = {**content, "where": _AROUND.sub("", content["where"])}
        kept.append([at, kind, inner, content])
    return kept
