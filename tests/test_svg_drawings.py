"""draw: the picture as SVG. Well-formed, self-contained, readable in light and dark, and nothing covered."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings

from rxagents.testing.drawing.drawings import Drawing, draw
from rxagents.testing.drawing.glyphs import visible
from rxagents.testing.lanes import Called, Event, Lane, Returned
from tests.drawn_lanes import failed, lane, lanes, long_run, message, team, tools

SVG = "{http://www.w3.org/2000/svg}"


# What the SVG shows


def parsed(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(drawing.svg.encode())


def titles(drawing: Drawing) -> list[str]:
    return [title.text or "" for title in parsed(drawing).iter(f"{SVG}title")]


def marbles(drawing: Drawing, kind: str = "") -> list[ElementTree.Element]:
    groups = [
        group for group in parsed(drawing).iter(f"{SVG}g") if "marble" in group.get("class", "").split()
    ]
    return [group for group in groups if not kind or kind in group.get("class", "").split()]


def words_of(group: ElementTree.Element) -> str:
    return "".join(text.text or "" for text in group.iter(f"{SVG}text"))


def test_the_svg_tells_what_it_shows_to_those_who_cannot_see_it() -> None:
    root = parsed(draw(team()))
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "A run of 4 blocks and 3 messages, 8.5 s"
    description = root[1].text or ""
    assert root[1].tag == f"{SVG}desc"
    assert "      writer, 1 s – 4 s, ended" in description.split("\n")
    assert "  user, 0 s – 0 s, ended" in description.split("\n")


def test_marbles_say_their_tokens_and_hover_says_when() -> None:
    drawing = draw(lane((2, "next", "The"), (6, "next", " cat"), (13, "completed")))
    assert [words_of(group) for group in marbles(drawing)] == ["The", "cat"]
    assert titles(drawing)[1:] == ["The\n2 s", " cat\n6 s", "ended at 13 s"]


def test_a_call_shows_name_and_result_and_on_hover_its_arguments() -> None:
    drawing = draw(tools())
    assert [words_of(group) for group in marbles(drawing, "call")] == ["get_id → 214", "get_date → Monday"]
    assert "get_id(customer=17)\n→ 214\n4 s – 10 s (6 s)" in titles(drawing)


def test_a_result_belongs_to_the_call_with_its_id() -> None:
    said = lane(
        (1, "call", Called("look", {"at": "a"}, "c1")),
        (1, "call", Called("look", {"at": "b"}, "c2")),
        (3, "result", Returned("second", "look", "c2")),
        (5, "result", Returned("first", "look", "c1")),
        (6, "completed"),
    )
    assert titles(draw(said))[1:3] == [
        'look(at="a")\n→ first\n1 s – 5 s (4 s)',
        'look(at="b")\n→ second\n1 s – 3 s (2 s)',
    ]


def test_a_choice_has_the_colour_of_whom_it_names() -> None:
    drawing = draw(team())
    choices = {words_of(group): group.get("class", "").split()[-1] for group in marbles(drawing, "choice")}
    writer = next(group for group in marbles(drawing, "token") if words_of(group) == "Once")
    assert set(choices) == {"→ desk", "→ writer", "→ critic"}
    assert choices["→ writer"] == writer.get("class", "").split()[-1]
    assert choices["→ writer"] != choices["→ critic"]


def test_the_details_of_a_state_are_shown_on_hover() -> None:
    state = Event(1.0, "state", "choice:bot", {"kind": "choice", "agent_id": "bot", "reason": "asked for"})
    drawing = draw(Lane((state, Event(2.0, "completed"))))
    assert 'choice:bot\n{"kind": "choice", "agent_id": "bot", "reason": "asked for"}\n1 s' in titles(drawing)


def test_each_ending_has_a_title_and_the_error_says_its_words() -> None:
    assert "interrupted at 3 s" in titles(draw(message(0, "a", "b", ending="interrupted")))
    assert "finished at 2 s" in titles(draw(lane((0, "open", message(0, "a")))))
    drawing = draw(failed(ValueError("no <such> thing")))
    assert titles(drawing).count("failed at 7 s\nValueError: no <such> thing") == 3
    assert "✖ bot: ValueError: no <such> thing (at 7 s)" in [
        text.text for text in parsed(drawing).iter(f"{SVG}text")
    ]


def test_both_colour_schemes_are_there_and_nothing_comes_from_elsewhere() -> None:
    svg = draw(team()).svg
    light, dark = svg.split("@media (prefers-color-scheme:dark){")
    assert ".rx .page{fill:#ffffff}" in light
    assert ".rx .page{fill:#0d1117}" in dark
    assert "<script" not in svg
    assert not re.findall(r"url\(|@import|href|src=", svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def contrast(one: str, other: str) -> float:
    """Source: Web Content Accessibility Guidelines 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_and_marks_stand_out_from_what_is_behind_them(scheme: int) -> None:
    rules = draw(team()).svg.split("@media")[scheme]
    found = re.findall(r"\.rx((?: \.\w+)+)\{(?:fill|stroke):(#\w{6})\}", rules)
    colours = {name.strip(): colour for name, colour in found}
    colours |= {
        name: colour
        for names, colour in re.findall(r"\.rx ([^{]*)\{stroke:(#\w{6})\}", rules)
        for name in [names.split(",")[0]]
    }
    assert contrast(colours[".ink"], colours[".page"]) >= 7
    assert contrast(colours[".muted"], colours[".page"]) >= 4.5
    assert contrast(colours[".name"], colours[".call"]) >= 7
    assert contrast(colours[".bad"], colours[".page"]) >= 4.5
    for hue in range(6):
        assert contrast(colours[f".h{hue} .word"], colours[f".h{hue} .tint"]) >= 7
        assert contrast(colours[f".h{hue} .word"], colours[".page"]) >= 7
        assert contrast(colours[f".h{hue} .solid"], colours[".page"]) >= 3


