"""Lanes to draw: some that are told of by name, and random ones for what must hold of every picture."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rxagents.testing.lanes import Called, Event, Kind, Lane, Returned, moment

__all__ = ["failed", "lane", "lanes", "long_run", "message", "team", "tools"]


def lane(
    *events: tuple[float, Kind, Any] | tuple[float, Kind], name: str = "", speaker: str = "", **detail: Any
) -> Lane:
    detail |= {"name": speaker} if speaker else {}
    return Lane(tuple(Event(*event) for event in events), name, detail=detail)


def message(at: float, *tokens: str, step: float = 1.0, ending: Kind = "completed", **detail: Any) -> Lane:
    events = [Event(at + step * number, "next", token) for number, token in enumerate(tokens, 1)]
    end = Event(at + step * (len(tokens) + 1), ending, detail.pop("error", None))
    return Lane((*events, end), detail=detail)


def tools() -> Lane:
    said = lane(
        (1, "next", "Let"),
        (2, "next", " me"),
        (3, "next", " see"),
        (4, "call", Called("get_id", {"customer": 17}, "c1")),
        (4, "call", Called("get_date", {}, "c2")),
        (9, "result", Returned("Monday", "get_date", "c2")),
        (10, "result", Returned("214", "get_id", "c1")),
        (11, "next", "Order"),
        (12, "next", " 214"),
        (13, "completed"),
    )
    return lane((0, "open", lane((0, "open", said), (13, "completed"), name="clerk")), (13, "completed"))


def failed(error: Exception) -> Lane:
    said = message(1, "Well", " let", step=2, ending="error", error=error)
    bot = lane((1, "open", said), (7, "error", error), name="bot")
    return lane((0, "open", bot), (7, "error", error))


def team() -> Lane:
    writer = lane((1, "open", message(1, "Once", " upon", name="writer")), (4, "completed"), name="writer")
    critic = lane((5, "open", message(5, "Too", " long", name="critic")), (8, "completed"), name="critic")
    desk = lane(
        (1, "state", "choice:writer"),
        (1, "open", writer),
        (5, "state", "choice:critic"),
        (5, "open", critic),
        (8, "completed"),
        name="desk",
    )
    question = lane((0, "next", "Tell me a story."), (0, "completed"), role="user")
    outer = lane(
        (0.5, "state", "choice:desk"),
        (0.5, "open", desk),
        (8.5, "state", "stop:enough"),
        (8.5, "completed"),
        name="team",
    )
    return lane((0, "open", question), (0, "open", outer), (8.5, "completed"))


def long_run() -> Lane:
    """60 messages with 50 tokens each, over 40 minutes."""
    spoken = [
        lane(
            *[(40 * n + 0.03 * k, "next", f" word{k}") for k in range(50)],
            (40 * n + 2, "completed"),
            role="assistant",
        )
        for n in range(60)
    ]
    blocks = [
        lane((40 * n, "open", said), (40 * n + 2, "completed"), name=f"agent{n % 3}")
        for n, said in enumerate(spoken)
    ]
    return lane(*[(40 * n, "open", block) for n, block in enumerate(blocks)], (2400, "completed"))


_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
_TEXTS = st.sampled_from(["Hello", " there", ",", "\n", "你好", "👩‍💻", "", "<b>&'\"", "a" * 60]) | _ANY_TEXT
_NAMES = st.sampled_from(["bot", "clerk", "get_order_id"]) | _ANY_TEXT
_GAPS = st.sampled_from([0.0, 0.0, 1e-6, 0.0004, 0.03, 0.5, 1.0, 7.0, 600.0]) | st.floats(0, 1e5)
_MARKS: dict[Kind, st.SearchStrategy[object]] = {
    "next": _TEXTS | st.integers() | st.tuples(_TEXTS),
    "call": st.builds(
        Called, _NAMES, st.none() | _TEXTS | st.dictionaries(_TEXTS, _TEXTS, max_size=2), _NAMES
    ),
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
