"""What holds in every test: no error is reported as dropped, unless the test expects it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rxagents import on_dropped


@pytest.fixture(params=["aiohttp", "httpx"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries the requests of models that are made in the test: one after the other."""
    from rxagents.llm import transports

    if request.param not in transports._CLIENTS:
        pytest.skip(f"{request.param} is not installed")
    chosen = {request.param: transports._CLIENTS[request.param]}
    monkeypatch.setattr(transports, "_CLIENTS", {**chosen, **transports._CLIENTS})
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An address in a test's id differs from process to process, and then the tests cannot be spread."""
    strays = [item.nodeid for item in items if " at 0x" in item.nodeid]
    assert not strays, f"give these an `ids`: {strays}"


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
