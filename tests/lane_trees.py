"""Random recordings: whole trees of lanes, for properties of the marble language."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rxagents.testing.lanes import Called, Event, Lane, Returned, moment
from rxagents.testing.language.diagrams import MarbleError

SHARED = ValueError("shared")
CARELESS = ["", " ", "  a", "a b", "_", "a_b", "m", "m1", "m12", "v1", "e1", "e2", "b1", "bot", "bot.2", "x"]
MARKED = ["-", "|", "a|", "#e1", "(", "~", "^", "^a", "a^", "'", "it's", "@bot", "=1", "[a]", "<a>", "a=b'c"]
ODD = [
    "5s",
    "1.5m",
    "5s_",
    "\n",
    "\t",
    "\\",
    "\\n",
    "\u2028",
    "\x1b[0m",
    "é",
    "漢字",
    "👩\u200d🚀",
    "\U000e0001",
    "…",
]

TOKENS = st.one_of(st.sampled_from(CARELESS + MARKED + ODD), st.text(max_size=8))
NAMES = st.one_of(
    st.sampled_from(CARELESS + MARKED + ODD), st.sampled_from(["bot", "a.b", "bot.", "order-agent"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TOKENS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TOKENS, inner, max_size=3),
    max_leaves=4,
)
OBJECTS = st.sampled_from([object(), str, type("Word", (str,), {})("word"), (1, [2]), {3}, b"4", lambda: 5])
ERRORS = st.one_of(
    st.sampled_from([MarbleError(), MarbleError("other"), SHARED]),
    st.builds(ValueError, TOKENS),
    st.builds(KeyError),
)
CALLS = st.builds(Called, TOKENS, st.none() | st.dictionaries(TOKENS, JSON, max_size=3) | TOKENS)
PLAIN: list[st.SearchStrategy[tuple[str, Any]]] = [
    st.tuples(st.just("next"), TOKENS),
    st.tuples(st.just("next"), TOKENS),
    st.tuples(st.just("next"), JSON | OBJECTS | ERRORS | CALLS),
    st.tuples(st.just("call"), CALLS),
    st.tuples(st.just("result"), st.builds(Returned, TOKENS)),
    st.tuples(st.just("message"), TOKENS),
    st.tuples(st.just("state"), TOKENS),
]
ENDS = st.one_of(
    st.none(),
    st.sampled_from([("completed", None), ("interrupted", None)]),
    st.tuples(st.just("error"), ERRORS),
)
STEPS = st.one_of(
    st.just(0),
    st.integers(0, 12).map(lambda seconds: seconds * 10**6),
    st.integers(0, 3000).map(lambda milliseconds: milliseconds * 1000),
    st.integers(0, 50),
    st.integers(0, 3 * 24 * 3600 * 10**6),
)


@st.composite
def lane_trees(draw: st.DrawFn, depth: int = 4, begin: int = 0) -> Lane:
    """A lane that begins at that microsecond, with lanes within it up to that depth."""
    at = begin
    events: list[Event] = []
    kinds = [*PLAIN, st.just(("open", None))] if depth else PLAIN
    for kind, value in draw(st.lists(st.one_of(kinds), max_size=4)):
        at += draw(STEPS)
        inner = draw(lane_trees(depth - 1, at)) if kind == "open" else value
        events.append(Event(moment(at / 10**6), kind, inner))
    end = draw(ENDS)
    if end is not None:
        at += draw(STEPS)
        events.append(Event(moment(at / 10**6), *end))
    return Lane(tuple(events), name=draw(st.just("") | NAMES))
