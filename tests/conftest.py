"""What holds in every test: no error is reported as dropped, unless the test expects it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxagents import on_dropped


@pytest.fixture(autouse=True)
def nothing_is_dropped(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which an error was reported that nobody heard; the mark `drops` is the way out."""
    if request.node.get_closest_marker("drops") is not None:
        yield
        return
    heard: list[str] = []
    before = on_dropped(lambda error, what: heard.append(f"{what}: {type(error).__name__}: {error}"))
    yield
    on_dropped(before)
    assert not heard, "errors that nobody heard"
