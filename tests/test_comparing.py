"""What came is compared with what was expected: by structure, and the first difference in time is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rxagents import ConfigurationError
from rxagents.testing.lanes import Called, Event, Lane, Returned
from rxagents.testing.language.comparing import Difference, difference, same
from rxagents.testing.language.diagrams import MarbleError, parse
from rxagents.testing.language.rendering import render

from .lane_trees import lane_trees


class Careless:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot compare")

    __hash__ = None  # type: ignore[assignment]


class Array(Careless):
    def __eq__(self, other: object) -> Any:
        return Careless()


class Mute(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no words")


CARELESS = Careless()
NAN = float("nan")


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, "1", False),
        (mock.ANY, "anything", True),
        ("anything", mock.ANY, True),
        (pytest.approx(0.3), 0.1 + 0.2, True),
        ({"a": [mock.ANY]}, {"a": [1]}, True),
        (NAN, NAN, True),
        (CARELESS, CARELESS, True),
        (Careless(), Careless(), False),
        (Array(), 1, True),
        (ValueError("no"), ValueError("no"), True),
        (ValueError("no"), ValueError("yes"), False),
        (ValueError("no"), ConfigurationError("no"), False),
        (Mute(), Mute(), True),
        (ValueError, ConfigurationError("no"), True),
        (KeyError, ValueError("no"), False),
        (ValueError, ValueError, True),
        (mock.ANY, ValueError("no"), True),
        (MarbleError(), MarbleError(), True),
        (Called("f"), Called("f", {"a": 1}), True),
        (Called("f"), Called("g"), False),
        (Called("f", {"a": 1}), Called("f", {"a": 1}, "id"), True),
        (Called("f", {"a": mock.ANY}), Called("f", {"a": 1}), True),
        (Called("f", {"a": 1}), Called("f"), False),
        (Called("f", {}), Called("f", {"a": 1}), False),
        (Called("f", "no json"), Called("f", "no json"), True),
        (Returned("214"), Returned("214", "f", "id"), True),
        (Returned("214"), Returned("215"), False),
    ],
)
def test_what_is_the_same(expected: object, actual: object, equal: bool) -> None:
    assert same(expected, actual) is equal


def told(expected: str, actual: str, **values: Any) -> str:
    found = difference(parse(expected, values), parse(actual, values))
    assert found is not None
    return found.text


HASH = "the error drawn as #"
NOTHING_MORE = "but nothing more came"
NOT_EXPECTED = "where nothing more was expected"


@pytest.mark.parametrize(
    ("expected", "actual", "text"),
    [
        ("--a|", "--b|", "expected 'a' at 2 s, but 'b' came"),
        ("--a|", "-a-|", "expected 'a' at 2 s, but it came at 1 s"),
        ("--a|", "-b-|", "expected 'a' at 2 s, but 'b' came at 1 s"),
        ("--a|", "--a-|", "expected the completion at 3 s, but it came at 4 s"),
        ("--a|", "--a~", "expected the completion at 3 s, but the interruption came"),
        ("--a|", "--a", f"expected the completion at 3 s, {NOTHING_MORE}"),
        ("--a", "--a|", f"the completion came at 3 s, {NOT_EXPECTED}"),
        ("--a", "--a 10ms b", f"'b' came at 3.01 s, {NOT_EXPECTED}"),
        ("(a b|)", "(b a|)", "expected 'a' at 0 s, but 'b' came"),
        ("-@f{}", "-@g", "expected the call @f{} at 1 s, but the call @g came"),
        ("-=1", "-1", "expected the result =1 at 1 s, but '1' came"),
        ("-[a]", "-<a:b>", "expected the message [a] at 1 s, but the state <a:b> came"),
        ("-x", "-'5'", "expected 5 at 1 s, but '5' came"),
        ("-w", "-word", "expected 'word' (Word) at 1 s, but 'word' (str) came"),
        ("#", "#e", f"expected {HASH} at 0 s, but the error ValueError('no') came; bind yours with error="),
        ("--#e", "--#", "expected the error ValueError('no') at 2 s, but the error drawn as # came"),
        ("--m|\nm  --a", "---|", "expected the lane m at 2 s, but the completion came at 3 s"),
        ("--a|", "--m|\nm  --a", "expected 'a' at 2 s, but the lane m came"),
        ("--bot|\nbot  --a", "--m|\nm  --a", "expected the completion at 5 s, but it came at 3 s"),
        ("--bot|\nbot  --a", "--cat|\ncat  --a", "expected the block bot at 2 s, but the block cat came"),
        ("(m m2)\nm  --a\nm2  -b", "(m m2)\nm  --a\nm2  -c", "expected 'b' at 1 s, but 'c' came"),
    ],
)  # fmt: skip
def test_the_words_for_a_difference(expected: str, actual: str, text: str) -> None:
    word = type("Word", (str,), {"__eq__": lambda self, other: False, "__hash__": None})("word")
    assert told(expected, actual, x=5, e=ValueError("no"), w=word) == text


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("--a|", "-- 0s a|"),
        ("-@f|", "-@f|"),
        ("out  --m|\nm  --a", "--x|\nx='' --a"),
        ("--x|\nx  --a", "--m|\nm  --a"),
        ("--bot--|\nbot  --a", "x  --bot--|\nbot  --a"),
    ],
)
def test_times_by_their_value_and_labels_of_lanes_without_names_are_free(expected: str, actual: str) -> None:
    assert difference(parse(expected), parse(actual)) is None


def test_it_is_the_first_in_time_and_of_one_instant_the_innermost() -> None:
    expected = parse("-(m1 bot)---|\nm1   --a-----b\nbot  -m2----|\nm2   ---x--|")
    late = parse("-(m1 bot)---|\nm1   --a-----c\nbot  -m2----|\nm2   ---x--|")
    later = parse("-(m1 bot)----|\nm1   --a-----c\nbot  -m2-----|\nm2   ---x---|")
    found = difference(expected, late)
    assert found == Difference(("m1",), 8, "expected 'b' at 8 s, but 'c' came", 1, 1)
    found = difference(expected, later)
    assert found == Difference(("bot", "m2"), 6, "expected the completion at 6 s, but it came at 7 s", 1, 3)


def test_lanes_that_begin_after_a_difference_are_not_compared() -> None:
    expected = parse("-(a m1 m2)\nm1  -x\nm2  -y")
    actual = parse("-(b m1 m2)\nm1  -y\nm2  -x")
    found = difference(expected, actual)
    assert found == Difference((), 1, "expected 'a' at 1 s, but 'b' came", 0, 0)


def test_long_texts_are_cut_to_what_differs() -> None:
    common = "The quick brown fox jumps over the lazy dog. " * 20
    text = told(f"'{common}a'", f"'{common}b{'!' * 300}'")
    assert text == (
        "expected …umps over the lazy dog. a' at 0 s, but "
        f"…umps over the lazy dog. b{'!' * 173}… came"
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(lane_trees())
def test_a_lane_does_not_differ_from_itself(lane: Lane) -> None:
    assert difference(lane, lane) is None
    assert difference(lane, render(lane).lane()) is None


def without(lane: Lane, path: list[int], index: int) -> Lane:
    """The tree with one event less, on the lane that these opening events lead to."""
    if not path:
        return replace(lane, events=lane.events[:index] + lane.events[index + 1 :])
    at, *rest = path
    event = replace(lane.events[at], value=without(lane.events[at].value, rest, index))
    return replace(lane, events=(*lane.events[:at], event, *lane.events[at + 1 :]))


def places(lane: Lane) -> list[tuple[list[int], int]]:
    own = [([], index) for index in range(len(lane.events))]
    inner = [
        ([at, *path], index)
        for at, event in enumerate(lane.events)
        if event.kind == "open"
        for path, index in places(event.value)
    ]
    return own + inner


@settings(max_examples=200, deadline=None)
@given(lane_trees(), st.data())
def test_one_event_less_anywhere_is_found_either_way_not_before_it_was(
    lane: Lane, data: st.DataObject
) -> None:
    everywhere = places(lane)
    assume(everywhere)
    path, index = data.draw(st.sampled_from(everywhere))
    event: Event = lane.events[[*path, index][0]]
    for at in [*path, index][1:]:
        event = event.value.events[at]
    fewer = without(lane, path, index)
    missing, extra = difference(lane, fewer), difference(fewer, lane)
    assert missing is not None
    assert extra is not None
    assert missing.at == extra.at >= event.at


def test_found_a_nameless_lane_less_that_is_seen_further_in_one_way_round() -> None:
    named = Event(0.0, "open", Lane((Event(0.0, "next", ""),), "x"))
    lane, fewer = Lane((Event(0.0, "open", Lane()), named)), Lane((named,))
    missing, extra = difference(lane, fewer), difference(fewer, lane)
    assert missing is not None
    assert extra is not None
    assert (missing.path, extra.path) == ((), ("x",))


def test_a_lane_without_a_name_is_no_block() -> None:
    found = difference(parse("--m|\nm  --a"), parse("--bot|\nbot  --a"))
    assert found is not None
    assert found.text.startswith("expected the lane m at 2 s, but the block bot came")
