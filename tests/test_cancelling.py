"""Cancelling: every way to leave a run closes the connection, ends its tasks, and keeps what had come."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as rx_ops

from rxagents import Agent, ChatRequest, OpenAILLM, Workflow
from rxagents.engine.async_items import AsyncItems
from rxagents.engine.loops import shared_loop
from rxagents.llm import Call, Reply
from rxagents.operators import until
from rxagents.testing import OpenAIServer, Paused

WAIT = 10.0

STREAMING = "streaming"
HEADERS = "waiting for the headers"
BLOCKING = "running a blocking tool"
ASYNC = "running an async tool"


class SilentServer:
    """Takes one request and answers nothing; sees when the client leaves."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self.asked = threading.Event()
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while connection.recv(65_536):
                self.asked.set()
        self.closed.set()

    def stop(self) -> None:
        self._thread.join(WAIT)
        self._socket.close()
        assert not self._thread.is_alive()


class Situation:
    """An agent in the midst of something: how it comes to be so, and what must be true when it was left."""

    def __init__(self, doing: str, resources: ExitStack) -> None:
        self.doing = doing
        self.stop = rx.Subject[str]()
        self.calls: list[str] = []
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.go_on = threading.Event()
        self.server = resources.enter_context(OpenAIServer(self._answer))
        llm = self.llm = OpenAILLM("gpt-test", base_url=self.server.base_url, api_key="any")
        if doing == HEADERS:
            self.silent = SilentServer()
            resources.callback(self.silent.stop)
            mute = OpenAILLM("gpt-test", base_url=self.silent.base_url, api_key="any")

            def either(request: ChatRequest) -> rx.Observable[Any]:
                return (llm if self.silent.asked.is_set() else mute)(request)

            self.agent = Agent("a", either)
        else:
            self.agent = Agent("a", llm)
        for tool in (self.blocking, self.asynchronous, self.later):
            self.agent.register_tool()(tool)
        resources.callback(self.go_on.set)
        self.before = set(tasks_of(shared_loop()))

    def _answer(self, body: dict[str, Any]) -> Any:
        last = body["messages"][-1]
        if last["content"] == "again":
            return "Here I am again."
        if self.doing == STREAMING:
            return Paused(4, "one two three four five")
        first = "blocking" if self.doing == BLOCKING else "asynchronous"
        return Call("later") if last["role"] == "tool" else Reply("Let me see.", [Call(first)])

    def blocking(self) -> str:
        """Blocks its thread."""
        self.calls.append("blocking")
        self.entered.set()
        self.go_on.wait(WAIT)
        return "done"

    async def asynchronous(self) -> str:
        """Waits on the loop."""
        self.calls.append("asynchronous")
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "done"

    def later(self) -> str:
        """Must never be called."""
        self.calls.append("later")
        return "done"

    def workflow(self) -> Workflow:
        return Workflow(lambda source: source.pipe(self.agent, until(self.stop)))

    def is_reached(self, marker: Any) -> bool:
        """Whether this is the last marker before the run waits for something."""
        mark, content = marker
        if self.doing == HEADERS:
            return bool(mark == "start")
        if self.doing == STREAMING:
            return bool(mark == "delta" and content["content"] == " three")
        return bool(mark == "delta" and all(value is None for value in content.values()))

    def wait(self) -> None:
        """Blocks until the agent is in the midst of it; to be called when the markers came so far."""
        if self.doing == HEADERS:
            assert self.silent.asked.wait(WAIT)
        elif self.doing != STREAMING:
            assert self.entered.wait(WAIT)

    def check(self, workflow: Workflow) -> None:
        conversation = workflow.conversation
        kept = {STREAMING: ["one two three"], HEADERS: []}.get(self.doing, ["Let me see."])
        assert [message.text for message in conversation] == ["Hi", *kept]
        assert all(message.finish_reason == "interrupted" for message in conversation[1:])
        if self.doing == HEADERS:
            assert self.silent.closed.wait(WAIT)
        if self.doing == STREAMING:
            (request,) = self.server.requests
            assert request.wait_closed(WAIT)
            assert self.server.open_connections == 0
            assert not request.completed
            request.release()
            assert request.events_sent == 4
        if self.doing == ASYNC:
            assert self.cancelled.wait(WAIT)
        self.go_on.set()  # the blocking tool returns now, and nobody takes what it gives
        assert not unfinished(shared_loop(), self.before)
        asked = len(self.server.requests)
        # the same workflow goes on, and the history that it sends is one that a service takes
        answer = workflow.run("again")
        assert (answer, answer.text, answer.error) == ("done", "Here I am again.", None)
        assert len(self.server.requests) == asked + 1
        assert "later" not in self.calls
        assert len(self.calls) == (self.doing in (BLOCKING, ASYNC))
        check_history(self.server.requests[-1].body["messages"])


