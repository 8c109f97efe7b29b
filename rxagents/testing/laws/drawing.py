"""What hypothesis draws: conversations, and what happens to them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .cases import Case
from .talks import Talk, Words

__all__ = ["cases", "conversations", "words"]

# the simpler a mark, the further to the front: hypothesis shrinks towards it
_TOKENS = "a-b.o?~$1="
_ITEMS = "m-uswBARCT"
_BLOCKS = "BARC"
_END = st.sampled_from("|||||#")
_ENDS = st.sampled_from(["|", "|", "|", "|", "#", "", "%"])
_QUEUED = st.sampled_from([True, True, True, False])


def _lane(marks: str, size: int) -> SearchStrategy[str]:
    return st.text(marks, max_size=size)


_LANES = {size: _lane(_TOKENS, size) for size in (4, 6)}
_CALM_END = st.just("|")


@st.composite
def words(draw: DrawFn, calm: bool = False, size: int = 6) -> Words:
    """A message. A calm one neither fails nor goes on for ever."""
    lane = draw(_LANES[size])
    return Words(lane + ("|" if calm else draw(_ENDS)), draw(_QUEUED))


_FLAT, _NESTED, _STOPPING = _lane("m-usw", 5), _lane(_ITEMS, 5), _lane(_ITEMS + "xX", 5)


@st.composite
def conversations(draw: DrawFn, calm: bool = False, depth: int = 2, stops: bool = False) -> Talk:
    """A conversation: messages, blocks, states, in any order, at any time.

    Args:
        draw: As hypothesis gives it.
        calm: Whether all of it comes to its end, and nothing fails.
        depth: How deeply blocks may nest.
        stops: Whether stops may be in it.
    """
    return _talk(draw, calm, depth, stops)


def _talk(draw: DrawFn, calm: bool, depth: int, stops: bool) -> Talk:
    lane = draw((_STOPPING if stops else _NESTED) if depth else _FLAT)
    parts: list[Words | Talk] = []
    for mark in lane:
        if mark == "m":
            parts.append(Words(draw(_LANES[4]) + ("|" if calm else draw(_ENDS)), draw(_QUEUED)))
        elif mark in _BLOCKS:
            parts.append(_talk(draw, calm, depth - 1, stops))
    return Talk(lane + ("|" if calm else draw(_ENDS)), tuple(parts), draw(_QUEUED))


_READERS = st.sampled_from(["", "0", "00", "02", "1", "010"])
_TIMES = st.sampled_from([None, None, None, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.5])
_PLACES = st.sampled_from([None, None, None, 1, 2, 3, 5])
_OPTIONS = st.sampled_from(["", "i", "s", "is"])
_PACES = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple)


@st.composite
def cases(draw: DrawFn, law: str, hostile: bool = False) -> Case:
    """What happens in an example of a law.

    Args:
        draw: As hypothesis gives it.
        law: Its name: only what it looks at is drawn.
        hostile: Whether subscribers may raise; those of reactivex do not survive it.
    """
    calm = law == "timing"
    source = _talk(draw, calm, 2, stops=not calm)
    raises = draw(_PLACES) if hostile and law in ("contract", "release", "replay", "balance") else None
    if law in ("contract", "release"):
        return Case(source, draw(_READERS), draw(_TIMES), draw(_PLACES), raises)
    if law == "replay":
        readers = draw(st.sampled_from(["00", "02", "01", "012", "1"]))
        return Case(source, readers, draw(_TIMES), draw(_PLACES), raises)
    if law == "balance":
        return Case(source, "", draw(_TIMES), draw(_PLACES), raises, draw(_OPTIONS))
    if law == "folding":
        then = _talk(draw, False, 1, stops=True)
        return Case(source, leave_at=draw(_TIMES), then=then)
    if law == "wrapping":
        return Case(source, leave_at=draw(_TIMES), depth=draw(st.integers(1, 3)))
    return Case(source, pace=draw(_PACES), in_turn=draw(st.booleans()))
