"""What hypothesis draws: conversations, and what happens to them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .cases import Case
from .talks import Talk, Words

__all__ = ["cases", "conversations", "lanes"]

_CODES = "0123456789ABCDEFGHIJ"


def lanes(marks: str, size: int) -> SearchStrategy[str]:
    """Lanes of these marks, the simplest first: what is shrunk becomes shorter, and simpler."""
    codes = _CODES[: len(marks)]  # text shrinks towards "0", whatever the order of its alphabet
    table = str.maketrans(codes, marks)
    return st.text(codes, max_size=size).map(lambda text: text.translate(table))


_TOKENS = lanes("a-b.o?~$1=", 5)
_FLAT, _NESTED, _STOPPING = lanes("m-usw", 5), lanes("m-uswBARCT", 5), lanes("m-uswBARCTxX", 5)
_CHANGING = lanes("m-uswBARCTxXed", 5)
_BLOCKS = "BARC"
_ENDS = st.sampled_from(["|", "|", "|", "|", "#", "", "%"])
_QUEUED = st.sampled_from([True, True, True, False])


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


def _talk(draw: DrawFn, calm: bool, depth: int, stops: bool, *, changing: bool = False) -> Talk:
    lane = draw((_CHANGING if changing else _STOPPING if stops else _NESTED) if depth else _FLAT)
    parts: list[Words | Talk] = []
    for mark in lane:
        if mark == "m":
            parts.append(Words(draw(_TOKENS) + ("|" if calm else draw(_ENDS)), draw(_QUEUED)))
        elif mark in _BLOCKS:
            parts.append(_talk(draw, calm, depth - 1, stops, changing=changing))
    return Talk(lane + ("|" if calm else draw(_ENDS)), tuple(parts), draw(_QUEUED))


_READERS = st.sampled_from(["", "0", "00", "02", "1", "010"])
_TWO = st.sampled_from(["00", "02", "01", "012", "1"])
_TIMES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.5])
_PLACES = st.sampled_from([1, 2, 3, 5, 8])
# leaves at a time, or at an item; raises; presses the buttons
_ACTS, _HOSTILE_ACTS = (
    st.sampled_from(["", "", "t", "t", "l"]),
    st.sampled_from(["", "", "t", "t", "l", "r", "p"]),
)
_OPTIONS = st.sampled_from(["", "i", "s", "is"])
_RARELY = st.sampled_from([False, False, True])
_PACES = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple)


@st.composite
def cases(draw: DrawFn, law: str, hostile: bool = False) -> Case:
    """What happens in an example of a law.

    Args:
        draw: As hypothesis gives it.
        law: Its name: only what it looks at is drawn.
        hostile: Whether a subscriber may raise, which stock operators do not survive, or press a button.
    """
    calm = law in ("timing", "loss")
    # what takes messages away is for the law about folds, and keeps the examples of the others simple
    source = _talk(draw, calm, 2, stops=not calm, changing=law == "folding")
    if calm or law in ("folding", "wrapping"):
        return _compared(draw, law, source)
    readers = ""
    if law == "replay":
        readers = draw(_TWO)
    elif law != "balance":
        readers = draw(_READERS)
    case = Case(source, readers)
    if law == "balance":
        case = replace(case, options=draw(_OPTIONS), late=draw(_RARELY))
    return _disturbed(draw, case, draw(_HOSTILE_ACTS if hostile else _ACTS))


def _disturbed(draw: DrawFn, case: Case, act: str) -> Case:
    if act == "t":
        return replace(case, leave_at=draw(_TIMES))
    if act == "l":
        return replace(case, leave_after=draw(_PLACES))
    if act == "r":
        return replace(case, raise_after=draw(_PLACES))
    if act == "p":
        return replace(case, press_after=draw(_PLACES))
    return case


def _compared(draw: DrawFn, law: str, source: Talk) -> Case:
    """For the laws that compare one run with another."""
    if law in ("timing", "loss"):
        # blocks that stand side by side have no order; of messages, it is that in which they begin
        has_blocks = any(isinstance(part, Talk) for part in source.parts)
        in_turn = draw(st.booleans()) or has_blocks
        if draw(_RARELY):
            return Case(source, in_turn=in_turn, late=True)
        return Case(source, pace=draw(_PACES), in_turn=in_turn)
    if law == "folding":
        case = Case(source, then=_talk(draw, False, 1, stops=True))
    else:
        case = Case(source, depth=draw(st.integers(1, 3)))
    return replace(case, leave_at=draw(_TIMES)) if draw(st.booleans()) else case
