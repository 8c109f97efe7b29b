"""What the model of the watchman says."""

from __future__ import annotations

from . import Body, last

ADVICE = {"fine": "All is well.", "warm": "Open a window.", "hot": "Switch it off!"}


def advised(body: Body) -> str:
    """Advice for the band that the machine is in now."""
    return next(words for band, words in ADVICE.items() if band in last(body, "user"))
