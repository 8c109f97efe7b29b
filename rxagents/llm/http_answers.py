"""What came back over HTTP, read as the answer of a model.

It should be a stream. Some services ignore that a stream was asked for and send one whole document,
and a wrong address often answers with a web page. The body tells them apart more surely than its
content type: no line of a stream that means anything begins with `{` or `<`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import httpx2

from ..engine.demands import current_demand
from ..engine.tasks import to_its_end
from ..errors import ModelProtocolError
from ..values import Completion, Delta
from .event_json import quoted
from .still_sockets import left_alone

__all__ = ["AnswerDecoder", "read_answer"]

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

    def feed(self, chunk: bytes, emit: Callable[[Delta], None]) -> None:
        """Emits the Deltas that this read of a stream completes."""

    def close(self, emit: Callable[[Delta], None]) -> None:
        """To be called when the body of a stream has ended; raises if the answer is not whole."""

    def take_whole(self, body: bytes, emit: Callable[[Delta], None]) -> None:
        """Emits the Deltas of an answer that came as one document."""


async def read_answer(
    response: httpx2.Response, decoder: AnswerDecoder, emit: Callable[[Delta], None]
) -> Completion:
    """Emits the deltas of an answer as they come, and returns its completion.

    The response is closed when this ends, also if the task is cancelled, again and again even; if
    the body was read to its end, the connection goes back to its pool.

    Args:
        response: With a body that has not been read.
        decoder: Of the API that was asked.
        emit: Called with each Delta. It may cancel the task, and then nothing more is read.

    Raises:
        ModelStreamError: The service reported an error within the stream.
        ModelProtocolError: What came is no answer of that API.
        ModelConnectionError: The body ended before the answer was whole.
        Exception: What the transport raises.
    """
    chunks = response.aiter_bytes()
    try:
        begun = await _begun(chunks)
        first = begun.lstrip(_BLANK)[:1]
        if first == b"{":
            decoder.take_whole(b"".join([begun, *[chunk async for chunk in chunks]]), emit)
        elif first == b"<" or "text/html" in response.headers.get("content-type", ""):
            raise _page(response, begun)
        else:
            await _take_stream(response, begun, chunks, decoder, emit)
        return decoder.completion
    finally:
        if not response.is_closed:
            await to_its_end(_let_go(response, chunks))


async def _begun(chunks: AsyncGenerator[bytes, None]) -> bytes:
    """The first reads, up to one that is not blank."""
    begun = b""
    async for chunk in chunks:
        begun += chunk
        if begun.lstrip(_BLANK):
            break
    return begun


async def _take_stream(
    response: httpx2.Response,
    begun: bytes,
    chunks: AsyncGenerator[bytes, None],
    decoder: AnswerDecoder,
    emit: Callable[[Delta], None],
) -> None:
    task = asyncio.current_task()
    demand = current_demand()

    async def take(chunk: bytes) -> bool:
        """Whether to read on."""
        for piece in _pieces(chunk) if demand is not None else (chunk,):
            decoder.feed(piece, emit)
            if decoder.done or _cancelled(task):
                return False
            if demand is not None and not demand.wanted:
                # the socket is not read meanwhile, so that TCP holds the service back
                with left_alone(response):
                    await demand.granted()
        return True

    if await take(begun):
        async for chunk in chunks:
            if not await take(chunk):
                break
    if _cancelled(task):
        # Whoever hears the answer has left while it was told. Where the rest is there already,
        # reading on would not notice that before the last of it.
        raise asyncio.CancelledError
    decoder.close(emit)
    # The answer is whole, so it does not matter any more how its body ends.
    with suppress(Exception):
        async with asyncio.timeout(_PATIENCE):
            async for _ in chunks:
                pass


def _pieces(chunk: bytes) -> Iterator[bytes]:
    """One read in pieces, so that however much a transport reads, few tokens of it come at once."""
    begin = 0
    while len(chunk) - begin > PIECE:
        # between two events, if that can be: so they are decoded fastest
        end = chunk.rfind(b"\n\n", begin, begin + PIECE) + 2
        end = end if end > begin + 1 else begin + PIECE
        yield chunk[begin:end]
        begin = end
    yield chunk[begin:] if begin else chunk


def _cancelled(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and task.cancelling() > 0


def _page(response: httpx2.Response, begun: bytes) -> ModelProtocolError:
    return ModelProtocolError(
        f"{response.url.netloc.decode()} answered with a web page instead of an answer; check the "
        f"address of the service, which often ends in /v1: {quoted(begun[:_PAGE])}"
    )


async def _let_go(response: httpx2.Response, chunks: AsyncGenerator[bytes, None]) -> None:
    # In this order: a generator that is closed first would close the response from within.
    await response.aclose()
    await chunks.aclose()
