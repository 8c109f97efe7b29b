"""Random lanes, for what must hold of every picture."""

from __future__ import annotations

from hypothesis import strategies as st

from rxagents.testing.lanes import Called, Event, Kind, Lane, Returned, moment

__all__ = ["lanes"]

_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
_TEXTS = st.sampled_from(["Hello", " there", ",", "\n", "你好", "👩‍💻", "", "<b>&'\"", "a" * 60]) | _ANY_TEXT
_NAMES = st.sampled_from(["bot", "clerk", "get_order_id"]) | _ANY_TEXT
_GAPS = st.sampled_from([0.0, 0.0, 1e-6, 0.0004, 0.03, 0.5, 1.0, 7.0, 600.0]) | st.floats(0, 1e5)
_MARKS: dict[Kind, st.SearchStrategy[object]] = {
    "next": _TEXTS | st.integers() | st.tuples(_TEXTS),
    "call": st.builds(Called, _NAMES, st.none() | _TEXTS | st.dictionaries(_TEXTS, _TEXTS, max_size=2), _NAMES),
    "result": st.builds(Returned, _TEXTS, _NAMES, _NAMES),
    "message": _TEXTS,
    "state": st.sampled_from(["choice:clerk", "choice:", "usage", ""]) | _TEXTS,
}
_DETAILS = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "assistant", None]), "name": st.none() | _NAMES}
)


@st.composite
def lanes(draw: st.DrawFn, depth: int = 3, begins: float = 0.0) -> Lane:
    """A lane with whatever there may be on it, and lanes within it."""
    at = begins
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 8))):
        at = moment(at + draw(_GAPS))
        kind = draw(st.sampled_from(["next", "next", "next", *_MARKS, *(["open"] * 2 if depth else [])]))
        value = draw(lanes(depth - 1, at)) if kind == "open" else draw(_MARKS[kind])
        events.append(Event(at, kind, value))
    end = draw(st.sampled_from([None, "completed", "interrupted", "error"]))
    if end is not None:
        error = ValueError(draw(_TEXTS)) if end == "error" else None
        events.append(Event(moment(at + draw(_GAPS)), end, error))
    return Lane(tuple(events), draw(st.just("") | _NAMES), detail=draw(_DETAILS))
