"""The seventh law: the order does not depend on the timing, and nothing is lost."""

from __future__ import annotations

import json
from typing import Any

from .audiences import Audience
from .cases import Broken, Case
from .sameness import difference, shape
from .talks import played
from .worlds import Make, World

__all__ = ["check_timing", "check_unordered"]


def check_timing(make: Make, case: Case) -> None:
    """Ordered composition gives the same order whatever the timing; nothing is lost under any timing.

    Raises:
        Broken: Two timings gave different results.
    """
    one, lanes = _came_to(make, case, ())
    other, other_lanes = _came_to(make, case, case.pace)
    words = difference(one, other)
    if words is not None:
        raise Broken(
            f"another timing gave another result: {words}", [*lanes, ("at another pace:", ""), *other_lanes]
        )


def check_unordered(make: Make, case: Case) -> None:
    """The same for what gives no order: nothing is lost under any timing."""
    one, lanes = _came_to(make, case, ())
    other, other_lanes = _came_to(make, case, case.pace)
    words = difference(sorted(map(json.dumps, one)), sorted(map(json.dumps, other)))
    if words is not None:
        raise Broken(
            f"another timing lost something: {words}", [*lanes, ("at another pace:", ""), *other_lanes]
        )


def _came_to(make: Make, case: Case, pace: tuple[int, ...]) -> tuple[list[Any], list[tuple[str, str]]]:
    with World(pace) as world:
        audience = Audience(world, "0")
        source = played(world, case.source, by_turns=case.in_turn)
        output = world.do(lambda: make(world)(source))
        watch = world.do(lambda: audience.attend(output))
        world.run()
        came = [shape(value) for value in watch.values]
        end = [watch.end] if watch.end != "error" else [repr(watch.events[-1][2])]
        lanes = audience.drawn()
        world.do(audience.leave)
        return [*came, end], lanes
