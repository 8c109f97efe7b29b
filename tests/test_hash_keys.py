"""Hash keys: equal messages have equal keys, in every process and on every Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import Message, UserMessage
from rxagents.hash_keys import hash_key
from rxagents.values import message_from

SCRIPT = """
from rxagents import Message, Usage, UserMessage

class Rated(Message):
    stars: float = 0
    tags: frozenset[str] = frozenset()

for message in [
    UserMessage("Grüße, 你好, 👋 ﬁ é e\\u0301"),
    UserMessage("x", metadata={"b": 2.5, "a": [1e300, 1e-7, 0.1 + 0.2, -0.0], "z": {"y": 1, "x": None}}),
    UserMessage("x", metadata={"tags": {"ab", "cd", "ef", "gh", "ij"}, "pairs": {(1, "a"), (0, "b")}}),
    Rated(role="assistant", content="x", stars=4.5, tags=frozenset("abcdef")),
    Message(role="assistant", content=[{"type": "text", "text": "a"}], usage=Usage(total_tokens=3),
            steps=(Message(role="tool", content="42", tool_call_id="c"),)),
]:
    print(message.hash_key)
"""

PINNED = [
    "122dbf2edd94812bc2cddb43dd02c02c53b834a6a50c49a5ff8522101c8ae278",
    "2eefa4a11a7264fb2f743cccaef3ea01de5e6cd8d44e9baecf2b7e1c988a7041",
    "1dd78e8f8e80976731b2bb9d83db034bbdd0e3dc6fdf37656d25cf68d82205cc",
    "a7076525e03f50a7989fe574b466ee3499a9de290f6b90064ffd5f3ed53e20bc",
    "6c34e0051aa9d112b8a2d4daf5ed08efa4e48ae37d82bedac6427c69f31253ce",
]


def keys(seed: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True, text=True, timeout=50, env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip
    assert ran.stderr == ""
    return ran.stdout.split()


def test_the_keys_are_the_same_in_every_process() -> None:
    first, *others = (keys(seed) for seed in ("0", "1", "4242"))
    assert others == [first, first]
    assert first == PINNED
    assert len(set(first)) == 5


def test_the_order_of_metadata_makes_no_difference() -> None:
    one = UserMessage("x", metadata={"a": {"b": 1, "c": 2}, "d": 3})
    other = UserMessage("x", metadata={"d": 3, "a": {"c": 2, "b": 1}})
    assert (one, one.hash_key, hash(one)) == (other, other.hash_key, hash(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (True, 1), (0.0, -0.0), (False, 0.0), (2**70, float(2**70)), ({1, 2}, {2, 1.0})],
)
def test_what_python_takes_for_equal_has_one_key(one: Any, other: Any) -> None:
    messages = [UserMessage("x", metadata={"n": [value]}) for value in (one, other)]
    assert messages[0] == messages[1]
    assert messages[0].hash_key == messages[1].hash_key


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (None, "null"), (1, 1.5), ([1, 2], [2, 1]), ([], {}), (0.1 + 0.2, 0.3), ("é", "e\u0301")],
)
def test_what_differs_has_another_key(one: Any, other: Any) -> None:
    assert hash_key({"n": one}) != hash_key({"n": other})


def test_what_is_no_json_has_a_key_all_the_same() -> None:
    class Colour(StrEnum):
        RED = "red"

    odd = {"half": "\ud800", "red": Colour.RED, "bytes": b"\xff", "object": object(), "nan": float("nan")}
    assert (
        UserMessage("x", metadata=odd).hash_key
        == UserMessage("x", metadata={**odd, "object": object()}).hash_key
    )
    assert hash_key(Colour.RED) == hash_key("red")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.text(max_size=10), st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_a_message_that_was_read_back_has_the_key_that_it_had(text: str, metadata: dict[str, Any]) -> None:
    message = Message(role="user", content=text, metadata=metadata)
    again = message_from(json.loads(json.dumps(message.to_dict())))
    if again == message:  # an infinite number is none in JSON
        assert again.hash_key == message.hash_key
    else:
        assert "inf" in repr(metadata)
