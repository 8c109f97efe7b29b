"""What came back over HTTP, read as the answer of a model.

It should be a stream. Some services ignore that a stream was asked for and send one whole document,
and a wrong address often answers with a web page. The body tells them apart more surely than its
content type: no line of a stream that means anything begins with `{` or `<`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

import httpx2

from ..engine.demands import Demand, current_demand
from ..engine.tasks import at_cancel, to_its_end
from ..errors import ModelProtocolError
from ..kept_deltas import Deltas, Kept
from ..values import Completion
from .event_json import quoted
from .ready_reads import ReadyReads
from .still_sockets import hang_up, left_alone

__all__ = ["AnswerDecoder", "HTTPAnswer"]

_BLANK = b"\xef\xbb\xbf \t\r\n"
_PAGE = 2000

# Bytes: so many are decoded before the reader is asked again.
PIECE = 16384

# Seconds for the end of the body to follow `[DONE]`. It is nearly always there already; without it
# the connection cannot be used again, which is no reason to keep anyone waiting.
_PATIENCE = 0.25


class AnswerDecoder(Protocol):
    """Turns the bytes of one answer into Deltas, and at the end a Completion."""

    @property
    def done(self) -> bool:
        """Whether the service has said all; what follows that is ignored."""

    @property
    def completion(self) -> Completion:
        """What is known so far of usage, finish reason and model."""

    def feed(self, chunk: bytes, deltas: list[Kept]) -> None:
        """Adds the Deltas that this read of a stream completes."""

    def close(self, deltas: list[Kept]) -> None:
        """To be called when the body of a stream has ended; raises if the answer is not whole."""

    def take_whole(self, body: bytes, deltas: list[Kept]) -> None:
        """Adds the Deltas of an answer that came as one document."""


class HTTPAnswer:
    """One answer, to be read once.

    Args:
        response: With a body that has not been read.

    Attributes:
        received: How many bytes of it have come.
    """

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._demand = current_demand()
        self._chunks = _chunks(response)
        self._reads = ReadyReads(self._chunks, PIECE, partial(_room, self._demand))

    @property
    def received(self) -> int:
        return self._response.num_bytes_downloaded or self._reads.received

    async def read(self, decoder: AnswerDecoder, emit: Callable[[Sequence[Any]], object]) -> Completion:
        """Emits the deltas as they come, and returns the completion.

        The response is closed when this ends, also if the task is cancelled, again and again even; if
        the body was read to its end, the connection goes back to its pool.

        Args:
            decoder: Of the API that was asked.
            emit: Called with the Deltas of each read, if there are any. It may cancel the task, and then
                nothing more is read.

        Raises:
            ModelStreamError: The service reported an error within the stream.
            ModelProtocolError: What came is no answer of that API.
            ModelConnectionError: The body ended before the answer was whole.
            Exception: What the transport raises.
        """
        at_cancel(self._hang_up)
        try:
            begun = await self._begun()
            first = begun.lstrip(_BLANK)[:1]
            if first == b"{":
                whole = b"".join([begun, *[read async for read in self._reads]])
                _emitted(partial(decoder.take_whole, whole), emit)
            elif first == b"<" or "text/html" in self._response.headers.get("content-type", ""):
                raise _page(self._response, begun)
            else:
                self._reads.put_back(begun)
                await self._stream(decoder, emit)
            return decoder.completion
        except httpx2.RequestError as error:
            error.request = self._response.request  # which says what timeouts it had
            raise
        finally:
            at_cancel(None)
            try:
                await self._reads.aclose()
            finally:
                if not self._response.is_closed:
                    await to_its_end(self._let_go())

    def _hang_up(self) -> None:
        hang_up(self._response)

    async def _begun(self) -> bytes:
        """The first reads, up to one that is not blank."""
        begun = b""
        async for read in self._reads:
            begun += read
            if begun.lstrip(_BLANK):
                break
        return begun

    async def _stream(self, decoder: AnswerDecoder, emit: Callable[[Sequence[Any]], object]) -> None:
        demand = self._demand
        async for read in self._reads:
            deltas: list[Kept] = []
            try:
                decoder.feed(read, deltas)
            finally:
                if deltas:  # what came before an error is not lost
                    emit(Deltas(deltas))
            if decoder.done or _cancelled():
                break
            if demand is not None and not demand.wanted and not self._reads.waits:
                # the socket is not read meanwhile, so that TCP holds the service back
                with left_alone(self._response):
                    await demand.granted()
        if _cancelled():
            # Whoever hears the answer has left while it was told. Where the rest is there already,
            # reading on would not notice that before the last of it.
            raise asyncio.CancelledError
        await asyncio.sleep(0)  # who was told of the tokens need not wait for what is done at the end
        _emitted(decoder.close, emit)
        # The answer is whole, so it does not matter any more how its body ends.
        with suppress(Exception):
            async with asyncio.timeout(_PATIENCE):
                async for _ in self._reads:
                    pass
                await self._response.aclose()

    async def _let_go(self) -> None:
        # In this order: a generator that is closed first would close the response from within.
        await self._response.aclose()
        await self._chunks.aclose()


def _room(demand: Demand | None) -> int:
    # no method: the answer would refer to itself, and with it all that came wait for the collector
    return PIECE if demand is None else demand.room


def _chunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The reads of the body."""
    if not (response.is_closed or response.is_stream_consumed or "content-encoding" in response.headers):
        # without the two generators that would look for a coding, and for sizes, at each read
        chunks = aiter(cast(httpx2.AsyncByteStream, response.stream))
        if isinstance(chunks, AsyncGenerator):
            return chunks
    return response.aiter_bytes()


def _emitted(decode: Callable[[list[Kept]], None], emit: Callable[[Sequence[Any]], object]) -> None:
    """Emits what is decoded, all at once; what came before an error is not lost."""
    deltas: list[Kept] = []
    try:
        decode(deltas)
    finally:
        if deltas:
            emit(Deltas(deltas))


def _cancelled() -> bool:
    # asked anew each time: kept by name, the task would be held by the error that it is cancelled with
    return cast(asyncio.Task[Any], asyncio.current_task()).cancelling() > 0


def _page(response: httpx2.Response, begun: bytes) -> ModelProtocolError:
    return ModelProtocolError(
        f"{response.url.netloc.decode()} answered with a web page instead of an answer; check the "
        f"address of the service, which often ends in /v1: {quoted(begun[:_PAGE])}"
    )
