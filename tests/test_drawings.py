"""draw: a recording as a picture, in Unicode and in SVG. What it shows, and what holds of any picture."""

from __future__ import annotations

import inspect
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import ConfigurationError
from rxagents.testing.drawings import Drawing, draw
from rxagents.testing.exchanges import RecordedError
from rxagents.testing.glyphs import cells, visible
from rxagents.testing.lanes import Called, Event, Kind, Lane, Returned
from tests.drawn_lanes import lanes

SVG = "{http://www.w3.org/2000/svg}"


def lane(*events: tuple[float, Kind, Any] | tuple[float, Kind], name: str = "", **detail: Any) -> Lane:
    return Lane(tuple(Event(*event) for event in events), name, detail=detail)


def message(at: float, *tokens: str, step: float = 1.0, ending: Kind = "completed", **detail: Any) -> Lane:
    events = [Event(at + step * number, "next", token) for number, token in enumerate(tokens, 1)]
    end = Event(at + step * (len(tokens) + 1), ending, detail.pop("error", None))
    return Lane((*events, end), detail=detail)


def picture(recording: Lane, width: int = 60) -> str:
    return "\n" + draw(recording, width=width).text + "\n"


def test_a_lane_of_tokens_is_a_line_of_words() -> None:
    cat = lane((2, "next", "The"), (6, "next", "cat"), (10, "next", "sat"), (13, "completed"))
    assert picture(cat) == """
  0 s   2 s   4 s   6 s   8 s    10 s  12 s
  ┴─────┴─────┴─────┴─────┴──────┴─────┴───
  ──────The─────────cat──────────sat──────|
"""


def test_a_message_is_joined_to_the_lane_on_which_it_began() -> None:
    outer = lane((1, "open", message(1, "Well", " let", " me", " see")), (6, "completed"))
    assert picture(outer) == """
  0 s    1 s   2 s    3 s    4 s   5 s    6 s
  ┴──────┴─────┴──────┴──────┴─────┴──────┴
  ───────┬────────────────────────────────|
         ╰─────Well───let────me────see────✓
"""
