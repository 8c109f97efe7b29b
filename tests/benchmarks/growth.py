"""The laws of growth: what a token, a turn and a message cost against how much of all there is.

They are measured in this process, without a server: what is looked at is the library's own work, and
how it grows. Each law is held to a ratio, so that the speed of the machine is of no account.
"""

from __future__ import annotations

from typing import NamedTuple

from . import growth_of_costs as costs
from . import growth_of_memory as memory

__all__ = ["Law", "laws"]


class Law(NamedTuple):
    """How something grows.

    Args:
        name: What is measured.
        against: What grows: the first number of each point.
        unit: Of the second number of each point.
        points: Pairs of how much there is and what it costs then.
        ratio: What it costs at the last point, that at the first being 1.
        at_most: What the ratio is held to.
    """

    name: str
    against: str
    unit: str
    points: list[tuple[int, float]]
    ratio: float
    at_most: float

    @property
    def held(self) -> bool:
        """Whether it keeps to its bound."""
        return self.ratio <= self.at_most

    @property
    def line(self) -> str:
        """For the report."""
        points = " · ".join(f"{at:,}: {_short(value)}" for at, value in self.points)
        return (
            f"{self.name}, {self.unit}, against {self.against}: {points}; "
            f"last / first {self.ratio:.2f} (held to {self.at_most:.2f})"
        )


def laws(*, quick: bool) -> list[Law]:
    """Measures all of them; quick, with smaller numbers, takes some seconds."""
    tokens, rounds = (4_000, 15) if quick else (10_000, 30)
    turns = 600 if quick else 4_000
    sizes = (60, 600) if quick else (1_000, 10_000)
    # some milliseconds of CPU time tell no finer; what grew with the depth would be a multiple
    within, steady = (1.15, 1.5) if quick else (1.05, 1.3)
    return [
        Law("a token", "depth", "µs", *costs.per_token_by_depth(tokens, rounds), at_most=within),
        Law("a level, set up once", "depth", "µs", *costs.per_level(rounds * 2), at_most=steady),
        Law(
            "a token for a subscriber",
            "subscribers to one message",
            "µs",
            *costs.per_token_by_subscribers(tokens // 4, rounds),
            at_most=1.0,
        ),
        Law("a turn", "turns before it", "µs", *costs.per_turn(turns, 3), at_most=1.25),
        Law("a message held", "messages", "bytes", *memory.per_message(sizes), at_most=1.1),
        Law("an open stream", "open streams", "KiB", *memory.per_stream((10, 100)), at_most=1.1),
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
