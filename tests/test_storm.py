"""A storm of cancellations over real sockets: at random moments, in every way there is to cancel.

Each answer that is to be cancelled stops in the middle and stays silent: so a connection that closes has
closed before its next token, and one that waits for a token to notice stays open and fails the test.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
from reactivex import Subject
from reactivex import operators as rx_ops

from rxagents import Agent, OpenAILLM, Race, Workflow, say, turns
from rxagents.llm import hedge, timeouts
from rxagents.operators import text, until
from rxagents.testing import OpenAIServer, RecordedRequest, Stalled

CANCELLATIONS = 1000
AT_ONCE = 25
WAIT = 30.0
WORDS = "one two three four five six seven eight"


def answer(body: dict[str, Any]) -> Any:
    """What the server says: `stall 3` are three increments and silence, anything else is answered."""
    asked = str(body["messages"][-1]["content"])
    stall = re.match(r"stall (\d+)", asked)
    return Stalled(int(stall[1]), WORDS) if stall else "Here I am."


class Storm:
    """One cancellation after the other, each of another kind and at another moment."""

    def __init__(self, server: OpenAIServer, seed: int) -> None:
        self.random = random.Random(seed)
        self.llm = OpenAILLM("m", base_url=server.base_url, api_key="key", max_retries=0)
        self.bot = Agent("bot", self.llm)

    async def run(self, ways: list[Way], number: int) -> None:
        """So many of them, some side by side."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(way: Way) -> None:
            async with places:
                await way(self)

        await asyncio.gather(*(one(ways[at % len(ways)]) for at in range(number)))

    def stalled(self) -> tuple[str, int]:
        """A question whose answer stops, and after how many of its tokens to act."""
        # the first increment of an answer is its role, without a word
        increments = self.random.randrange(7)
        return f"stall {increments}", self.random.randrange(increments) if increments else 0

    async def a_moment(self) -> None:
        """Some turns of the loop."""
        for _ in range(self.random.randrange(20)):
            await asyncio.sleep(0)


Way = Callable[[Storm], Awaitable[None]]


class Heard:
    """Counts the tokens that come, to act at one of them."""

    def __init__(self, tokens: int) -> None:
        self._missing = tokens
        self._due = asyncio.Event()
        if not tokens:
            self._due.set()

    def token(self, _: object) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._due.set()

    async def enough(self) -> None:
        async with asyncio.timeout(WAIT):
            await self._due.wait()


async def dispose(storm: Storm) -> None:
    question, tokens = storm.stalled()
    heard = Heard(tokens)
    subscription = say(question).pipe(storm.bot, text()).subscribe(heard.token)
    await heard.enough()
    await storm.a_moment()
    subscription.dispose()


async def stop_button(storm: Storm) -> None:
    question, tokens = storm.stalled()
    heard, button, over = Heard(tokens), Subject[str](), asyncio.Event()
    source = say(question).pipe(storm.bot, until(button), text())
    source.subscribe(heard.token, on_completed=over.set)
    await heard.enough()
    await storm.a_moment()
    button.on_next("stop")
    async with asyncio.timeout(WAIT):
        await over.wait()


async def cancelled_task(storm: Storm) -> None:
    question, tokens = storm.stalled()
    heard = Heard(tokens)

    async def read() -> None:
        async for mark, content in Workflow(storm.bot).arun_stream(question):
            if mark == "delta" and content["content"]:
                heard.token(content)

    task = asyncio.create_task(read())
    await heard.enough()
    await storm.a_moment()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def broken_generator(storm: Storm) -> None:
    question, tokens = storm.stalled()
    missing = tokens + 1

    async def words() -> Any:
        async for mark, content in Workflow(storm.bot).arun_stream(question):
            yield mark, content

    generator = words()
    async for mark, content in generator:
        missing -= mark == "start" or bool(mark == "delta" and content["content"])
        if not missing:
            break
    await storm.a_moment()
    if storm.random.random() < 0.5:
        await generator.aclose()
    del generator


async def dropped_iterator(storm: Storm) -> None:
    question, tokens = storm.stalled()
    iterator = Workflow(storm.bot).arun_stream(question)
    missing = tokens + 1
    while missing:
        mark, content = await anext(iterator)
        missing -= mark == "start" or bool(mark == "delta" and content["content"])
    await storm.a_moment()
    del iterator


async def barge_in(storm: Storm) -> None:
    question, tokens = storm.stalled()
    heard, said, over = Heard(tokens), Subject[str](), asyncio.Event()
    source = said.pipe(turns(storm.bot, "switch"), text(), rx_ops.do_action(heard.token))
    words: list[str] = []
    source.subscribe(words.append, on_completed=over.set)
    said.on_next(question)
    await heard.enough()
    await storm.a_moment()
    said.on_next("Are you there?")
    said.on_completed()
    async with asyncio.timeout(WAIT):
        await over.wait()
    assert "".join(words).endswith("Here I am.")


