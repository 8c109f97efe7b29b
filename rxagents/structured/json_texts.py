"""Where the JSON is in what a model said: bare, in a fence, or among other words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

__all__ = ["json_candidates"]

_OPENING = re.compile(r"```[\w+-]*[ \t]*\r?\n?")
_decoder = json.JSONDecoder()


def json_candidates(text: str) -> Iterator[str]:
    """The parts of a text that may be the JSON that was asked for, the likeliest first.

    The whole text, the contents of its first fence, and what begins with its first brace and its first
    bracket. At most five, so that a long text costs no more than reading it five times.
    """
    bare = text.strip()
    yield bare
    opening = _OPENING.search(bare)
    if opening is not None:
        # The last closing: JSON may have fences in its strings.
        closing = bare.rfind("```")
        yield bare[opening.end() : closing if closing > opening.start() else None].strip()
        first = bare.find("```", opening.end())
        if first not in (-1, closing):
            yield bare[opening.end() : first].strip()
    for start in sorted(at for at in (bare.find("{"), bare.find("[")) if at >= 0):
        try:
            _, end = _decoder.raw_decode(bare, start)
        except (ValueError, RecursionError):
            continue
        yield bare[start:end]
