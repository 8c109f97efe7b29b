"""The exception tree is the one that is drawn; an error knows where it passed."""

from __future__ import annotations

import inspect
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxagents
from rxagents import errors
from rxagents.errors import (
    ConfigurationError,
    InputError,
    ModelError,
    ModelStatusError,
    ModelStreamError,
    RxAgentsError,
)
from rxagents.places import located, located_as, placed, raisable, unlocated, where


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Each class of the docstring's tree: its parent there, and the built-in one in brackets."""
    assert errors.__doc__ is not None
    tree = errors.__doc__.split("```")[1].strip().splitlines()
    found: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in tree:
        match = re.fullmatch(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?(?:  .*)?", line)
        assert match is not None, line
        depth = len(match[1]) // 4
        path[depth:] = [match[2]]
        found[match[2]] = (path[depth - 1] if depth else None, match[3])
    return found


def test_the_tree_that_is_drawn_is_the_real_one() -> None:
    real: dict[str, tuple[str | None, str | None]] = {}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            ours = [base.__name__ for base in kind.__bases__ if base.__module__ == errors.__name__]
            built_in = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
            built_in = [base for base in built_in if base != "Exception"]
            real[name] = (ours[0] if ours else None, built_in[0] if built_in else None)
    assert drawn() == real


def test_all_of_the_tree_is_public_and_documented() -> None:
    assert sorted(errors.__all__) == sorted(drawn())
    for name in errors.__all__:
        kind = getattr(rxagents, name)
        assert kind is getattr(errors, name)
        assert issubclass(kind, RxAgentsError)
        assert kind.__doc__


def test_errors_of_use_are_also_the_built_in_ones() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(InputError, TypeError)


def test_a_models_errors_carry_what_the_service_said() -> None:
    status = ModelStatusError("slow down", status=429, request_id="r1")
    assert (str(status), status.status, status.request_id) == ("slow down", 429, "r1")
    stream = ModelStreamError("overloaded", {"code": 1})
    assert (str(stream), stream.body) == ("overloaded", {"code": 1})
    assert isinstance(status, ModelError)
    assert isinstance(stream, ModelError)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6))
def test_an_error_remembers_its_places_from_the_outside_in_one_note(places: list[str]) -> None:
    error = ValueError("x")
    error.add_note("mine")
    for place in places:
        assert located(error, place) is error
    assert where(error) == tuple(reversed(places))
    assert error.__notes__ == ["mine", "in " + " > ".join(reversed(places))]


def test_a_traceback_shows_where() -> None:
    error = located(located(ValueError("x"), "agent1"), "team")
    assert "".join(traceback.format_exception(error)).endswith("ValueError: x\nin team > agent1\n")


def test_an_error_that_passed_nowhere_has_no_places() -> None:
    error = ValueError("x")
    assert where(error) == ()
    assert not hasattr(unlocated(error), "__notes__")


def test_an_error_may_be_raised_anew_or_reach_another_by_another_way() -> None:
    error = located(ValueError("x"), "agent1")
    unlocated(error)
    assert (where(error), error.__notes__) == ((), [])
    placed(error, ("a", "b"))
    placed(error, ("c",))
    assert (where(error), error.__notes__) == (("c",), ["in c"])


@pytest.mark.parametrize("foreign", [[], ["in somewhere else"]])
def test_notes_of_others_stay(foreign: list[str]) -> None:
    error = located(ValueError("x"), "agent1")
    for note in foreign:
        error.add_note(note)
    located(error, "team")
    assert error.__notes__ == [*foreign, "in team > agent1"]


def test_what_a_coroutine_can_raise_is_located_as_it_is() -> None:
    error = ValueError("x")
    assert raisable(error, "f") is error
    assert located_as(error, "f") is error
    assert where(error) == ("f",)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_the_end_of_an_iteration_becomes_a_runtime_error_of_its_place(kind: type[Exception]) -> None:
    error = kind("x")
    raised = located_as(error, "stop_callback")
    assert type(raised) is RuntimeError
    assert str(raised).startswith(f"stop_callback raised {kind.__name__},")
    assert raised.__cause__ is error
    assert (where(raised), where(error)) == (("stop_callback",), ())
