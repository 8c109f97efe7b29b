"""Many at once: what an open stream occupies, what is left behind, how soon a connection is let go of."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from rxagents import Agent, ChatRequest, OpenAILLM, Team, Workflow
from rxagents.engine.bridges import from_async
from rxagents.llm import http_answers
from rxagents.llm.transports import Transport
from rxagents.participants import Participant
from rxagents.testing import OpenAIServer, Paused

KINDS: tuple[Transport, ...] = ("httpx", "aiohttp")


@pytest.fixture(params=KINDS)
def transport(request: pytest.FixtureRequest) -> Transport:
    if request.param == "aiohttp":
        pytest.importorskip("aiohttp")
    kind: Transport = request.param
    return kind


def nested(llm: Callable[[ChatRequest], Any], deep: int) -> Participant:
    inner: Participant = Agent("bot", llm)
    for level in range(1, deep):
        inner = Team(llm, [inner], f"team{level}", max_turns=1)
    return inner


def test_an_open_stream_of_five_levels_occupies_little() -> None:
    tokens, streams = 20, 40
    heard = 0

    async def main() -> float:
        enough, stop = asyncio.Event(), asyncio.Event()

        async def answer(emit: Callable[[str], None]) -> None:
            for number in range(tokens):
                emit(f"word{number}")
                await asyncio.sleep(0)
            await stop.wait()

        team = nested(lambda request: from_async(answer), 5)

        async def read() -> None:
            nonlocal heard
            async for mark, _ in Workflow(team).arun_stream("go"):
                heard += mark == "delta"
                if heard == tokens * streams:
                    enough.set()

        async def read_all() -> list[asyncio.Task[None]]:
            nonlocal heard
            heard = 0
            enough.clear()
            reading = [asyncio.ensure_future(read()) for _ in range(streams)]
            await enough.wait()
            gc.collect()
            return reading

        before = await read_all()  # with all that is made once
        tracemalloc.start()
        try:
            reading = await read_all()
            occupied = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        stop.set()
        await asyncio.gather(*before, *reading)
        return occupied / streams / 1024

    # 40 of it measured with Python 3.11; it was 75 before anybody looked
    assert asyncio.run(main()) < 52


def garbage_of(act: Callable[[], Any]) -> Counter[str]:
    """The objects of ours that only a search for garbage finds, by their names."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        act()
        gc.collect()
        return Counter(
            f"{type(each).__module__}.{type(each).__qualname__}"
            for each in gc.garbage
            if type(each).__module__.startswith("rxagents")
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("left", [False, True], ids=["to its end", "left"])
def test_a_turn_leaves_nothing_that_must_be_searched_for(transport: Transport, left: bool) -> None:
    with OpenAIServer(
        lambda body: Paused(3, "one two three four five") if left else "one two three"
    ) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", transport=transport)
        team = nested(llm, 3)

        async def turn() -> None:
            words = 0
            async with Workflow(team).arun_stream("go") as markers:
                async for mark, _ in markers:
                    words += mark == "delta"
                    if left and words == 2:
                        break

        with asyncio.Runner() as runner:

            def some() -> None:
                for _ in range(3):
                    runner.run(turn())
                runner.run(asyncio.sleep(0.05))

            some()
            assert garbage_of(some) == {}
            runner.run(llm.aclose())


@pytest.mark.parametrize("deep", [1, 30])
def test_the_connection_is_let_go_of_before_dispose_returns(
    transport: Transport, deep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up: list[httpx2.Response] = []
    hang_up = http_answers.hang_up

    def noted(response: httpx2.Response) -> None:
        hung_up.append(response)
        hang_up(response)

    monkeypatch.setattr(http_answers, "hang_up", noted)
    with OpenAIServer(lambda body: Paused(3, "one two three four five")) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", transport=transport)
        team = nested(llm, deep)

        async def main() -> list[Any]:
            told: list[Any] = []
            left = asyncio.Event()

            def hear(marker: Any) -> None:
                told.append(marker[0])
                if told.count("delta") == 2:
                    subscription.dispose()
                    # no round of the loop lies between, and so no tear-down of whatever stands around it
                    told.append(len(hung_up))
                    left.set()

            subscription = Workflow(team).observe("go").subscribe(hear)
            await left.wait()
            assert await asyncio.to_thread(server.requests[0].wait_closed, 5)
            await llm.aclose()
            return told

        told = asyncio.run(main())
    assert told[-1] == 1
    assert told[:-1] == ["start"] * deep + ["delta"] * 2


def test_a_connection_that_went_back_to_its_pool_is_not_hung_up(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read to its end is nobody's to hang up: the next request has the connection."""
    responses: list[httpx2.Response] = []
    init = http_answers.HTTPAnswer.__init__

    def noted(self: Any, response: httpx2.Response) -> None:
        responses.append(response)
        init(self, response)

    monkeypatch.setattr(http_answers.HTTPAnswer, "__init__", noted)
    with OpenAIServer(lambda body: "one two three") as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", transport=transport)

        async def main() -> list[str]:
            said = []
            for _ in range(3):
                said.append((await Workflow(Agent("bot", llm)).arun("go")).text)
                assert server.open_connections == 1
                for response in responses:
                    http_answers.hang_up(response)
            await llm.aclose()
            return said

        assert asyncio.run(main()) == ["one two three"] * 3
