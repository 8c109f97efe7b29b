"""Where each moment stands in a picture: time is stretched where much happens, and silence cut short."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

__all__ = ["Demand", "TimeMap", "moments_of", "time_map"]

_MERGED = 0.001
_SILENT = 10.0
_WORTHWHILE = 2.0
_PROPORTION = 0.4
_LOOSE = 1.25
_STEPS = 20


@dataclass(frozen=True, slots=True)
class Demand:
    """A room that is wanted between two moments.

    Args:
        start: The index of the first moment.
        end: The index of the other.
        room: How wide it would like to be.
        weight: How much more it matters than others when there is not room for all.
    """

    start: int
    end: int
    room: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TimeMap:
    """The moments, and where each stands.

    Args:
        moments: In seconds, ascending.
        places: One for each moment, ascending.
        breaks: After which moments (their indices) a silence was cut short.
    """

    moments: tuple[float, ...]
    places: tuple[float, ...]
    breaks: tuple[int, ...]

    def index(self, at: float) -> int:
        """The index of the moment to which a time belongs."""
        return max(bisect_right(self.moments, at) - 1, 0)

    def of_moment(self, at: float) -> float:
        """Where what happened then is drawn."""
        return self.places[self.index(at)]

    def between(self, at: float) -> float:
        """Where a time stands, be anything drawn there or not."""
        index = self.index(at)
        if index + 1 >= len(self.moments):
            return self.places[index]
        start, end = self.moments[index : index + 2]
        share = (at - start) / (end - start)
        return self.places[index] + share * (self.places[index + 1] - self.places[index])


def moments_of(times: Iterable[float]) -> tuple[float, ...]:
    """The times, without those that are the same moment to the eye: a millisecond, in a short run less."""
    ordered = sorted(set(times))
    near = min(_MERGED, (ordered[-1] - ordered[0]) / 500)
    moments = ordered[:1]
    for at in ordered:
        if at - moments[-1] > near:
            moments.append(at)
    return tuple(moments)


def time_map(
    moments: Sequence[float],
    demands: Sequence[Demand],
    *,
    narrow: float,
    wide: float,
    cut: float,
    whole: bool,
) -> TimeMap:
    """Places the moments.

    Proportion comes first, with long silences cut short; then what is to be drawn gets its room. When
    that is more than there is, everything gets less.

    Args:
        moments: In seconds, ascending.
        demands: What is to be drawn.
        narrow: How wide the picture is at the least.
        wide: How wide at the most.
        cut: How wide a cut silence would like to be.
        whole: Whether places are whole numbers.
    """
    gaps = [after - before for before, after in pairwise(moments)]
    longest = _longest(gaps)
    drawn = [longest if gap > _WORTHWHILE * longest else gap for gap in gaps]
    breaks = tuple(index for index, gap in enumerate(gaps) if drawn[index] < gap)
    total = math.fsum(drawn) or 1.0
    ending: dict[int, list[Demand]] = {}
    for demand in (*demands, *(Demand(index, index + 1, cut, 4.0) for index in breaks)):
        ending.setdefault(demand.end, []).append(demand)

    def place(width: float, strength: float) -> list[float]:
        places = [0.0]
        for index, gap in enumerate(drawn):
            at = places[-1] + width * gap / total
            for demand in ending.get(index + 1, ()):
                at = max(at, places[demand.start] + demand.room * min(strength * demand.weight, 1.0))
            places.append(at)
        return places

    target = min(max(_LOOSE * place(0.0, 1.0)[-1], narrow), wide)
    if place(_PROPORTION * target, 1.0)[-1] <= target:
        places = _fitting(lambda share: place(share * target, 1.0), _PROPORTION, target)
    else:
        places = _fitting(lambda strength: place(_PROPORTION * target, strength), 0.0, target)
    if whole:
        places = [math.floor(at + 0.5) for at in places]
    return TimeMap(tuple(moments), tuple(places), breaks)


def _fitting(place: Callable[[float], list[float]], least: float, target: float) -> list[float]:
    """The widest that is no wider than the target, for a share between the least and 1."""
    low, high = least, 1.0
    if place(high)[-1] <= target:
        return place(high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if place(middle)[-1] <= target:
            low = middle
        else:
            high = middle
    return place(low)


def _longest(gaps: Sequence[float]) -> float:
    """How long a gap is drawn at the most; what is out of the usual, ten times the median, is a silence.

    All silences together take three fifths of the time that is drawn at the most, and one of them a fifth.
    """
    limit = _SILENT * median_low(gaps) if gaps else 0.0
    usual = [gap for gap in gaps if gap <= limit]
    longest = max(math.fsum(usual) / 4, max(usual, default=0.0))
    room = 1.5 * math.fsum(usual)
    silences = sorted(gap for gap in gaps if gap > limit)
    for index, gap in enumerate(silences):
        share = min(room / (len(silences) - index), longest)
        if gap > share:
            return share
        room -= gap
    return math.inf
