"""Windows: where the text of a message is cut for a gate, however it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import ConfigurationError
from rxagents.engine.emitters import just
from rxagents.gates.windows import Window, check_window
from rxagents.operators import Gated, gate, responses
from rxagents.streams import MessageStream
from rxagents.testing import Marbles


def cut(tokens: list[str], window: Window = "sentence") -> list[str]:
    """The windows of a text that comes in these tokens."""
    windows = check_window("test", window)()
    ends = [end for token in tokens for end in windows.feed(token)]
    text = "".join(tokens)
    pieces = [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hi. How are you?", ["Hi.", " How are you?"]),
        ("One! Two? Three…  Four", ["One!", " Two?", " Three…", "  Four"]),
        ("Wait... what?! Yes.", ["Wait...", " what?!", " Yes."]),
        ('He said "No." Then he left.', ['He said "No."', " Then he left."]),
        ("It is 3.14, or a.b.c. So.", ["It is 3.14, or a.b.c.", " So."]),
        ("See https://x.y/z?a=b. Ok", ["See https://x.y/z?a=b.", " Ok"]),
        ("a\nb\n\nc", ["a\n", "b\n", "\nc"]),
        ("Hi.\nYou", ["Hi.", "\nYou"]),
        ("你好。今天好吗？「好。」是", ["你好。", "今天好吗？", "「好。」", "是"]),
        ("no end", ["no end"]),
        (" \n \n", [" \n \n"]),
        ("...", ["..."]),
    ],
)
def test_sentences_end_where_a_reader_would_say(text: str, sentences: list[str]) -> None:
    assert cut([text]) == sentences
    assert cut([*text]) == sentences


def test_a_sentence_is_known_by_what_follows_it_and_a_line_by_its_break() -> None:
    windows = check_window("test", "sentence")()
    assert windows.feed("Hi.") == []
    assert windows.feed(" ") == [3]
    assert windows.feed("Go\n") == [7]


def test_a_model_that_says_nothing_but_dots_takes_no_longer_than_another() -> None:
    assert cut(["."] * 20_000) == ["." * 20_000]
    assert cut(["?!"] * 10_000 + [" "]) == ["?!" * 10_000, " "]


def test_tokens_are_counted_as_they_come() -> None:
    assert cut(["a", "bc", "d", "e", "f"], 2) == ["abc", "de", "f"]
    assert cut(["a", "bc"], "whole") == ["abc"]


words = st.lists(st.sampled_from([*'ab .!?…"\n*)。！」', "3.14", "Hi. "]), max_size=30).map("".join)


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(words)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    edges = [0, *places, len(text)]
    return text, [text[begin:end] for begin, end in pairwise(edges)]


@settings(max_examples=50, deadline=None)
@given(cuttings())
def test_sentences_do_not_depend_on_how_the_text_comes(cutting: tuple[str, list[str]]) -> None:
    text, tokens = cutting
    assert cut([*text]) == cut(tokens) == cut([text])
    assert "".join(cut(tokens)) == text


@settings(max_examples=20, deadline=None)
@given(cuttings(), st.sets(st.integers(0, 5)))
def test_what_passes_does_not_depend_on_it_either(cutting: tuple[str, list[str]], bad: set[int]) -> None:
    text, tokens = cutting
    said: list[tuple[str, list[str]]] = []
    for way in ([text], tokens, [*text]):
        checked: list[str] = []

        def check(window: Gated, checked: list[str] = checked) -> bool:
            checked.append(window.window)
            return len(checked) not in bad

        with Marbles() as marbles:
            probe = marbles.probe()
            message = MessageStream(just(*(token for token in way if token)))
            marbles.expect(just(message).pipe(gate(check), responses(), probe))
            marbles.allow("unread")
        said.append((probe.items[0].text, checked))
    assert said[0] == said[1] == said[2]


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        ("word", "gate: window is 'word'; give 'sentence', 'whole', or a number of tokens"),
        (None, "gate: window is None; give 'sentence', 'whole', or a number of tokens"),
        (0, "gate: window is 0; it must be a number, 1 or more"),
        (True, "gate: window is True; it must be a number, 1 or more"),
    ],
)
def test_a_window_is_one_of_these(window: object, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        gate(bool, window=window)  # type: ignore[arg-type]
    assert str(raised.value) == complaint
