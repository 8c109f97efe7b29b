"""A socket that is left alone: no timeout may run out meanwhile.

httpx2 counts its read timeout only while it reads. aiohttp counts it all the time, but for when it has
told its transport to read no further: so it is told to. The way to it leads through private attributes;
where another version has none of them, its timeout counts on, and all else is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2

__all__ = ["left_alone"]


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
