"""A socket that is left alone: no timeout may run out meanwhile. And one that is hung up at once.

httpx2 counts its read timeout only while it reads. aiohttp counts it all the time, but for when it has
told its transport to read no further: so it is told to. The way to it leads through private attributes;
where another version has none of them, its timeout counts on, and all else is as it was.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2

__all__ = ["hang_up", "left_alone"]


@contextmanager
def left_alone(response: httpx2.Response) -> Iterator[None]:
    """While the body of a response is not read, on purpose."""
    protocol = _aiohttp_protocol(response)
    if not (hasattr(protocol, "pause_reading") and hasattr(protocol, "resume_reading")):
        yield
        return
    with suppress(Exception):  # an answer must not fail with it
        protocol.pause_reading()
    try:
        yield
    finally:
        protocol.resume_reading()  # what this raises counts: the answer would wait for ever


def _aiohttp_protocol(response: httpx2.Response) -> Any:
    """aiohttp's end of the connection, if it is aiohttp's and still needed for this response."""
    stream: Any = response.stream
    while hasattr(stream, "_stream"):
        stream = stream._stream
    connection = getattr(getattr(stream, "_aiohttp_response", None), "connection", None)
    return getattr(connection, "protocol", None)


def hang_up(response: httpx2.Response) -> None:
    """Tells the service, now, that nobody reads on; the connection is closed when the loop comes to it.

    Only while the connection is this response's alone: one that went back to its pool may be another's.
    """
    with suppress(Exception):  # then it ends when it is closed
        protocol = _aiohttp_protocol(response)
        if protocol is not None:
            end = protocol.transport.get_extra_info("socket")
        elif response.extensions["http_version"] == b"HTTP/1.1" and not _httpcore_body(response)._closed:
            end = response.extensions["network_stream"].get_extra_info("socket")
        else:
            return
        end.shutdown(socket.SHUT_RDWR)


def _httpcore_body(response: httpx2.Response) -> Any:
    """httpcore's body of a response over HTTP/1.1, which is closed before its connection can be another's."""
    stream: Any = response.stream
    while not hasattr(stream, "_connection"):
        stream = stream._httpcore_stream if hasattr(stream, "_httpcore_stream") else stream._stream
    return stream
