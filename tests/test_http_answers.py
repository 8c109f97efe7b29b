"""Answers of transports of all kinds, and after all that a hook may have done to a response."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from rxagents import ChatRequest, OpenAILLM
from rxagents.engine.bridges import forward
from rxagents.engine.demands import Demand, demanded_by
from rxagents.errors import ModelConnectionError
from rxagents.kept_deltas import Kept
from rxagents.llm.chat_stream import ChatStreamDecoder
from rxagents.llm.http_answers import PIECE, HTTPAnswer
from rxagents.llm.ready_reads import ReadyReads

ASK = ChatRequest(({"role": "user", "content": "Hi"},))
WORDS = [f"word{number} " for number in range(20)]


def event(word: str) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": word}}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


BODY = b"".join(map(event, WORDS)) + b"data: [DONE]\n\n"
READS = [BODY[begin : begin + 31] for begin in range(0, len(BODY), 31)]


class Waited:
    """What can be awaited, and nothing else."""

    def __init__(self, result: Awaitable[bytes]) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._result.__await__()


class Reads(httpx2.AsyncByteStream):
    """A body whose iterator is no generator."""

    def __init__(self, awaited: Callable[[Any], Any]) -> None:
        self._awaited = awaited
        self._reads = iter(READS)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Any:
        return self._awaited(self._next())

    async def _next(self) -> bytes:
        for read in self._reads:
            return read
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


class Unbound(httpx2.AsyncClient):
    """Gives a response as its transport gave it, without a stream around its own."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        super().__init__()
        self._stream = stream

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        return httpx2.Response(200, stream=self._stream, request=request)


def answered(http_client: httpx2.AsyncClient) -> str:
    async def run() -> str:
        client = AsyncOpenAI(base_url="http://host/v1", api_key="any", http_client=http_client, max_retries=0)
        items: list[Any] = []
        await forward(OpenAILLM("gpt-test", client=client)(ASK), items.append)
        return "".join(item["content"] for item in items[:-1])

    return asyncio.run(run())


def hooked(hook: Callable[[httpx2.Response], Awaitable[None]], *, zipped: bool) -> httpx2.AsyncClient:
    async def reads() -> AsyncIterator[bytes]:
        body = gzip.compress(BODY) if zipped else BODY
        for begin in range(0, len(body), 31):
            yield body[begin : begin + 31]

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"Content-Encoding": "gzip"} if zipped else {}, content=reads())

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), event_hooks={"response": [hook]})


def heard(_: object) -> None:
    pass


def leaving(_: object) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("awaited", [lambda coroutine: coroutine, Waited], ids=["coroutine", "awaitable"])
@pytest.mark.parametrize("bound", [True, False])
def test_the_iterator_of_a_body_need_be_no_generator(awaited: Callable[[Any], Any], bound: bool) -> None:
    stream = Reads(awaited)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=stream))
    client = httpx2.AsyncClient(transport=transport) if bound else Unbound(stream)
    assert answered(client) == "".join(WORDS)
    assert stream.closed


@pytest.mark.parametrize("zipped", [False, True])
def test_a_hook_may_read_the_response(zipped: bool) -> None:
    async def read(response: httpx2.Response) -> None:
        await response.aread()

    assert answered(hooked(read, zipped=zipped)) == "".join(WORDS)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_response_that_a_hook_has_closed_or_begun_is_no_answer(zipped: bool) -> None:
    async def begin(response: httpx2.Response) -> None:
        async for _ in response.aiter_bytes():
            break

    with pytest.raises(ModelConnectionError, match=r"after 0 bytes of it \(StreamClosed\)"):
        answered(hooked(httpx2.Response.aclose, zipped=zipped))
    with pytest.raises(ModelConnectionError, match=r"after [1-9]\d* bytes of it \(StreamConsumed\)"):
        answered(hooked(begin, zipped=zipped))


def test_what_has_come_of_a_compressed_answer_is_counted_as_it_came() -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield gzip.compress(BODY)[:12]
        raise httpx2.ReadError("lost")

    response = httpx2.Response(200, headers={"Content-Encoding": "gzip"}, content=cut())
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: response))
    with pytest.raises(ModelConnectionError, match="after 12 bytes of it"):
        answered(client)


@pytest.mark.parametrize("ended", [True, False])
def test_an_answer_that_is_over_is_let_go_of_without_the_collector(ended: bool) -> None:
    async def reads() -> AsyncIterator[bytes]:
        for read in READS if ended else READS[:3]:
            yield read
        if not ended:
            raise httpx2.ReadError("lost")

    async def run() -> None:
        answer = HTTPAnswer(
            httpx2.Response(200, content=reads(), request=httpx2.Request("GET", "http://host"))
        )
        reading = asyncio.ensure_future(answer.read(ChatStreamDecoder(), heard if ended else leaving))
        await asyncio.wait((reading,))
        assert reading.cancelled() is not ended
        left = weakref.ref(answer)
        del answer, reading
        await asyncio.sleep(0)
        assert left() is None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("whole", [True, False])
