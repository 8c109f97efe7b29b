"""Who decides whether a run goes on: its reader, all of its readers, or nobody."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from rxagents import Agent, OpenAILLM, Run, ScriptedLLM, Sequence, Workflow, WorkflowBusyError, say
from rxagents.engine.demands import demanded_by
from rxagents.engine.mailboxes import Mailbox
from rxagents.operators import messages, shared, text
from rxagents.testing import Marbles, OpenAIServer, Paused, Stalled

WAIT = 10.0


def workflow() -> Workflow:
    return Workflow(Sequence("team", [Agent("bot", ScriptedLLM(["one two three"] * 2, delay=1.0))]))


def running(flow: Workflow) -> Run:
    run = flow._session._current
    assert run is not None
    return run


@pytest.mark.parametrize("how", ["arun_stream", "observe"])
def test_a_run_that_is_kept_running_runs_on(marbles: Marbles, how: str) -> None:
    async def run() -> None:
        flow = workflow()
        if how == "observe":
            markers = flow.observe("go", keep_running=True).pull()  # type: ignore[attr-defined]
        else:
            markers = flow.arun_stream("go", keep_running=True)
        async with markers:
            await anext(markers)
        it = running(flow)
        assert not it.ended
        with pytest.raises(WorkflowBusyError):
            flow.start("again")
        assert await it == "done"
        assert flow.conversation[-1].text == "one two three"

    marbles.run(run())


def test_without_it_leaving_cancels(marbles: Marbles) -> None:
    async def run() -> None:
        flow = workflow()
        async with flow.arun_stream("go") as markers:
            await anext(markers)
            await asyncio.sleep(0.5)
            it = running(flow)
        assert it.interrupted
        await asyncio.sleep(0)
        assert await flow.arun("again") == "done"

    marbles.run(run())


def test_in_a_plain_thread() -> None:
    with OpenAIServer([Paused(2, "one two three")]) as server:
        flow = Workflow(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any")))
        for _ in flow.run_stream("go", keep_running=True):
            it = running(flow)
            break
        ended = threading.Event()
        it.on_end(lambda _: ended.set())
        assert server.wait_for_requests(1, WAIT)
        server.release()
        assert ended.wait(WAIT)
        assert it.result == "done"
        assert server.requests[0].completed


def test_the_last_one_out_ends_a_run_that_is_not_kept_running(marbles: Marbles) -> None:
    async def run() -> None:
        flow = workflow()
        it = flow.start("go", keep_running=False)
        one, two = it.markers().pull(), it.markers().pull()  # type: ignore[attr-defined]
        await anext(one)
        await asyncio.sleep(1.5)
        early = await anext(two)
        assert early == ("start", "team")  # a late one is told all
        await one.aclose()
        assert not it.ended
        await two.aclose()
        assert it.ended
        assert it.result == "interrupted"
        assert flow.conversation[-1].finish_reason == "interrupted"
        assert flow.conversation[-1].text.startswith("one")
        assert await flow.arun("again") == "done"

    marbles.run(run())


def test_it_begins_at_once_and_ends_by_itself_if_nobody_comes(marbles: Marbles) -> None:
    async def run() -> None:
        it = workflow().start("go", keep_running=False)
        await asyncio.sleep(10)
        assert it.result == "done"

    marbles.run(run())


@pytest.mark.parametrize("keep_running", [True, False])
def test_a_run_that_is_started_by_one_who_serves_a_busy_reader_does_not_wait_for_that_one(
    marbles: Marbles, keep_running: bool
) -> None:
    async def run() -> None:
        full: Mailbox[int] = Mailbox(lambda: None, 1)
        full.on_next(1)
        with demanded_by(full):
            started = Workflow(Agent("bot", ScriptedLLM(["one two"]))).start("go", keep_running=keep_running)
        await asyncio.sleep(1)
        assert started.result == "done"

    marbles.run(run())


def test_who_awaits_a_run_is_one_of_its_watchers(marbles: Marbles) -> None:
    async def run() -> None:
        it = workflow().start("go", keep_running=False)
        waiting = asyncio.ensure_future(it)
        await asyncio.sleep(0)
        markers = it.markers().pull()  # type: ignore[attr-defined]
        await anext(markers)
        await markers.aclose()
        assert not it.ended
        assert await waiting == "done"

    async def cancelled() -> None:
        it = workflow().start("go", keep_running=False)
        waiting = asyncio.ensure_future(_wait(it))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await asyncio.sleep(0)
        assert it.interrupted

    async def both() -> None:
        await run()
        await cancelled()

    marbles.run(both())


async def _wait(run: Run) -> Any:
    return await run


def test_a_run_left_in_one_thread_is_over_when_that_thread_asks_again() -> None:
    with OpenAIServer([Stalled(3, "one two three"), "Yes."]) as server:
        flow = Workflow(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any")))
        it = flow.start("go", keep_running=False)
        heard = threading.Event()
        watching = it.markers().subscribe(lambda marker: heard.set() if marker[0] == "delta" else None)
        assert heard.wait(WAIT)
        watching.dispose()
        assert flow.run("again").text == "Yes."
        assert it.interrupted
        assert server.requests[0].wait_closed(WAIT)


@pytest.mark.parametrize("keep_running", [True, False])
def test_a_shared_pipeline(marbles: Marbles, keep_running: bool) -> None:
    async def run() -> None:
        bot = Agent("bot", ScriptedLLM(["one two three"], delay=1.0))
        both = say("go").pipe(bot, shared(keep_running=keep_running))
        one, two = both.pipe(text()).pull(), both.pipe(text()).pull()
        await anext(one)
        await anext(two)
        await one.aclose()
        assert not both.ended
        await two.aclose()
        assert both.ended is not keep_running
        await asyncio.sleep(10)
        assert both.ended
        assert both.interrupted is not keep_running
        (said,) = [await message.message async for message in both.pipe(messages())]
        assert said.text.strip() == ("one two three" if keep_running else "one")

    marbles.run(run())
