"""What hypothesis draws: trees of every agent, team and operator of the package."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from .casts import Bot, Crew, Named, Person
from .drawing import lanes
from .lineups import Contest, Line, Order, Relay, Rounds, Side
from .plans import Maps, Pipe, Plan, Reads, Shares, Takes, Transforms, Until, View
from .replies import Hears, Replies
from .talks import Words

__all__ = ["trees"]

_PART = lanes("a-b.o?~$=", 4)
_ASKING = lanes("a-12.$9", 4)
_DELEGATING, _CALM_DELEGATING = lanes("a-1556789", 4), lanes("a-1578", 4)
_END = st.sampled_from(["|", "|", "|", "|", "|", "#", "", "%", "!"])
_CALM_TOOLS, _TOOLS = lanes("nwx", 2), lanes("nwxsv", 2)
_THREADS = st.sampled_from(["", "", "", "", "", "", "", "t", "z"])
_ROUTER, _CALM_ROUTER = lanes("01-2x#!", 3), lanes("01-2", 3)
_FOLLOW = st.sampled_from([None, None, None, ("1", "0"), ("12", "", "0"), ("", "0", "1"), ("01", "012", "1")])
_CALM_FOLLOW = st.sampled_from([None, None, ("012", "012", "012"), ("", "", "")])
_ANSWERS, _CALM_ANSWERS = lanes("ane.!iv", 2), lanes("an", 2)
_THINGS, _CALM_THINGS = lanes("wm-nldscobae!", 4), lanes("wm-nldscoba", 4)
_SMALL = st.integers(0, 11)
_SIDES, _CALM_SIDES = st.sampled_from(["", "", "m", "k", "mk"]), st.sampled_from(["m", "mk"])
_WINNERS = st.sampled_from("ttrren!")
_SELECTED = st.one_of(lanes("01-2nx|#%", 5), st.sampled_from(["p", "p", "0--1|", "0-1--0|"]))
_HOW, _LIVE, _CALM_LIVE = st.sampled_from("rcgy"), st.sampled_from("epwfi!h"), st.sampled_from("epwi")
_MAPS, _TRANSFORMS = st.sampled_from("ud!"), st.sampled_from("p2sf!")
_CALM_MAPS, _CALM_TRANSFORMS = st.sampled_from("ud"), st.sampled_from("p2s")
# who wins a race, or is cut by a switch, depends on the time
_CALM_TEAMS = ["crew", "crew", "order", "line", "line", "rounds", "side", "relay"]
_TEAMS = [*_CALM_TEAMS, "side", "relay", "contest", "contest"]
_RARELY = st.sampled_from([False, False, True])
_UPDATES, _CALM_UPDATES = (
    st.sampled_from(["", "", "", "r", "n", "f", "!"]),
    st.sampled_from(["", "", "r", "n", "f"]),
)
_READS, _CALM_READS = st.sampled_from("lkb!"), st.sampled_from("lkb")
_SIGNAL = st.sampled_from(
    ["--s|", "-s", "s|", "---s|", "-|", "--#", "", "-----s|", "#", "--ss", "p", "p", "p"]
)
_VIEWS = st.sampled_from(
    ["text", "deltas", "messages", "responses", "answer", "markers", "transcript", "text", "markers"]
)
_OPTIONS = st.sampled_from(["", "o", "i", "a", "ia", "o", "oia", "s", "is"])


@st.composite
def trees(draw: DrawFn, *, calm: bool = False, views: bool = False) -> Pipe:
    """A pipe of agents, teams and operators.

    Args:
        draw: As hypothesis gives it.
        calm: Whether all of it comes to its end, nothing fails, and nothing depends on the time.
        views: Whether a view may be at its end.
    """
    plans = _pipe(draw, calm, 2)
    if views and draw(st.booleans()):
        options = draw(_OPTIONS)
        plans.append(View(draw(_VIEWS), "i" * ("i" in options) if calm else options))
    return Pipe(tuple(plans))


def _pipe(draw: DrawFn, calm: bool, depth: int) -> list[Plan]:
    return [_operator(draw, calm, depth) for _ in range(draw(st.integers(0, 2)) + 1)]


def _operator(draw: DrawFn, calm: bool, depth: int) -> Plan:
    kind = draw(_SMALL)
    if kind < 5:
        return _participant(draw, calm, depth)
    if kind == 5:
        return Reads(draw(_CALM_READS if calm else _READS))
    if kind == 6:
        return Maps(draw(_CALM_MAPS if calm else _MAPS))
    if kind == 7:
        return Transforms(draw(_CALM_TRANSFORMS if calm else _TRANSFORMS))
    if kind == 8 or calm:
        return Shares()
    if kind in (9, 10):
        return Until(draw(_SIGNAL))
    return Takes(draw(st.integers(1, 3)))


def _participant(draw: DrawFn, calm: bool, depth: int) -> Plan:
    kind = draw(_SMALL) if depth else draw(st.integers(0, 7))
    if kind < 4:
        return _bot(draw, calm, depth)
    if kind == 4:
        return Person(draw(_CALM_ANSWERS if calm else _ANSWERS) + draw(_THREADS))
    if kind == 5:
        return Hears(draw(_CALM_LIVE if calm else _LIVE))
    if kind < 8:
        return _replies(draw, calm, depth)
    if kind < 11:
        return _composition(draw, calm, depth)
    return Named(Pipe(tuple(_pipe(draw, calm, depth - 1))))


def _composition(draw: DrawFn, calm: bool, depth: int) -> Plan:
    members = tuple(_participant(draw, calm, depth - 1) for _ in range(draw(st.integers(1, 3))))
    kind = draw(st.sampled_from(_CALM_TEAMS if calm else _TEAMS))
    if kind == "side":
        return Side(members, draw(_CALM_SIDES if calm else _SIDES), draw(st.sampled_from([0, 0, 1, 2])))
    if kind == "relay":
        return Relay(members, draw(_CALM_ROUTER if calm else _SELECTED), calm or draw(_RARELY))
    if kind == "contest":
        return Contest(members, draw(_WINNERS))
    if kind == "order":
        return Order(members, draw(st.sampled_from(["", "", "be brief"])))
    if kind == "line":
        if calm:  # those who hear live speak side by side, and then there is no order between them
            members = members[:1] + tuple(m for m in members[1:] if not isinstance(m, Hears | Named | Line))
        return Line(members, draw(st.booleans()))
    if kind == "rounds":
        return Rounds(members, draw(st.integers(1, 3)), draw(st.sampled_from([0, 0, 3, 0 if calm else -1])))
    router = draw(_CALM_ROUTER if calm else _ROUTER)
    follow = draw(_CALM_FOLLOW if calm else _FOLLOW)
    stop = draw(st.sampled_from([0, 0, 0, 1, 3, 0 if calm else -1]))
    return Crew(members, router, follow, draw(st.integers(1, 3)), stop)


def _bot(draw: DrawFn, calm: bool, depth: int) -> Bot:
    asks: tuple[Plan, ...] = ()
    hands: tuple[Plan, ...] = ()
    asking = _ASKING
    if depth and draw(_SMALL) > 9:
        # where two are asked at once, who begins first depends on the time
        asks = _cast(draw, calm, depth, 1 if calm else 2)
        hands = _cast(draw, calm, depth, 2)
        asking = _CALM_DELEGATING if calm else _DELEGATING
    answers = tuple(draw(asking) + ("|" if calm else draw(_END)) for _ in range(draw(st.integers(1, 3))))
    if calm:
        answers = tuple(_once("5", answer) for answer in answers)
        if all(set("125789").intersection(answer) for answer in answers):
            answers = (*answers, "a|")  # or it would call tools for ever
    answers = tuple("!" if answer.endswith("!") else answer for answer in answers)
    tools = draw(_CALM_TOOLS if calm else _TOOLS) + draw(_THREADS)
    update = draw(_CALM_UPDATES if calm else _UPDATES)
    if not (asks or hands):
        return Bot(answers, tools, 8 if calm else 3, update)
    back = not calm and draw(st.booleans())
    return Bot(answers, tools, 8 if calm else 3, update, asks, hands, back, draw(st.booleans()))


def _cast(draw: DrawFn, calm: bool, depth: int, most: int) -> tuple[Plan, ...]:
    return tuple(_participant(draw, calm, depth - 1) for _ in range(draw(st.integers(0, most))))


def _once(mark: str, lane: str) -> str:
    first = lane.find(mark) + 1
    return lane[:first] + lane[first:].replace(mark, "") if first else lane


def _replies(draw: DrawFn, calm: bool, depth: int) -> Replies:
    things = draw(_CALM_THINGS if calm else _THINGS)
    parts: list[Words | Plan] = []
    for thing in things:
        if thing in "mbo":
            lane = draw(_PART)
            lane = lane.translate(_STRINGS) if thing == "o" else lane
            parts.append(Words(lane + ("|" if calm else draw(_END).replace("!", "|"))))
        elif thing == "a":
            parts.append(_participant(draw, calm, depth - 1) if depth else Bot())
    return Replies(things, tuple(parts), draw(_HOW))


_STRINGS = str.maketrans(dict.fromkeys("a.o?~$=", "b"))
