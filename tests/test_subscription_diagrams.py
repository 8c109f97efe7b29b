"""Subscription diagrams: when something was subscribed to, and when it was left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents.testing.language.diagrams import DiagramError, Subscription, parse_subscription


@pytest.mark.parametrize(
    ("diagram", "subscription"),
    [
        ("", Subscription()),
        ("-----", Subscription()),
        ("--^---!", Subscription(2, 6)),
        ("  --^---!--", Subscription(2, 6)),
        ("--^", Subscription(2)),
        ("-(^!)", Subscription(1, 1)),
        ("(^)-!", Subscription(0, 4)),
        ("^ 1.5m !", Subscription(0, 91)),
        (" 500ms ^-!", Subscription(0.5, 2.5)),
    ],
)
def test_it_is_read(diagram: str, subscription: Subscription) -> None:
    assert parse_subscription(diagram) == subscription


@pytest.mark.parametrize(
    ("subscription", "frame", "text"),
    [
        (Subscription(), 1, "-"),
        (Subscription(2), 1, "--^"),
        (Subscription(2, 6), 1, "--^---!"),
        (Subscription(0.2, 0.6), 0.1, "--^---!"),
        (Subscription(1, 1), 1, "-(^!)"),
        (Subscription(0, 3601), 1, "^ 1h !"),
        (Subscription(0.5, 3.25), 1, " 500ms ^ 1.75s !"),
        (Subscription(1, 1.5), 1, "----------^----! (1 column = 0.1 s)"),
    ],
)
def test_it_is_drawn(subscription: Subscription, frame: float, text: str) -> None:
    assert subscription.render(frame) == text


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.none() | st.just(0) | st.integers(10**6, 10**9))
def test_what_is_drawn_reads_back_as_the_same(begin: int, length: int | None) -> None:
    left = None if length is None else (begin + length) / 10**6
    subscription = Subscription(begin / 10**6, left)
    assert parse_subscription(subscription.render()) == subscription


@pytest.mark.parametrize(
    ("diagram", "column", "what"),
    [
        ("-^-^", 3, "a second ^"),
        ("-^!!", 3, "a second !"),
        ("-!", 1, "a ! before its ^"),
        ("-a", 1, "a does not belong here"),
        ("-^-)", 3, ") does not belong here"),
        ("-(^-!)", 3, "- does not belong here"),
        ("-(^!", 1, "a ( without its )"),
    ],
)
def test_what_cannot_be_read_is_pointed_at(diagram: str, column: int, what: str) -> None:
    with pytest.raises(DiagramError) as caught:
        parse_subscription(diagram)
    said, line, pointer, _ = str(caught.value).splitlines()
    assert (said, line, pointer) == (what, f"    {diagram}", " " * (column + 4) + "^")
