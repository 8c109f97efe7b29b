"""A failure is a picture: the text of each is pinned, as it is what a user reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from rxagents.testing.lanes import Event, Lane
from rxagents.testing.language.comparing import difference
from rxagents.testing.language.diagrams import parse
from rxagents.testing.language.pictures import picture

from .lane_trees import lane_trees

PICTURES = {
    "a wrong value": (
        "--Well-let|",
        "--Well-lit|",
        """
        expected  --Well-let|
        actual    --Well-lit|
                         ^ expected 'let' at 7 s, but 'lit' came
        """,
    ),
    "a wrong time": (
        "--Well-let|",
        "--Well---let|",
        """
        expected  --Well-let|
        actual    --Well---let|
                         ^ expected 'let' at 7 s, but it came at 9 s
        """,
    ),
    "a missing completion": (
        "--Well-let|",
        "--Well-let",
        """
        expected  --Well-let|
        actual    --Well-let-
                            ^ expected the completion at 10 s, but nothing more came
        """,
    ),
    "an extra event": (
        "--Well",
        "--Well-let|",
        """
        expected  --Well-----
        actual    --Well-let|
                         ^ 'let' came at 7 s, where nothing more was expected
        """,
    ),
    "nothing at all": (
        "--Well|",
        "",
        """
        expected  --Well|
        actual    -------
                    ^ expected 'Well' at 2 s, but nothing more came
        """,
    ),
    "a wrong error": (
        "#",
        "#e",
        """
        expected  #
        actual    #e
                  ^ expected the error drawn as # at 0 s, but the error OSError() came; bind yours with error=
        where e = OSError()
        """,
    ),
    "in a group": (
        "-(Hi you|)",
        "-(Hi all|)",
        """
        expected  -(Hi you|)
        actual    -(Hi all|)
                       ^ expected 'you' at 1 s, but 'all' came
        """,
    ),
    "within": (
        "---(m1 bot)----|\nm1   ---Hello-|\nbot  ---m2----|\nm2   ------Hi-|",
        "---(m1 bot)----|\nm1   ---Hello-|\nbot  ---m2----|\nm2   ------Ho-|",
        """
        expected       ---(m1 bot)----|
        actual         ---(m1 bot)----|
        expected  m1   ---Hello-|
        actual    m1   ---Hello-|
        expected  bot  ---m2----|
        actual    bot  ---m2----|
        expected  m2   ------Hi-|
        actual    m2   ------Ho-|
                             ^ expected 'Hi' at 6 s, but 'Ho' came
        """,
    ),
    "a lane too few": (
        "--m-------m2----|\nm   --Hi---|\nm2  ----------you|",
        "--m-------------|\nm   --Hi---|",
        """
        expected      --m1------m2----|
        actual        --m1------------|
                                ^ expected the lane m2 at 10 s, but the completion came at 16 s
        expected  m1  --Hi---|
        actual    m1  --Hi---|
        expected  m2  ----------you|
        """,
    ),
    "another block": (
        "out  --cat|\ncat  --a",
        "--dog|\ndog  --a",
        """
        expected  out  --cat|
        actual    out  --dog|
                         ^ expected the block cat at 2 s, but the block dog came
        expected  cat  --a---
        actual    dog  --a---
        """,
    ),
    "bound values": (
        "--x-y-Hi|",
        "--x-z-Hi|",
        """
        expected  --x-y-Hi|
        actual    --x-z-Hi|
                      ^ expected {'content': 'let'} at 4 s, but {'content': 'lit'} came
        where x = 17
              y = {'content': 'let'}
              z = {'content': 'lit'}
        """,
    ),
    "a shorter frame": (
        "--Well-let|",
        "--Well 200ms let|",
        """
        expected  ----------Well---------------------let------------|
        actual    ----------Well-----------------let------------|
                                                 ^ expected 'let' at 7 s, but it came at 6.2 s
        1 column = 0.2 s
        """,
    ),
    "a long wait": (
        "--Well 1h let|",
        "--Well 1h lit|",
        """
        expected  --Well 1h let|
        actual    --Well 1h lit|
                            ^ expected 'let' at 3606 s, but 'lit' came
        """,
    ),
}  # fmt: skip

VALUES = {"x": 17, "y": {"content": "let"}, "z": {"content": "lit"}, "e": OSError()}


def lines(text: str) -> str:
    return "\n".join(line.removeprefix("        ") for line in text.strip("\n").splitlines()).rstrip()


@pytest.mark.parametrize("what", PICTURES)
def test_it_looks_so(what: str) -> None:
    expected, actual, looks = PICTURES[what]
    assert picture(parse(expected, VALUES), parse(actual, VALUES)) == lines(looks)


def characters(expected: str, actual: str, values: dict[str, Any]) -> str:
    return picture(parse(expected, values, words=False), parse(actual, values, words=False))


def test_single_characters_stand_side_by_side_as_in_rxjs() -> None:
    assert characters("-ab-(xyc|)", "-ab-(xyd|)", {"x": 1, "y": 2}) == lines("""
        expected  -ab-(xyc|)
        actual    -ab-(xyd|)
                         ^ expected 'c' at 4 s, but 'd' came
        where x = 1
              y = 2
        """)


def test_values_that_are_longer_than_their_time_make_room_and_the_frame_stays() -> None:
    assert characters("-ab-a|", "-ab-b|", {"a": "Hello", "b": "you"}) == lines("""
        expected  -Hello you Hello|
        actual    -Hello you you  |
                             ^ expected 'Hello' at 4 s, but 'you' came
        """)
    expected = parse("--m---|\nm  --a-b|", {"a": "Hello", "b": "you"})
    actual = parse("--m---|\nm  --a-c|", {"a": "Hello", "c": "all"})
    assert picture(expected, actual) == lines("""
        expected     --m-    -  -|
        actual       --m-    -  -|
        expected  m  --Hello you|
        actual    m  --Hello all|
                             ^ expected 'you' at 4 s, but 'all' came
        """)


def test_a_letter_that_was_said_is_no_name() -> None:
    assert characters("-xv|", "-xv-|", {"v": 5}).endswith("\nwhere y = 5")


def test_equal_values_share_a_name_and_so_do_errors_that_say_the_same() -> None:
    expected = parse("-a-m-#e\nm  ---b#e", {"a": [1], "b": [1], "e": ValueError("no")})
    actual = parse("-a-m-#e\nm  ---b#e", {"a": [1], "b": [1], "e": ValueError("no")})
    assert picture(expected, actual) == lines("""
        expected     -x-m-#e
        actual       -x-m-#e
        expected  m  ---x#e
        actual    m  ---x#e
        where x = [1]
              e = ValueError('no')
        """)


def test_the_frame_is_said_where_it_is_not_a_second() -> None:
    same = parse("--Well-let|", frame=0.1)
    assert picture(same, same, frame=0.1) == lines("""
        expected  --Well-let|
        actual    --Well-let|
        1 column = 0.1 s
        """)
    assert picture(same, same).splitlines()[-1] == "1 column = 0.1 s"
    assert picture(parse(""), parse("")) == "expected  -\nactual    -"


def test_of_a_long_lane_what_is_around_the_difference() -> None:
    tokens = [Event(float(7 * at), "next", f"tok{at}") for at in range(1000)]
    other = [*tokens[:500], Event(3500.0, "next", "oops"), *tokens[501:]]
    above, below, pointer = picture(Lane(tuple(tokens)), Lane(tuple(other))).splitlines()
    assert len(above) == len(below) == 130
    assert above.startswith("expected  …8-tok489-tok490-")
    assert below.endswith("-tok504-tok5…")
    assert above[pointer.index("^") :].startswith("tok500-tok501")
    assert below[pointer.index("^") :].startswith("oops---tok501")
    assert pointer.endswith("^ expected 'tok500' at 3500 s, but 'oops' came")


def test_of_many_lanes_those_near_the_difference_and_those_around_it() -> None:
    def run(word: str) -> Lane:
        messages = [Lane((Event(3.0 * at, "next", word if at == 20 else "y"),)) for at in range(40)]
        block = Lane(tuple(Event(3.0 * at, "open", message) for at, message in enumerate(messages)), "bot")
        return Lane((Event(0.0, "open", block),))

    drawn = picture(run("yes"), run("no")).splitlines()
    heads = [line.split()[1] for line in drawn if line.startswith("expected  ")]
    assert heads[1:] == ["bot", "m19", "m20", "m21", "m22", "m23"]
    assert [line for line in drawn if "more lane" in line] == [
        "          … 18 more lanes",
        "          … 17 more lanes",
    ]


def test_long_words_are_cut_and_many_values_not_all_listed() -> None:
    said = Lane((Event(0.0, "next", "w" * 100), *(Event(99.0 + at * 3, "next", [at]) for at in range(30))))
    drawn = picture(said, said).splitlines()
    assert drawn[0].startswith(f"expected  {'w' * 39}… ")
    assert drawn[2] == "where x = [0]"
    assert drawn[13] == "      g = [11]"
    assert drawn[14:] == ["      … and 18 more"]


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class TwoLines:
    def __repr__(self) -> str:
        return "two\nlines"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Mute(), "<Mute, whose __repr__ raises>"), ([1] * 100, "[1, 1, 1, "), (TwoLines(), "two lines")],
)
def test_a_value_is_shown_on_one_line_whatever_it_is(value: object, shown: str) -> None:
    drawn = picture(parse("-x", {"x": value}), parse("-a")).splitlines()
    assert drawn[-1].startswith(f"where x = {shown}")
    assert len(drawn[-1]) <= 210


@settings(max_examples=200, deadline=None)
@given(lane_trees(), lane_trees())
def test_any_two_lanes_make_a_picture_and_it_points_if_they_differ(expected: Lane, actual: Lane) -> None:
    drawn = picture(expected, actual).splitlines()
    pointers = [line for line in drawn if line.lstrip().startswith("^ ")]
    found = difference(expected, actual)
    assert [pointer.lstrip()[2:] for pointer in pointers] == ([] if found is None else [found.text])
    for pointer in pointers:
        above = drawn[drawn.index(pointer) - 1]
        assert pointer.index("^") <= len(above)
    assert not any(line.lstrip().startswith("^ ") for line in picture(actual, actual).splitlines())
