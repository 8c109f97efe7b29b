"""Backpressure over real HTTP: the socket is left alone, and TCP holds the service back."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace as NS
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, DefaultAioHttpClient

from rxagents import Agent, Completion, MessageStream, OpenAILLM, Sequence, Workflow, agent, say
from rxagents.engine.demands import demanded_by
from rxagents.engine.loops import shared_loop
from rxagents.engine.mailboxes import Mailbox
from rxagents.llm.http_answers import PIECE, HTTPAnswer
from rxagents.llm.still_sockets import left_alone
from rxagents.operators import messages, text
from rxagents.participants import Participant
from rxagents.testing import Endless, OpenAIServer, Paused
from rxagents.testing.server import RecordedRequest

WAIT = 20.0
AHEAD = 1000
ENDLESS = Endless(3, "one two three end")
WHOLE = re.compile(r"one( two)+ three end")

try:
    import aiohttp
except ImportError:
    aiohttp = None  # type: ignore[assignment]

both_transports = pytest.mark.parametrize(
    "transport",
    [
        "httpx2",
        pytest.param("aiohttp", marks=pytest.mark.skipif(aiohttp is None, reason="aiohttp is not installed")),
        pytest.param("ours", marks=pytest.mark.skipif(aiohttp is None, reason="aiohttp is not installed")),
    ],
)


@asynccontextmanager
async def model(server: OpenAIServer, transport: str, **options: Any) -> AsyncIterator[OpenAILLM]:
    if transport == "ours":
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any", max_retries=0, **options)
        yield llm
        await llm.aclose()
        return
    if transport == "aiohttp":
        options["http_client"] = DefaultAioHttpClient()
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0, **options) as client:
        yield OpenAILLM("gpt-test", client=client)


def nested(participant: Participant) -> Participant:
    for level in range(3):
        participant = Sequence(f"team{level}", [participant])
    return participant


def messages_of(conversation: Any) -> list[MessageStream]:
    """The agents' messages, at any depth."""
    found: list[MessageStream] = []
    stack = [*conversation.items]
    while stack:
        item = stack.pop()
        if isinstance(item, MessageStream):
            found += [item] if item.role == "assistant" else []
        else:
            stack.extend(getattr(item, "items", ()))
    return found


async def held_back(server: OpenAIServer) -> RecordedRequest:
    """The one request, when the server's own log shows that TCP takes no more of its answer."""
    (request,) = server.requests
    assert await asyncio.to_thread(request.held_back.wait, WAIT)
    return request


def check_complete(said: str, request: RecordedRequest) -> None:
    assert WHOLE.fullmatch(said)
    # beside its tokens: the opening event, the one with the finish reason, the usage, and [DONE]
    assert len(said.split(" ")) == request.events_sent - 4


# --- the acceptance


@both_transports
def test_a_consumer_that_sleeps_in_mid_stream_holds_the_server_back(transport: str) -> None:
    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            async with model(server, transport) as llm:
                workflow = Workflow(nested(Agent("bot", llm)))
                said: list[str] = []
                stream = workflow.arun_stream("go")
                async for mark, content in stream:
                    if mark != "delta":
                        continue
                    said.append(content["content"] or "")
                    if len(said) == 300:
                        request = await held_back(server)
                        run = workflow._session._current
                        assert run is not None
                        (message,) = messages_of(run)
                        assert len(said) <= message.length <= len(said) + AHEAD
                        assert request.events_sent > 5 * AHEAD  # it would have gone on
                        assert not request.closed.is_set()
                        server.release()
                check_complete("".join(said), request)
                assert request.completed
                assert (await message).text == "".join(said)

    asyncio.run(run())


@both_transports
def test_async_for_over_a_message_holds_the_server_back(transport: str) -> None:
    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            async with model(server, transport) as llm:
                async for message in say("go").pipe(nested(Agent("bot", llm)), messages()):  # type: ignore[attr-defined]
                    said: list[str] = []
                    async for delta in message:
                        said.append(delta["content"] or "")
                        if len(said) == 300:
                            request = await held_back(server)
                            assert len(said) <= message.length <= len(said) + AHEAD
                            server.release()
                    check_complete("".join(said), request)

    asyncio.run(run())