async def race(storm: Storm) -> None:
    # the slow one's question stops; the other's is answered
    question, _ = storm.stalled()
    question = "stall 0" if storm.random.random() < 0.5 else "stall 1"  # without a word: it loses

    def asks(id: str, words: str) -> Agent:
        def llm(request: Any) -> Any:
            messages = [*request.messages[:-1], {"role": "user", "content": words}]
            return storm.llm(type(request)(tuple(messages), agent=id))

        return Agent(id, llm)

    winner = storm.random.choice(["first_token", "first_response"])
    team = Race("race", [asks("slow", question), asks("fast", "Hello")], winner=winner)
    assert (await Workflow(team).arun("q")).text == "Here I am."


async def hedged(storm: Storm) -> None:
    asked: list[str] = []

    def first(request: Any) -> Any:
        asked.append("first")
        messages = ({"role": "user", "content": f"stall {storm.random.randrange(2)}"},)
        return storm.llm(type(request)(messages, agent="bot"))

    bot = Agent("bot", hedge(first, storm.llm, after=storm.random.random() / 50))
    assert (await Workflow(bot).arun("Hello")).text == "Here I am."
    assert asked == ["first"]


async def timed_out(storm: Storm) -> None:
    question, _ = storm.stalled()
    limit = storm.random.choice(["first_token", "between_tokens", "total"])
    if limit == "first_token":
        question = "stall 1"
    elif limit == "between_tokens":
        question = "stall 4"
    seconds = 0.02 + storm.random.random() / 50
    bot = Agent("bot", timeouts(storm.llm, **{limit: seconds}))
    result = await Workflow(bot).arun(question)
    assert result == "agent-error"
    assert type(result.error).__name__ == "ModelTimeoutError"


WAYS: list[Way] = [
    dispose, stop_button, cancelled_task, broken_generator, dropped_iterator, barge_in, race, hedged,
    timed_out,
]  # fmt: skip


@contextmanager
def nothing_left(server: OpenAIServer) -> Iterator[None]:
    """No task, no socket of this server's, and no subscription more at the end than at the start."""
    gc.collect()
    before, sockets = len(asyncio.all_tasks()), open_sockets(server)
    yield
    gc.collect()
    assert len(asyncio.all_tasks()) == before
    assert open_sockets(server) == sockets


def open_sockets(server: OpenAIServer) -> int:
    """Either end of its connections, and its own: others, of tests before, may close meanwhile."""
    port = httpx2.URL(server.base_url).port
    found = 0
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            ends = [each.getsockname()]
            with suppress(OSError):
                ends.append(each.getpeername())
            found += any(isinstance(end, tuple) and end[1] == port for end in ends)
    return found


def left_over() -> list[str]:
    """What of ours is still subscribed, among all objects there are."""
    from rxagents.engine.sinks import Sink

    return [repr(each) for each in gc.get_objects() if isinstance(each, Sink) and not each.stopped]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1])
def test_every_cancelled_response_closes_before_its_next_token(seed: int) -> None:
    with OpenAIServer(answer) as server:
        storm = Storm(server, seed)

        async def main() -> None:
            await storm.run(WAYS, len(WAYS))  # what is made once and kept is there now
            await settled(server, storm)
            with nothing_left(server):
                # what is cancelled before it was sent is no response, so there are some more
                while len(silent(server)) < CANCELLATIONS:
                    await storm.run(WAYS, CANCELLATIONS // 4)
                await settled(server, storm)

        asyncio.run(main())
        assert not any(request.completed for request in silent(server))
        assert left_over() == []


def silent(server: OpenAIServer) -> list[RecordedRequest]:
    """The requests whose answers stop in the middle, and so can but be cancelled."""
    return [one for one in server.requests if str(one.body["messages"][-1]["content"]).startswith("stall")]


async def settled(server: OpenAIServer, storm: Storm) -> None:
    """Waits until the server has seen all closed: what was cancelled, and then, let go of, what is idle."""
    loop = asyncio.get_running_loop()
    for request in list(server.requests):
        if not request.completed:
            closed = await loop.run_in_executor(None, request.closed.wait, WAIT)
            assert closed, f"still open after {request.events_sent} events: {request.body['messages'][-1]}"
    await storm.llm.aclose()
    for request in list(server.requests):
        assert await loop.run_in_executor(None, request.closed.wait, WAIT), "an idle connection is still open"
    for _ in range(20):
        await asyncio.sleep(0)
