"""The seventh law: the order does not depend on the timing, and nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from .audiences import Audience
from .balances import ended
from .cases import Broken, Case
from .sameness import difference, shape
from .talks import played
from .worlds import HORIZON, Make, World

__all__ = ["check_loss", "check_order_of_markers", "check_timing"]

Lanes = list[tuple[str, str]]


def check_timing(make: Make, case: Case) -> None:
    """Ordered composition gives the same order whatever the timing; nothing is lost under any timing.

    Raises:
        Broken: Two timings gave different results.
    """
    one, other, lanes = _two_timings(make, case)
    words = difference(one, other)
    if words is not None:
        raise Broken(f"another timing gave another result, in {words}", lanes)


def check_order_of_markers(make: Make, case: Case) -> None:
    """The same for markers, which are in order where no two messages come at the same time.

    Raises:
        Broken: Two timings gave different results.
    """
    check_timing(make, replace(case, in_turn=True))


def check_loss(make: Make, case: Case) -> None:
    """Nothing is lost under any timing; the order may be another.

    Raises:
        Broken: Two timings gave different results.
    """
    one, other, lanes = _two_timings(make, case)
    words = difference(sorted(map(json.dumps, one)), sorted(map(json.dumps, other)))
    if words is not None:
        raise Broken(f"another timing lost something, in {words}", lanes)


def _two_timings(make: Make, case: Case) -> tuple[list[Any], list[Any], Lanes]:
    one, lanes = _came_to(make, replace(case, pace=(), late=False))
    other, other_lanes = _came_to(make, case)
    return one, other, [*lanes, ("the other:", ""), *other_lanes]


def _came_to(make: Make, case: Case) -> tuple[list[Any], Lanes]:
    with World(case.pace) as world:
        audience = Audience(world, "0")
        source = played(world, case.source, by_turns=case.in_turn)
        if case.late:
            source = ended(world, source)
        output = world.do(lambda: make(world)(source))
        watch = world.do(lambda: audience.attend(output))
        world.run(2 * HORIZON)
        came = [shape(value) for value in watch.values]
        end = repr(watch.events[-1][2]) if watch.end == "error" else watch.end
        lanes = audience.drawn()
        world.do(audience.leave)
        return [*came, ["end", end]], lanes