def test_a_plain_loop_in_a_thread_holds_the_server_back() -> None:
    with OpenAIServer([ENDLESS]) as server:
        workflow = Workflow(nested(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any"))))
        said: list[str] = []
        for mark, content in workflow.run_stream("go"):
            if mark != "delta":
                continue
            said.append(content["content"] or "")
            if len(said) == 300:
                (request,) = server.requests
                assert request.held_back.wait(WAIT)
                run = workflow._session._current
                assert run is not None
                assert messages_of(run)[0].length <= len(said) + AHEAD
                server.release()
        check_complete("".join(said), request)


def test_over_the_responses_api_too() -> None:
    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            llm = OpenAILLM("m", base_url=server.base_url, api_key="any", api="responses")
            said: list[str] = []
            async for mark, content in Workflow(nested(Agent("bot", llm))).arun_stream("go"):
                if mark == "delta":
                    said.append(content["content"] or "")
                    if len(said) == 300:
                        await held_back(server)
                        server.release()
            assert WHOLE.fullmatch("".join(said))

    asyncio.run(run())


# --- who demands everything


@pytest.mark.parametrize("how", ["start", "keep_running", "observer", "subscriber"])
def test_who_demands_everything_reads_on(how: str) -> None:
    """The server is let go on when the message has come further than a slow reader would let it."""

    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            workflow = Workflow(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any")))
            said: list[str] = []
            if how == "start":
                markers = workflow.start("go").markers().pull(buffer=5)  # type: ignore[attr-defined]
            elif how == "keep_running":
                markers = workflow.arun_stream("go", buffer=5, keep_running=True)
            else:
                markers = workflow.arun_stream("go", buffer=5)
            async for mark, content in markers:
                if mark != "delta":
                    continue
                said.append(content["content"] or "")
                if len(said) == 1:
                    await _come_far(workflow, how)
                    server.release()
            assert WHOLE.fullmatch("".join(said))

    asyncio.run(run())


async def _come_far(workflow: Workflow, how: str) -> None:
    run = workflow._session._current
    assert run is not None
    (message,) = messages_of(run)
    came_far = asyncio.Event()

    def look(_: object) -> None:
        if message.length > 5 * AHEAD:
            came_far.set()

    if how == "subscriber":
        message.subscribe(look)
    elif how == "observer":
        run.markers().subscribe(look)
    else:
        async with asyncio.timeout(WAIT):
            while message.length <= 5 * AHEAD:
                await asyncio.to_thread(int)  # nobody would tell
        return
    await asyncio.wait_for(came_far.wait(), WAIT)


def test_a_run_that_is_kept_running_reads_to_its_end_without_anybody() -> None:
    async def run() -> None:
        with OpenAIServer(["one two three"]) as server:
            workflow = Workflow(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any")))
            async with workflow.arun_stream("go", keep_running=True) as markers:
                await anext(markers)
                run = workflow._session._current
            assert run is not None
            assert await run == "done"
            assert workflow.conversation[-1].text == "one two three"
            assert server.requests[0].completed

    asyncio.run(run())


# --- leaving, and time


@both_transports
def test_leaving_while_it_pauses_closes_the_response(transport: str) -> None:
    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            async with model(server, transport) as llm:
                async with Workflow(nested(Agent("bot", llm))).arun_stream("go", buffer=5) as markers:
                    async for mark, _ in markers:
                        if mark == "delta":
                            break
                    request = await held_back(server)
                assert await asyncio.to_thread(request.wait_closed, WAIT)
                assert not request.completed

    asyncio.run(run())


@both_transports
def test_the_read_timeout_of_a_client_stands_still_while_nobody_reads(transport: str) -> None:
    """The server says nothing for longer than the timeout, and the reader sleeps for as long."""
    words = " ".join(f"w{number}" for number in range(100))

    async def run() -> None:
        with OpenAIServer([Paused(40, words)]) as server:
            async with model(server, transport, timeout=0.1) as llm:
                said: list[str] = []
                async for mark, content in Workflow(Agent("bot", llm)).arun_stream("go", buffer=5):
                    assert mark != "error", content
                    if mark == "delta":
                        said.append(content["content"] or "")
                        if len(said) == 3:
                            # as long as three timeouts, on the clock by which the client counts
                            clock = asyncio.get_running_loop()
                            passed: asyncio.Future[None] = clock.create_future()
                            clock.call_later(0.3, passed.set_result, None)
                            await passed
                            server.release()
                assert "".join(said) == words

    asyncio.run(run())


@both_transports
def test_the_read_timeout_counts_while_somebody_waits(transport: str) -> None:
    async def run() -> None:
        with OpenAIServer([Paused(5, "one two three four five six")]) as server:
            async with model(server, transport, timeout=0.1) as llm:
                marks = [marker async for marker in Workflow(Agent("bot", llm)).arun_stream("go", buffer=100)]
        errors = [content["type"] for mark, content in marks if mark == "error"]
        assert errors == ["ModelTimeoutError"]

    asyncio.run(run())


class Protocol:
    """aiohttp's end of a connection, in some version to come."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.told: list[str] = []

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if what == self.fails:
            raise AssertionError(what)

    def pause_reading(self) -> None:
        self._tell("pause")

    def resume_reading(self) -> None:
        self._tell("resume")


def answered_by(protocol: Any) -> Any:
    there = NS(_aiohttp_response=NS(connection=NS(protocol=protocol)))
    return NS(stream=NS(_stream=NS(_stream=there)))


@pytest.mark.parametrize("fails", ["", "pause"])
def test_a_connection_of_aiohttp_is_told_to_pause_and_to_go_on(fails: str) -> None:
    protocol = Protocol(fails)
    with suppress(ValueError), left_alone(answered_by(protocol)):
        assert protocol.told == ["pause"]
        raise ValueError("the reader has left")
    assert protocol.told == ["pause", "resume"]


def test_one_that_cannot_go_on_fails_the_answer_and_does_not_leave_it_waiting() -> None:
    with pytest.raises(AssertionError, match="resume"), left_alone(answered_by(Protocol("resume"))):
        pass


@pytest.mark.parametrize(
    "response",
    [
        NS(stream=NS()),
        NS(stream=NS(_aiohttp_response=NS())),
        NS(stream=NS(_aiohttp_response=NS(connection=None))),
        answered_by(None),
        answered_by(NS(pause_reading=None)),
    ],
)
def test_where_aiohttp_is_made_otherwise_it_is_left_as_it_is(response: Any) -> None:
    with left_alone(response):
        pass


def test_however_much_a_transport_reads_at_once_little_of_it_comes_ahead_of_the_reader() -> None:
    class Decoder:
        done = False
        completion = Completion()
        fed = 0

        def feed(self, chunk: bytes, emit: Any) -> None:
            self.fed += len(chunk)

    async def run() -> None:
        decoder: Any = Decoder()
        full: Mailbox[int] = Mailbox(lambda: None, 1)
        full.on_next(1)
        body = b"data: {}\n\n" * 100_000
        with demanded_by(full):
            response = httpx2.Response(200, content=_once(body))
            reading = asyncio.ensure_future(HTTPAnswer(response).read(decoder, lambda _: None))
        for _ in range(9):
            await asyncio.sleep(0)
        assert 0 < decoder.fed <= PIECE
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(run())


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


# --- other ways to the wire


def test_what_an_agent_asks_is_held_back_too() -> None:
    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            bot = Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any"))

            @agent
            async def boss(transcript: Any) -> AsyncIterator[Any]:
                yield bot.ask("go")

            said: list[str] = []
            async for word in say("go").pipe(Sequence("outer", [boss]), text("")).pull(buffer=5):
                said.append(word)
                if len(said) == 100:
                    await held_back(server)
                    server.release()
            assert WHOLE.fullmatch("".join(said))

    asyncio.run(run())


def test_two_readers_of_one_message_on_two_loops() -> None:
    """One on the loop of the message, one in a thread of its own: the faster one decides."""

    async def run() -> None:
        with OpenAIServer([ENDLESS]) as server:
            llm = OpenAILLM("m", base_url=server.base_url, api_key="any")
            workflow = Workflow(Agent("bot", llm))
            stream = workflow.arun_stream("go", buffer=5)
            async for mark, _ in stream:
                if mark == "delta":
                    break
            run = workflow._session._current
            assert run is not None
            (message,) = messages_of(run)
            await held_back(server)
            length = message.length
            assert length <= AHEAD
            said: list[str] = []
            ended = threading.Event()

            def read() -> None:
                async def reading() -> None:
                    async for delta in message:
                        said.append(delta["content"] or "")
                        if len(said) == 10 * AHEAD:
                            server.release()

                asyncio.run(reading())
                ended.set()

            threading.Thread(target=read, daemon=True).start()
            assert await asyncio.to_thread(ended.wait, WAIT)
            assert WHOLE.fullmatch("".join(said))
            await stream.aclose()

    asyncio.run(run())


def test_a_thread_that_leaves_its_loop_in_mid_stream_ends_the_run() -> None:
    with OpenAIServer([ENDLESS]) as server:
        workflow = Workflow(Agent("bot", OpenAILLM("m", base_url=server.base_url, api_key="any")))
        for mark, content in workflow.run_stream("go", buffer=5):
            if mark == "delta" and content["content"]:  # what has said nothing is not kept
                break
        assert workflow.conversation[-1].finish_reason == "interrupted"
        assert server.requests[0].wait_closed(WAIT)
        assert shared_loop().is_running()