def test_a_long_run_stays_bounded_and_loses_no_token() -> None:
    drawing = draw(long_run())
    root = parsed(drawing)
    assert float(root.get("width", "0")) <= 1100
    assert len(drawing.svg) < 400_000
    said = "\n".join(titles(drawing))
    assert said.count(" word0 word1 word2") == 60
    assert said.count("word49") == 60
    silences = [title for title in titles(drawing) if title.endswith("cut short")]
    assert set(silences) == {"38 s, cut short"}
    assert len(silences) == 60


def extents(drawing: Drawing) -> dict[float, list[tuple[float, float]]]:
    """From where to where each marble reaches, for each height."""
    found: dict[float, list[tuple[float, float]]] = {}
    for group in marbles(drawing):
        shape = next(part for part in group if part.tag != f"{SVG}title")
        number = {name: float(value) for name, value in shape.items() if name != "class" and name != "d"}
        if shape.tag == f"{SVG}rect":
            x, width, y = number["x"], number["width"], number["y"] + number["height"] / 2
        elif shape.tag == f"{SVG}circle":
            x, width, y = number["cx"] - 5, 10.0, number["cy"]
        else:
            x, y, side = map(float, re.findall(r"[\d.]+", shape.get("d", ""))[:3])
            x, width, y = (x - side, 2 * side, y + side) if side == 5.5 else (x, side, y + 5.5)
        found.setdefault(round(y), []).append((x, x + width))
    return found


def overlapping(drawing: Drawing) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    pairs = [pair for row in extents(drawing).values() for pair in pairwise(sorted(row))]
    return [(left, right) for left, right in pairs if left[1] > right[0] + 0.11]


@pytest.mark.parametrize("make", [tools, team, long_run], ids=["tools", "team", "long"])
def test_no_marble_covers_another(make: Callable[[], Lane]) -> None:
    drawing = draw(make())
    assert extents(drawing)
    assert not overlapping(drawing)


@settings(deadline=None, max_examples=100)
@given(lanes())
def test_every_recording_is_well_formed_and_nothing_covers_a_marble(recording: Lane) -> None:
    drawing = draw(recording)
    # Source: XML 1.0, section 2.2
    assert not re.findall("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", drawing.svg)
    assert float(parsed(drawing).get("width", "")) <= 1200
    assert not overlapping(drawing)


@settings(deadline=None, max_examples=100)
@given(lanes())
def test_every_token_is_there_in_full_on_hover(recording: Lane) -> None:
    said = titles(draw(recording))
    for inner in recording.walk():
        for event in inner.events:
            if event.kind == "next" and isinstance(event.value, str):
                assert any(visible(event.value) in title for title in said)


def test_lanes_nest_deeper_than_python_does() -> None:
    nested = message(0, "deep")
    for depth in range(1500):
        nested = lane((0, "open", nested), (3, "completed"), name=f"block{depth}")
    drawing = draw(nested)
    assert len(drawing.text.split("\n")) == 1503
    assert drawing.text.split("\n")[-1].endswith("✓")
    assert "deep\n1 s" in titles(drawing)


def test_a_burst_at_one_instant_is_one_marble() -> None:
    burst = lane(*[(1, "next", "ab")] * 10_000, (2, "completed"))
    [marble] = marbles(draw(burst))
    assert (marble[0].text or "").startswith("abab")
    assert len((marble[0].text or "").split("\n")[0]) == 20_000
