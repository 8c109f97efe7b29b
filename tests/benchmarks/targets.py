"""The targets: what the issue asks for, what a run came to, and what a run is held to.

A brief run is held to less: it runs on any machine, beside anything. Its margins still break when
something is lost that was gained. One that was not measured is missed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .roster import BARE, BLOCKING, CLIENT, DISPOSED, FAST, FAST_CLIENT, FLOOR, OPENAI, STEEP
from .rounds import Bench, Row

__all__ = ["Target", "at", "targets"]


class Target(NamedTuple):
    """One line of the issue.

    Args:
        number: That of the target in the issue; 0 is for the bench itself.
        what: What is compared.
        value: What this run came to; None if it could not be measured.
        unit: Of the value; empty for a ratio.
        issue: What the issue asks for.
        held_to: What this run is held to.
        least: Whether the value must be at least that, instead of at most.
    """

    number: int
    what: str
    value: float | None
    unit: str
    issue: float
    held_to: float
    least: bool = False

    @property
    def held(self) -> bool:
        return self.within(self.held_to)

    def within(self, limit: float) -> bool:
        if self.value is None:
            return False
        return self.value >= limit if self.least else self.value <= limit


def at(values: Sequence[float], part: float) -> float:
    """The value below which that part of them lies."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def targets(bench: Bench, others: dict[str, float], *, brief: bool) -> list[Target]:
    """All that the run could measure.

    Args:
        bench: The measurements.
        others: Those that no worker made, by their names: `depth`, `level`, `turns`, `import`, `names`.
        brief: Whether this is the brief run.
    """
    rows = {
        entry: bench.rows.get(entry.name, Row(entry.name))
        for entry in (BARE, BLOCKING, CLIENT, DISPOSED, FAST, FAST_CLIENT, FLOOR, OPENAI, STEEP)
    }
    bare, floor, ours, fast = rows[BARE], rows[FLOOR], rows[OPENAI], rows[FAST]
    found: list[Target] = []

    def say(
        number: int,
        what: str,
        measure: Callable[[], float],
        issue: float,
        held_briefly: float,
        unit: str = "",
        least: bool = False,
    ) -> None:
        try:
            value: float | None = measure()
        except (IndexError, KeyError, TypeError, ValueError, statistics.StatisticsError):
            value = None  # a part of it is missing
        found.append(Target(number, what, value, unit, issue, held_briefly if brief else issue, least))

    say(0, "the server's CPU / the floor's", lambda: bench.server["server"] / bench.server["floor"], 0.8, 0.8)
    say(1, "burst: bare / rxagents", lambda: _ratio(bare.burst, ours.burst), 8, 5, least=True)
    say(1, "burst: bare / rxagents, fast", lambda: _ratio(bare.burst, fast.burst), 20, 10, least=True)
    say(1, "burst, padded: bare / rxagents", lambda: _ratio(bare.padded, ours.padded), 8, 4, least=True)
    say(
        1, "burst, padded: bare / rxagents, fast", lambda: _ratio(bare.padded, fast.padded), 20, 8, least=True
    )
    say(1, "burst: rxagents, fast / floor", lambda: _ratio(fast.burst, floor.burst), 2, 3.5)
    say(2, "one read per token: rxagents / bare", lambda: _ratio(ours.paced, bare.paced), 0.45, 0.8)
    say(2, "one read per token: rxagents, fast / bare", lambda: _ratio(fast.paced, bare.paced), 0.25, 0.6)
    say(3, "a token: 20 levels / 1", lambda: others["depth"], 1.05, 1.15)
    say(3, "setting a level up", lambda: others["level"], 40, 200, "µs")
    # wall time, and of sixty requests the p99 is the slowest one: a brief run hears the machine in it
    for part, name, briefly in ((0.5, "p50", 3), (0.99, "p99", 20)):
        for row, way, most in ((ours, "rxagents", 1.0), (fast, "rxagents, fast", 0.5)):
            say(4, f"first token, {name}: {way} / bare", _first(row, bare, part), most, briefly)
    say(4, "first token of a new process: rxagents / bare", lambda: _cold(ours, bare), 1, 1.5)
    say(4, "first token of a new process: rxagents, fast / bare", lambda: _cold(fast, bare), 1, 1.5)
    theirs = "openai and reactivex"
    say(4, f"`import rxagents` / {theirs}", lambda: others["import"], 1.3, 1.5)
    say(4, f"importing Agent, OpenAILLM, Team, Workflow / {theirs}", lambda: others["names"], 1.3, 2.2)
    for row, way in ((ours, "rxagents"), (fast, "rxagents, fast")):
        say(5, f"a history of {bench.sizes.messages}: {way}", _median(row.history), 5, 20, "ms")
    say(5, "a late turn / an early one", lambda: others["turns"], 1.25, 1.25)
    ideal = bench.sizes.stream_tokens * bench.sizes.stream_gap / 1e6
    streams = f"{bench.sizes.streams} streams"
    for row, client, way, most, room in (
        (fast, rows[FAST_CLIENT], "rxagents, fast", 1.15, 2.5),
        (ours, rows[CLIENT], "rxagents", 1.6, 3.5),
    ):
        say(6, f"{streams}, wall / ideal: {way}", _of_streams(row, "wall", ideal), most, room)
        say(6, f"{streams}, p99 lag: {way}", _of_streams(row, "lag_p99"), 100, 1_000, "ms")
        say(6, f"{streams}, memory of one, beside its client's: {way}", _beside(row, client), 60, 90, "KiB")
        say(6, f"{streams}, lost tokens: {way}", _of_streams(row, "lost"), 0, 0)
        if bench.sizes.many:
            say(6, f"{bench.sizes.many} streams, lost tokens: {way}", _lost_of_many(row), 0, 0)
    left: list[tuple[str, Row, str]] = [
        ("broken out of", fast, "broken"),
        ("broken out of, 20 deep", rows[STEEP], "broken"),
        ("broken out of, openai's transport", ours, "broken"),
        ("cancelled, 20 deep", rows[STEEP], "cancelled"),
        ("disposed, 20 deep", rows[DISPOSED], "broken"),
    ]
    for way, row, how in left:
        say(7, f"closed after being {way}", _left(row, how), 5, 25, "ms")
    say(8, "run_stream above arun_stream", lambda: _above(rows[BLOCKING], fast), 2, 6, "µs a marker")
    return found


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows one round slows both in it."""
    return statistics.median(one / other for one, other in zip(these, those, strict=True))


def _above(row: Row, base: Row) -> float:
    return statistics.median(one - other for one, other in zip(row.burst, base.burst, strict=True))


def _median(values: Sequence[float]) -> Callable[[], float]:
    return lambda: statistics.median(values)


def _first(row: Row, bare: Row, part: float) -> Callable[[], float]:
    return lambda: at(row.first, part) / at(bare.first, part)


def _cold(row: Row, bare: Row) -> float:
    return statistics.median(row.cold) / statistics.median(bare.cold)


def _of_streams(row: Row, what: str, ideal: float = 1) -> Callable[[], float]:
    return lambda: statistics.median(each[what] for each in row.streams) / ideal


def _beside(row: Row, client: Row) -> Callable[[], float]:
    """What a stream occupies above what the client that is under it does."""
    return lambda: _of_streams(row, "kib")() - _of_streams(client, "kib")()


def _lost_of_many(row: Row) -> Callable[[], float]:
    def lost() -> float:
        if row.many is None:
            raise ValueError("there were not so many")
        return float(row.many["lost"])

    return lost


def _left(row: Row, how: str) -> Callable[[], float]:
    def median() -> float:
        if row.left != "closed":
            raise ValueError("it was not closed")
        return statistics.median(row.broken if how == "broken" else row.cancelled)

    return median