def test_no_more_comes_ahead_than_is_wanted_however_it_is_written(ends: bytes, whole: bool) -> None:
    written = [event(word).replace(b"\n\n", ends) for word in WORDS]
    given: list[bytes] = []

    async def reads() -> AsyncIterator[bytes]:
        for each in written:
            for read in [each] if whole else [each[:-1], each[-1:]]:
                given.append(read)
                yield read

    async def run() -> None:
        first = await anext(ReadyReads(reads(), PIECE, lambda: 3))
        assert first == b"".join(written[:3])
        assert b"".join(given) == first

    asyncio.run(run())


@pytest.mark.parametrize("length", [0, 1, 100, 101, 1000])
@pytest.mark.parametrize("what", [b"data: {}\n\n", b"x" * 250])
def test_a_read_is_cut_into_pieces_that_are_the_read(what: bytes, length: int) -> None:
    body = what * (length // len(what) + 1) + b"y" * (length % 7)

    async def reads() -> AsyncIterator[bytes]:
        yield body

    async def run() -> None:
        reading = ReadyReads(reads(), 100, lambda: 1000)
        pieces = [piece async for piece in reading]
        assert b"".join(pieces) == body
        assert all(0 < len(piece) <= 100 for piece in pieces)
        assert reading.received == len(body)
        if what.endswith(b"\n\n"):
            assert all(piece.endswith(b"\n\n") for piece in pieces[:-1])

    asyncio.run(run())


def test_no_more_is_joined_than_it_is_told_also_of_what_is_all_there() -> None:
    given: list[bytes] = []

    async def reads() -> AsyncIterator[bytes]:
        for _ in range(100):
            given.append(b"12345")
            yield given[-1]

    async def run() -> None:
        assert await anext(ReadyReads(reads(), 10, lambda: 1000)) == b"1234512345"
        assert len(given) == 2

    asyncio.run(run())


def test_what_is_put_back_comes_before_what_was_cut_off() -> None:
    async def reads() -> AsyncIterator[bytes]:
        yield b"12345"

    async def run() -> list[bytes]:
        reading = ReadyReads(reads(), 2, lambda: 1000)
        reading.put_back(await anext(reading))
        return [piece async for piece in reading]

    assert asyncio.run(run()) == [b"12", b"34", b"5"]


def test_deltas_that_were_decoded_before_a_broken_one_are_emitted() -> None:
    async def run() -> list[Kept]:
        heard: list[Kept] = []
        response = httpx2.Response(200, content=_of([event("a"), event("b") + b"data: {\n\n"]))
        with pytest.raises(Exception, match="no JSON"):
            await HTTPAnswer(response).read(ChatStreamDecoder(), heard.extend)
        return heard

    assert [each["content"] for each in asyncio.run(run())] == ["a", "b"]  # type: ignore[index]


async def _of(reads: list[bytes]) -> AsyncIterator[bytes]:
    for read in reads:
        yield read


def test_a_read_that_was_asked_for_is_given_up_before_the_answer_is_over() -> None:
    log: list[str] = []

    async def reads() -> AsyncIterator[bytes]:
        try:
            yield event("a")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("given up")

    async def run() -> None:
        answer = HTTPAnswer(httpx2.Response(200, content=reads()))
        reading = asyncio.ensure_future(answer.read(ChatStreamDecoder(), leaving))
        await asyncio.wait((reading,))
        assert log == ["given up"]

    asyncio.run(run())


class Sated(Demand):
    """Wants some at once, and after that no more."""

    wanted, idle, room = False, False, 10

    def __init__(self, waits: list[bool]) -> None:
        self._waits = waits
        self.asked: list[bool] = []

    async def granted(self) -> None:
        self.asked.append(bool(self._waits))


def test_nobody_is_waited_for_while_a_read_is() -> None:
    # it would be waited for twice: the time of the one would count as the silence of the other
    waits: list[bool] = []

    async def reads() -> AsyncIterator[bytes]:
        for word in WORDS:
            yield event(word)
            waits.append(True)
            await asyncio.sleep(0)
            waits.clear()
        yield b"data: [DONE]\n\n"

    async def run() -> list[bool]:
        demand = Sated(waits)
        with demanded_by(demand):
            answer = HTTPAnswer(httpx2.Response(200, content=reads()))
        await answer.read(ChatStreamDecoder(), heard)
        return demand.asked

    asked = asyncio.run(run())
    assert asked
    assert not any(asked)
