"""Lanes as text: how the sources of an example are written, and how what was seen is drawn.

```
a-b--|     a at once, b a second later, the end two seconds after that
ab|        all at once
a-#        fails after a second; of a lane without an end, nothing more ever comes
```

A mark takes no time here, unlike in a marble diagram: `-` is a second, and what stands together happens
at one instant. So every timing can be written, and a shorter text is a simpler example.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["drawn", "steps"]


def steps(lane: str) -> list[tuple[int, str]]:
    """The marks of a lane, each with the seconds since the mark before it."""
    found: list[tuple[int, str]] = []
    gap = 0
    for mark in lane:
        if mark == "-":
            gap += 1
        else:
            found.append((gap, mark))
            gap = 0
    return found


def drawn(events: Iterable[tuple[float, str]]) -> str:
    """What happened as a lane: words in place of marks, and `-` for each second before them."""
    parts: list[str] = []
    now = 0.0
    for at, word in events:
        seconds, rest = divmod(at - now, 1)
        if seconds > 9 or rest > 1e-6:
            parts.append(f"…{at - now:g}s…")
        elif seconds:
            parts.append("-" * int(seconds))
        parts.append(word)
        now = at
    return " ".join(parts)
