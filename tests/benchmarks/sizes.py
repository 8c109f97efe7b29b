"""How much is measured: briefly, or in full."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FULL", "QUICK", "TINY", "Sizes"]


class Sizes(NamedTuple):
    """Rounds and numbers; one more round than said warms up."""

    rounds: int
    burst: int  # tokens
    paced: int  # tokens
    gap: int  # microseconds between two of them
    messages: int
    streams: int
    stream_tokens: int
    stream_gap: int  # microseconds
    stream_rounds: int
    many: int  # streams at once that only have to come through; none if 0
    requests: int  # short ones in a round, for the first token
    leavings: int
    imports: int


FULL = Sizes(
    rounds=9,
    burst=10_000,
    paced=1_000,
    gap=500,
    messages=1_000,
    streams=500,
    stream_tokens=200,
    stream_gap=10_000,
    stream_rounds=3,
    many=5_000,
    requests=60,
    leavings=20,
    imports=7,
)
QUICK = Sizes(
    rounds=5,
    burst=6_000,
    paced=500,
    gap=500,
    messages=1_000,
    streams=100,
    stream_tokens=60,
    stream_gap=10_000,
    stream_rounds=1,
    many=0,
    requests=20,
    leavings=5,
    imports=2,
)
TINY = QUICK._replace(
    rounds=1, burst=50, paced=5, messages=4, streams=3, stream_tokens=3, requests=2, leavings=1, imports=0
)
"""For the test of the benchmark itself."""