def tasks_of(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    async def tasks() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    return asyncio.run_coroutine_threadsafe(tasks(), loop).result(WAIT)


async def not_ended(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """The tasks of the running loop, other than those before, that do not end by themselves."""
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    return (await asyncio.wait(left, timeout=WAIT))[1] if left else set()


def unfinished(loop: asyncio.AbstractEventLoop, before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return asyncio.run_coroutine_threadsafe(not_ended(before), loop).result(2 * WAIT)


def check_history(messages: list[dict[str, Any]]) -> None:
    """Every call in it is answered right behind it, and no message is empty, as OpenAI demands."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
        else:
            assert not open_calls
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
            assert message["content"] or open_calls
    assert not open_calls
    assert messages[-1] == {"role": "user", "content": "again"}


@pytest.fixture(params=[STREAMING, HEADERS, BLOCKING, ASYNC])
def situation(request: Any) -> Iterator[Situation]:
    with ExitStack() as resources:
        yield Situation(request.param, resources)


# -- from a thread


def by_closing(situation: Situation, workflow: Workflow) -> None:
    markers = workflow.run_stream("Hi")
    while not situation.is_reached(next(markers)):
        pass
    situation.wait()
    markers.close()
    assert list(markers) == []


def by_breaking_out(situation: Situation, workflow: Workflow) -> None:
    for marker in workflow.run_stream("Hi"):
        if situation.is_reached(marker):
            situation.wait()
            break


def by_an_exception_in_the_loop(situation: Situation, workflow: Workflow) -> None:
    def read() -> None:
        for marker in workflow.run_stream("Hi"):
            if situation.is_reached(marker):
                situation.wait()
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()


def by_dropping_the_iterator(situation: Situation, workflow: Workflow) -> None:
    markers = workflow.run_stream("Hi")
    while not situation.is_reached(next(markers)):
        pass
    situation.wait()
    del markers
    gc.collect()


def by_disposing_a_subscription(situation: Situation, workflow: Workflow) -> None:
    reached = threading.Event()
    after: list[Any] = []

    def on_next(marker: Any) -> None:
        if reached.is_set():
            after.append(marker)
        if situation.is_reached(marker):
            reached.set()

    subscription = workflow.observe("Hi").subscribe(on_next)
    assert reached.wait(WAIT)
    situation.wait()
    subscription.dispose()
    assert after == []


def by_disposing_the_run(situation: Situation, workflow: Workflow) -> None:
    run = workflow.start("Hi")
    markers = _read_until_reached(situation, run.markers())
    situation.wait()
    run.dispose()
    _expect_interrupted(situation, markers)


def by_a_signal(situation: Situation, workflow: Workflow) -> None:
    markers = _read_until_reached(situation, workflow.observe("Hi"))
    situation.wait()
    situation.stop.on_next("stop")
    _expect_interrupted(situation, markers)


class Reading:
    def __init__(self, situation: Situation, markers: rx.Observable[Any]) -> None:
        self.got: list[Any] = []
        self.reached = threading.Event()
        self.ended = threading.Event()
        self._situation = situation
        markers.subscribe(self._note, on_completed=self.ended.set)

    def _note(self, marker: Any) -> None:
        self.got.append(marker)
        if self._situation.is_reached(marker):
            self.reached.set()


def _read_until_reached(situation: Situation, markers: rx.Observable[Any]) -> Reading:
    reading = Reading(situation, markers)
    assert reading.reached.wait(WAIT)
    return reading


def _expect_interrupted(situation: Situation, reading: Reading) -> None:
    assert reading.ended.wait(WAIT)
    assert [mark for mark, _ in reading.got[-3:]] == ["interrupted", "end", "result"]
    assert reading.got[-1] == ("result", "interrupted")


THREAD_WAYS = [
    by_closing,
    by_breaking_out,
    by_an_exception_in_the_loop,
    by_dropping_the_iterator,
    by_disposing_a_subscription,
    by_disposing_the_run,
    by_a_signal,
]


@pytest.mark.parametrize("leave", THREAD_WAYS)
def test_leaving_a_run_from_a_thread(leave: Callable[..., None], situation: Situation) -> None:
    workflow = situation.workflow()
    leave(situation, workflow)
    situation.check(workflow)


# -- on an asyncio loop


async def by_closing_async(situation: Situation, workflow: Workflow) -> None:
    markers = workflow.arun_stream("Hi")
    await _iterate_until_reached(situation, markers)
    await markers.aclose()
    assert [marker async for marker in markers] == []


async def by_leaving_the_context(situation: Situation, workflow: Workflow) -> None:
    async with workflow.arun_stream("Hi") as markers:
        await _iterate_until_reached(situation, markers)


async def by_breaking_out_async(situation: Situation, workflow: Workflow) -> None:
    async for marker in workflow.arun_stream("Hi"):
        if situation.is_reached(marker):
            await asyncio.to_thread(situation.wait)
            break


async def by_dropping_the_async_iterator(situation: Situation, workflow: Workflow) -> None:
    markers = workflow.arun_stream("Hi")
    await _iterate_until_reached(situation, markers)
    del markers
    gc.collect()


async def by_cancelling_the_reader(situation: Situation, workflow: Workflow) -> None:
    reached = asyncio.Event()

    async def read() -> None:
        async for marker in workflow.arun_stream("Hi"):
            if situation.is_reached(marker):
                reached.set()

    await _cancel(asyncio.create_task(read()), reached, situation)


async def _cancel(task: asyncio.Task[None], reached: asyncio.Event, situation: Situation) -> None:
    await reached.wait()
    await asyncio.to_thread(situation.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_disposing_an_async_subscription(situation: Situation, workflow: Workflow) -> None:
    reached = asyncio.Event()
    subscription = workflow.observe("Hi").subscribe(
        lambda marker: reached.set() if situation.is_reached(marker) else None
    )
    await reached.wait()
    await asyncio.to_thread(situation.wait)
    subscription.dispose()


async def by_disposing_a_run_of_this_loop(situation: Situation, workflow: Workflow) -> None:
    run = workflow.start("Hi")
    await _iterate_until_reached(situation, AsyncItems(run.markers()))
    run.dispose()
    assert run.ended
    assert await run == "interrupted"


async def by_a_signal_from_another_thread(situation: Situation, workflow: Workflow) -> None:
    markers = workflow.arun_stream("Hi")
    await _iterate_until_reached(situation, markers)
    await asyncio.to_thread(situation.stop.on_next, "stop")
    rest = [marker async for marker in markers]
    assert [mark for mark, _ in rest] == ["interrupted", "end", "result"]
    assert rest[-1] == ("result", "interrupted")


async def _iterate_until_reached(situation: Situation, markers: AsyncItems[Any]) -> None:
    while not situation.is_reached(await anext(markers)):
        pass
    await asyncio.to_thread(situation.wait)


ASYNC_WAYS = [
    by_closing_async,
    by_leaving_the_context,
    by_breaking_out_async,
    by_dropping_the_async_iterator,
    by_cancelling_the_reader,
    by_disposing_an_async_subscription,
    by_disposing_a_run_of_this_loop,
    by_a_signal_from_another_thread,
]


@pytest.mark.parametrize("leave", ASYNC_WAYS)
def test_leaving_a_run_on_an_asyncio_loop(
    leave: Callable[..., Awaitable[None]], situation: Situation
) -> None:
    workflow = situation.workflow()

    async def main() -> None:
        await leave(situation, workflow)
        assert not await not_ended(set())

    asyncio.run(main())
    situation.check(workflow)


@pytest.mark.parametrize("doing", [HEADERS, BLOCKING, ASYNC])
def test_cancelling_arun(doing: str) -> None:
    with ExitStack() as resources:
        situation = Situation(doing, resources)
        workflow = situation.workflow()

        async def main() -> None:
            task = asyncio.create_task(workflow.arun("Hi"))
            await asyncio.to_thread(situation.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not await not_ended(set())

        asyncio.run(main())
        situation.check(workflow)


@pytest.mark.usefixtures("each_transport")
def test_cancelling_arun_while_it_streams() -> None:
    with OpenAIServer([Paused(4, "one two three four"), "Here I am again."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        third = threading.Event()

        def note(delta: Any) -> None:
            if isinstance(delta, dict) and delta["content"] == " three":
                third.set()

        workflow = Workflow(Agent("a", lambda request: llm(request).pipe(rx_ops.do_action(note))))

        async def main() -> None:
            task = asyncio.create_task(workflow.arun("Hi"))
            assert await asyncio.to_thread(third.wait, WAIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not await not_ended(set())

        asyncio.run(main())
        assert server.requests[0].wait_closed(WAIT)
        assert [message.text for message in workflow.conversation] == ["Hi", "one two three"]
        assert workflow.conversation[-1].finish_reason == "interrupted"
        assert workflow.run("again").text == "Here I am again."


# -- what else must hold


@pytest.mark.usefixtures("each_transport")
def test_the_connection_closes_although_the_loop_has_other_readers_of_other_runs() -> None:
    with OpenAIServer(lambda _: Paused(3, "one two three")) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        streams = [Workflow(Agent("a", llm)).run_stream("Hi") for _ in range(5)]
        for each in streams:
            assert [next(each)[0] for _ in range(4)] == ["start", "delta", "delta", "delta"]
        streams[2].close()
        assert server.requests[2].wait_closed(WAIT)
        assert server.open_connections == 4
        server.release()
        for each in streams[:2] + streams[3:]:
            assert list(each)[-1] == ("result", "done")
        assert [request.completed for request in server.requests] == [True, True, False, True, True]


def test_one_reader_of_a_run_that_leaves_cancels_nothing() -> None:
    with OpenAIServer(lambda _: Paused(3, "one two three")) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        run = Workflow(Agent("a", llm)).start("Hi")
        reached = threading.Event()
        first = run.markers().subscribe(lambda marker: reached.set() if marker[0] == "delta" else None)
        assert reached.wait(WAIT)
        first.dispose()
        server.release()
        ended = threading.Event()
        run.markers().subscribe(lambda _: None, on_completed=ended.set)
        assert ended.wait(WAIT)
        assert run.result == "done"
        assert server.requests[0].completed


@pytest.mark.usefixtures("each_transport")
def test_a_hundred_runs_that_are_left_leave_nothing_behind() -> None:
    with OpenAIServer(lambda _: Paused(2, "one two three")) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("a", llm))
        before = set(tasks_of(shared_loop()))
        for _ in range(100):
            workflow.restart()
            for mark, _content in workflow.run_stream("Hi"):
                if mark == "delta":
                    break
        assert all(request.wait_closed(WAIT) for request in server.requests)
        assert len(server.requests) == 100
        assert server.open_connections == 0
        assert not unfinished(shared_loop(), before)
