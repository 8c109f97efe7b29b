"""A lane is drawn such that the diagram reads back as the same lane."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import ConfigurationError
from rxagents.testing.lanes import Called, Event, Kind, Lane, Returned, moment
from rxagents.testing.language.comparing import difference
from rxagents.testing.language.diagrams import MarbleError, parse
from rxagents.testing.language.rendering import Diagram, render

from .lane_trees import lane_trees

FRAMES = st.none() | st.sampled_from([1.0, 0.001, 60.0, 1 / 3, 0.07])


@settings(max_examples=300, deadline=None)
@given(lane_trees(), FRAMES)
def test_what_is_drawn_reads_back_as_the_same(lane: Lane, frame: float | None) -> None:
    diagram = render(lane, frame=frame)
    assert diagram.lane() == lane
    assert render(lane, frame=frame) == diagram


@settings(max_examples=100, deadline=None)
@given(lane_trees(), FRAMES)
def test_the_frame_is_the_preferred_one_or_shorter(lane: Lane, frame: float | None) -> None:
    assert render(lane, frame=frame).frame <= (frame or 1.0)


def lane(*events: tuple[float, Any], kind: Kind = "next", name: str = "") -> Lane:
    return Lane(tuple(Event(moment(at), kind, value) for at, value in events), name)


@pytest.mark.parametrize(
    "text",
    [
        "-",
        "--The-cat-sat|",
        "--Well,-_let-me_see~",
        "-(a b|)",
        "--a-(b#)",
        "-@find-@find{}-@find{\"id\": 17}-@'get-order'-@f'no json'|",
        "-=214-=''-='a_'-[Hi there.]-<choice:clerk>|",
        "-''-'a|b'-'\\n'-'\\''-'a_b'-'5s'-'^'-'^a'-a^-it's-'=a'-é-漢字|",
        "bot  --a|",
        "   --m--|\nm  --a|",
        "       --(m1 bot)-bot.2|\nm1     --a--------------\nbot    --a|\nbot.2  -----------m2----\n"
        "m2     -----------'m'|",
        "b1='order-agent'  --b2|\nb2='m1'           --a--",
    ],
)
def test_a_diagram_as_it_is_drawn(text: str) -> None:
    drawn = render(parse(text))
    assert drawn == Diagram(text, 1.0, {})
    assert str(drawn) == text


@pytest.mark.parametrize(
    ("drawn", "text", "frame"),
    [
        (lane((0, "Hello"), (2, "you")), "Hello-----you", 0.2),
        (lane((0, "ab"), (2, "c")), "ab--c", 0.5),
        (lane((1.5, "a")), " 1.5s a", 1),
        (lane((0, "a"), (3600, "b")), "a 3599s b", 1),
        (lane((0, "a"), (3601, "b")), "a 1h b", 1),
        (lane((0, "a"), (25, "b")), "a------------------------b", 1),
        (lane((0, "a"), (26, "b")), "a 25s b", 1),
        (lane((0.000001, "a")), " 1us a", 1),
        (lane((0, "Hello"), (0.000001, "you")), "Hello-----you", 1e-7),
        (lane((0, "Hello"), (0.1234, "you")), "Hello 23.4ms you", 0.02),
        (lane((0, ""), (0, " ")), "('' _)", 1),
    ],
)
def test_a_frame_at_which_the_words_fit(drawn: Lane, text: str, frame: float) -> None:
    assert (render(drawn).text, render(drawn).frame) == (text, frame)


def test_time_passes_in_the_same_columns_of_all_lanes() -> None:
    message = lane((0.5, "Hello"), (3600, "you"))
    drawn = render(Lane((Event(0.25, "open", message), Event(86400, "completed"))))
    assert drawn.text.splitlines() == [
        "    250ms m 50ms ----- 3598.5s --- 82799.4s |",
        "m   250ms - 50ms Hello 3598.5s you 82799.4s -",
    ]
    assert drawn.frame == 0.2


def test_a_given_frame_is_kept_where_it_fits() -> None:
    drawn = lane((0, "Hello"), (60, "you"))
    assert render(drawn, frame=10) == Diagram("Hello-you", 10.0)
    assert render(drawn, frame=60) == Diagram("Hello-you", 10.0)
    assert render(drawn, frame=0.5) == Diagram("Hello 57.5s you", 0.5)


def test_what_is_no_token_is_bound_and_equal_values_share_a_name() -> None:
    error = ValueError("no")
    values = [1, "word", [1], None, 1, True, 1.0, [1], type("Word", (str,), {})("word")]
    drawn = render(lane(*((at * 6, value) for at, value in enumerate(values)), (60, error)))
    assert drawn.text == "v1----word--v2----v3----v1----v4----v5----v2----v6----------v7"
    assert drawn.values == {"v1": 1, "v2": [1], "v3": None, "v4": True, "v5": 1.0, "v6": "word", "v7": error}


def test_errors_are_bound_by_identity_and_the_default_one_is_not() -> None:
    errors = [ValueError("no"), ValueError("no"), MarbleError("other"), MarbleError()]
    messages = [Event(0, "open", lane((at * 3, error), kind="error")) for at, error in enumerate(errors)]
    drawn = render(Lane(tuple(messages)))
    assert [line.split()[-1].strip("-") for line in drawn.text.splitlines()[1:]] == ["#e1", "#e2", "#e3", "#"]
    assert [drawn.values[name] for name in ("e1", "e2", "e3")] == errors[:3]


def test_a_name_to_bind_a_value_to_is_no_label() -> None:
    block = Lane((Event(6, "next", 1), Event(9, "next", "v2"), Event(15, "error", KeyError())), "v1")
    drawn = render(Lane((Event(0, "open", block), Event(3, "open", Lane(name="e1")))))
    assert drawn.text.splitlines()[1] == "v1  ------v2-'v2'--#e2"
    assert drawn.lane().lanes[0].events[0].value == 1


@pytest.mark.parametrize("value", [{"a": {1}}, {"a": object}])
def test_arguments_that_are_no_json_are_drawn_as_what_they_look_like(value: dict[str, Any]) -> None:
    text = render(lane((0, Called("f", value)), kind="call")).text
    assert text == f'@f{{"a": "{value["a"]!r}"}}'


def test_nothing_is_drawn_before_the_beginning() -> None:
    with pytest.raises(ConfigurationError, match=r"^nothing can be drawn before 0 s, and this is at -1.0 s$"):
        render(lane((-1, "a")))
    with pytest.raises(ConfigurationError, match=r"^frame is the seconds of one column, more than 0, not 0$"):
        render(lane((1, "a")), frame=0)


def test_ten_thousand_tokens_are_drawn_and_read_in_no_time() -> None:
    long = lane(*((at * 0.02, f"tok{at}") for at in range(10_000)))
    assert render(long).lane() == long
    crowd = lane(*((1, f"tok{at}") for at in range(10_000)), (1.000001, Returned("x")))
    assert render(crowd).lane() == crowd


def test_lanes_within_one_another_a_thousand_deep() -> None:
    deep = lane((1, "a"))
    for _ in range(1000):
        deep = Lane((Event(1, "open", deep),))
    assert difference(render(deep).lane(), deep) is None
