"""The marble language is read as its page of grammar says, and what cannot be read is pointed at."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import ConfigurationError, RxAgentsError
from rxagents.testing.lanes import Called, Event, Lane, Returned
from rxagents.testing.language import diagrams
from rxagents.testing.language.diagrams import DiagramError, MarbleError, parse, parse_subscription
from rxagents.testing.language.rendering import render


def blocks() -> list[tuple[dict[str, Any], str]]:
    """The examples of the grammar: what is bound in each block, and its text."""
    parts = (diagrams.__doc__ or "").split("```")[1::2]
    heads = (part.partition("\n") for part in parts)
    return [(eval(f"dict({head})"), text.rstrip()) for head, _, text in heads]


def single() -> list[tuple[str, str, dict[str, Any]]]:
    lines = [
        (line, bound)
        for bound, text in blocks()
        for line in text.splitlines()
        if "→" in line and "subscription" not in bound
    ]
    return [
        (line.split(" → ")[0].rstrip(), line.split("→ ")[1].split("   ")[0].rstrip(), bound)
        for line, bound in lines
    ]


def told(event: Event) -> str:
    if event.kind in ("completed", "interrupted"):
        words = event.kind
    elif event.kind == "call":
        words = f"call {event.value.name} {event.value.arguments or ''}".rstrip()
    elif event.kind == "result":
        words = f"result {event.value.text!r}"
    elif event.value == MarbleError():
        words = "MarbleError"
    else:
        words = {"next": "", "error": ""}.get(event.kind, f"{event.kind} ") + repr(event.value)
    return f"{event.at:g} {words}"


def read(diagram: str, bound: dict[str, Any]) -> Lane:
    values = {name: value for name, value in bound.items() if name != "words"}
    return parse(diagram, values, words=bound.get("words", True))


@pytest.mark.parametrize(("diagram", "says", "bound"), single(), ids=[line for line, _, _ in single()])
def test_every_example_of_the_grammar_means_what_stands_beside_it(
    diagram: str, says: str, bound: dict[str, Any]
) -> None:
    assert " · ".join(told(event) for event in read(diagram, bound).events) == says


def test_the_grammar_is_one_page_with_an_example_of_each_mark() -> None:
    assert len((diagrams.__doc__ or "").splitlines()) <= 72
    drawn = "".join(diagram for diagram, _, _ in single())
    assert all(mark in drawn for mark in "-|#~^()_'@={[<")
    assert {event.kind for line, _, bound in single() for event in read(line, bound).events} == {
        "next", "call", "result", "message", "state", "completed", "error", "interrupted",
    }  # fmt: skip


def test_the_subscriptions_of_the_grammar() -> None:
    (text,) = (text for bound, text in blocks() if "subscription" in bound)
    assert "^" in text
    assert "!" in text
    for line in text.splitlines():
        drawn, told = line.split(" → ")
        subscription = parse_subscription(drawn)
        seconds = (subscription.subscribed_at, subscription.unsubscribed_at)
        assert " · ".join("None" if at is None else f"{at:g}" for at in seconds) == told


def test_the_nested_example_of_the_grammar() -> None:
    (nested,) = (text for _, text in blocks() if "→" not in text)
    call = Lane(
        (Event(4, "call", Called("find")), Event(10, "result", Returned("214")), Event(14, "interrupted"))
    )
    inner = Lane(
        (Event(10, "open", Lane((Event(10, "error", MarbleError()),))), Event(10, "completed")), "bot"
    )
    hello = Lane((Event(3, "next", "Hello"), Event(9, "completed")))
    bot = Lane((Event(4, "open", call), Event(10, "open", inner), Event(15, "completed")), "bot")
    assert parse(nested) == Lane((Event(3, "open", hello), Event(3, "open", bot), Event(16, "completed")))


def values(lane: Lane) -> list[tuple[float, object]]:
    return [(event.at, "|" if event.kind == "completed" else event.value) for event in lane.events]


@pytest.mark.parametrize(
    ("diagram", "expected"),
    [
        ("--a--b|", [(2, "a"), (5, "b"), (6, "|")]),
        ("  --a  --b | ", [(2, "a"), (5, "b"), (6, "|")]),
        ("abc", [(0, "a"), (1, "b"), (2, "c")]),
        ("-(ab)-c|", [(1, "a"), (1, "b"), (6, "c"), (7, "|")]),
        ("-( a b )-c|", [(1, "a"), (1, "b"), (6, "c"), (7, "|")]),
        ("a 9s b 1m c|", [(0, "a"), (10, "b"), (71, "c"), (72, "|")]),
        ("a 9ms|", [(0, "a"), (1, "9"), (2, "m"), (3, "s"), (4, "|")]),
        (" 2s a", [(2, "a")]),
        ("2s", []),
        ("", []),
        ("  \n ", []),
        ("--^-a", [(4, "a")]),
        ("it's", [(0, "i"), (1, "t"), (2, "'"), (3, "s")]),
    ],
)
def test_lanes_of_characters_mean_what_they_mean_in_rxjs(diagram: str, expected: list[Any]) -> None:
    assert values(parse(diagram, words=False)) == expected


def test_a_group_of_words_takes_up_its_columns_and_the_spaces_in_it_are_some() -> None:
    assert values(parse("-(Hi you)-x|")) == [(1, "Hi"), (1, "you"), (10, "x"), (11, "|")]


@pytest.mark.parametrize(
    ("progression", "at"),
    [("7ns", 0), ("700ns", 0.000001), ("3us", 0.000003), ("2.5ms", 0.0025), ("1.5m", 90), ("0.1h", 360)],
)
def test_every_unit_of_time(progression: str, at: float) -> None:
    assert parse(f" {progression} a").events == (Event(at, "next", "a"),)


def test_a_frame_is_a_second_unless_said_otherwise_and_times_are_to_the_microsecond() -> None:
    assert values(parse("-a-b", frame=0.1)) == [(0.1, "a"), (0.3, "b")]
    assert values(parse("-" * 3 + "a", frame=0.1)) == [(0.3, "a")]
    assert values(parse("-a 5ms b", frame=1e-7)) == [(0, "a"), (0.005, "b")]
    for wrong in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="frame is the seconds of one column, more than 0, not"):
            parse("-a", frame=wrong)


def test_the_caret_is_kept_beside_and_moves_nothing() -> None:
    lane = parse("--a-^-b")
    assert lane.caret == 4
    assert lane == parse("--a---b")


def test_the_error_is_the_bound_one_or_the_given_one_or_a_default_that_equals_itself() -> None:
    mine = ValueError("mine")
    assert parse("#").events == (Event(0, "error", MarbleError()),)
    assert parse("#", error=mine).events[0].value is mine
    assert parse("#bad", {"bad": mine}, error=KeyError()).events[0].value is mine
    assert parse("--#e", {"e": mine}, words=False).events[0].value is mine
    assert MarbleError() != MarbleError("other") != ValueError("other")
    assert len({MarbleError("a"), MarbleError("a"), MarbleError("b")}) == 2
    assert isinstance(MarbleError(), RxAgentsError)


def test_a_bound_run_is_one_value_before_it_is_many() -> None:
    bound = {"ab": 3, "a": 1, "b": 2}
    assert values(parse("ab-ba", bound)) == [(0, 3), (3, 2), (4, 1)]
    assert values(parse("ab-ba", bound, words=False)) == [(0, 3), (3, 2), (4, 1)]
    assert values(parse("abc", bound)) == [(0, "abc")]
    assert values(parse("a=b", {"=": 0}, words=False)) == [(0, "a"), (1, 0), (2, "b")]


@pytest.mark.parametrize(
    "diagram",
    [
        "out  --m--|\nm    --a--|",
        "  out --m--|\n\n\n  m --a--|  ".replace("out ", "out  "),
        "out\t--m--|\nm\t--a--|",
        "m    --a--|\nout  --m--|".split("\n")[1] + "\r\nm --a--|\r\n",
    ],
)
def test_labels_are_parted_by_any_white_space(diagram: str) -> None:
    message = Lane((Event(2, "next", "a"), Event(5, "completed")))
    assert parse(diagram) == Lane((Event(2, "open", message), Event(5, "completed")), "out")


def test_the_first_line_has_a_label_only_if_it_clearly_looks_like_one() -> None:
    assert parse("out  --a|") == Lane((Event(2, "next", "a"), Event(3, "completed")), "out")
    assert parse("a 9s b") == Lane((Event(0, "next", "a"), Event(10, "next", "b")))
    assert parse("a -b", words=False) == Lane((Event(0, "next", "a"), Event(2, "next", "b")))
    assert parse("a  -b", {"a": 1}) == Lane((Event(0, "next", 1), Event(2, "next", "b")))
    assert parse("word") == Lane((Event(0, "next", "word"),))
    assert parse("m  -a").name == ""


def test_a_label_gives_the_name_of_a_block_and_a_name_can_be_given_behind_it() -> None:
    lane = parse("-(m m2 bot bot.2 b1 x)\nm\nm2 -\nbot -\nbot.2 -\nb1='order-agent \\'1\\'' -\nx='' --a")
    assert [inner.name for inner in lane.lanes] == ["", "", "bot", "bot", "order-agent '1'", ""]


def test_on_a_lane_of_characters_each_may_be_a_lane() -> None:
    lane = parse("-ab-c|\na -x\nb  --y", words=False)
    assert [event.kind for event in lane.events] == ["open", "open", "next", "completed"]
    assert [inner.events[0].value for inner in lane.lanes] == ["x", "y"]
    assert [inner.name for inner in lane.lanes] == ["a", "b"]


def test_a_quoted_word_is_never_a_lane() -> None:
    assert [event.kind for event in parse("-'m'--m\nm ------a").events] == ["next", "open"]


def test_a_thousand_lanes_within_one_another() -> None:
    lines = ["m0"] + [f"m{number}  m{number + 1}" for number in range(1000)] + ["m1000  |"]
    lane = parse("\n".join(lines))
    assert sum(1 for _ in lane.walk()) == 1002


@pytest.mark.parametrize(
    ("diagram", "text"),
    [
        (
            "--a|--b",
            "nothing can follow the end of a lane, and it ended at |\n"
            "    --a|--b\n"
            "          ^\n"
            "Take one of the two away; quote a mark that is said.",
        ),
        (
            "  --The cat|",
            "two words with no frame between them\n"
            "      --The cat|\n"
            "            ^\n"
            "Part them by a -, or join them: a space within a word is written _, or as a 'quoted one'.",
        ),
        (
            "--m--|\nm\t-a",
            "this is at 1 s, but m begins at 2 s\n"
            "    m -a\n"
            "       ^\n"
            "All lanes are in the same time: move one of the two.",
        ),
    ],
)
def test_the_text_shows_the_line_the_column_and_what_to_do(diagram: str, text: str) -> None:
    with pytest.raises(DiagramError) as caught:
        parse(diagram)
    assert str(caught.value) == text
    assert isinstance(caught.value, ConfigurationError)


WRONG = [
    ("--#|", 3, "nothing can follow the end of a lane, and it ended at #"),
    ("-(a|b)", 4, "nothing can follow the end of a lane, and it ended at |"),
    ("a~~", 2, "nothing can follow the end of a lane, and it ended at ~"),
    ("-(a", 1, "a ( without its )"),
    ("-a)", 2, "a ) without its ("),
    ("-(a(b))", 3, "a group within a group"),
    ("-(a-b)", 3, "time cannot pass within ( )"),
    ("-(a 5s b)", 4, "time cannot pass within ( )"),
    ("-^-^", 3, "a second ^"),
    ("-'abc", 1, "what begins here has no closing '"),
    ("-[abc", 1, "what begins here has no closing ]"),
    ("-<abc", 1, "what begins here has no closing >"),
    (r"-'a\x'", 3, "no such escape"),
    (r"-'a\u12'", 3, "no such escape"),
    (r"-'\U00110000'", 2, "no such escape"),
    ("-'a\\", 3, "no such escape"),
    ("-'a'b", 4, "two words with no frame between them"),
    ("-@", 1, "a call without the name of a tool"),
    ("-@x{1}", 4, "the arguments of x are no JSON object: Expecting property name enclosed in double quotes"),
    ("-@x{", 4, "the arguments of x are no JSON object: Expecting property name enclosed in double quotes"),
    ("-=|", 1, "a function result without a text"),
    ("out --m\nm --a", 0, "out may be a label, or the first word"),
    ("--m\n--a", 0, "a lane without a label"),
    ("--m\n5 --a", 0, "a lane without a label"),
    ("--m\nm --a\nm --b", 0, "a second lane is labelled m"),
    ("--m\nm --a\nm2 --b", 0, "no lane says when m2 begins"),
    ("--m\nm --a\nm2 --m3\nm3 --m2", 0, "no lane says when m2 begins"),
    ("--m-m2\nm --a", 4, "no lane is labelled m2"),
    ("--bot-bot.2\nbot --a", 6, "no lane is labelled bot.2"),
    ("--m-m\nm --a", 4, "the lane m begins twice"),
    ("out  --m\nm ---out", 5, "out is the outermost lane"),
]


@pytest.mark.parametrize(("diagram", "column", "what"), WRONG, ids=[diagram for diagram, _, _ in WRONG])
def test_what_cannot_be_read_is_pointed_at(diagram: str, column: int, what: str) -> None:
    with pytest.raises(DiagramError) as caught:
        parse(diagram)
    said, _, pointer, remedy = str(caught.value).splitlines()
    assert said == what
    assert pointer == " " * (column + 4) + "^"
    assert remedy.endswith((".", "'", "x.2", "m.2"))


@pytest.mark.parametrize(
    ("diagram", "values", "words", "what"),
    [
        (
            "--m\nm --a",
            {"m": 1},
            True,
            "m is both a lane and a bound value\n    --m\n      ^\nRename one of the two.",
        ),
        (
            "--'abc'",
            {},
            False,
            "this lane reads single characters, and this begins a word\n    --'abc'\n      ^\n",
        ),
        (["-a"], {}, True, "a marble diagram is a text, not list"),
    ],
)
def test_what_depends_on_how_it_is_read(diagram: Any, values: dict[str, Any], words: bool, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(diagram, values, words=words)
    assert str(caught.value).startswith(what)


PIECES = [
    *("-", "-", "|", "#", "~", "^", "(", ")", " ", "  ", "\n", "a", "ab", "m", "m1", "bot", "'", "\\", "@f"),
    *('{"a": 1}', "=", "[", "]", "<", ">", " 5s ", " 10ms ", "é", "_"),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.booleans())
def test_any_text_is_read_or_refused_and_what_is_read_can_be_drawn(text: str, words: bool) -> None:
    lane = Lane()
    with suppress(DiagramError):
        lane = parse(text, {"a": "a"}, words=words)
    assert render(lane).lane() == lane
