"""As much of HTTP/1.1 (RFC 9112) as a server on the loopback needs, on asyncio streams."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["LAST_CHUNK", "Connection", "HTTPRequest", "chunk", "response_head"]

LAST_CHUNK = b"0\r\n\r\n"
_HEAD_LIMIT = 65_536
_READ_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """One request.

    Args:
        method: In capitals.
        path: Decoded, without the query.
        query: The parameters of the query; of several equal ones the last.
        headers: By their names in lower case.
        body: Whole and unchunked.
        keep_alive: Whether the client wants to use the connection again.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    keep_alive: bool


def response_head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers of a response whose body comes in chunks."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", "transfer-encoding: chunked"]
    lines += (f"{name}: {value}" for name, value in headers.items())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Some bytes as one chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection:
    """One client's connection. It owns the buffer of what was read.

    Watching for the client to leave means reading, and what is read then may be the next request
    already: so both go through one buffer.

    Args:
        reader: The stream of the client's bytes.
        writer: The stream of ours.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._witnesses: list[Callable[[], None]] = []

    def on_closed(self, witness: Callable[[], None]) -> None:
        """Calls the witness when the connection is closed; several in the order of their coming."""
        self._witnesses.append(witness)

    async def read_request(self) -> HTTPRequest | None:
        """The next request; None if the client has closed the connection.

        Raises:
            ValueError: What came is no HTTP request.
        """
        head = await self._read_until(b"\r\n\r\n")
        if head is None:
            return None
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = start.split(" ")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = await self._read_chunks()
        else:
            body = await self._read_exactly(int(headers.get("content-length", "0")))
        if body is None:
            return None
        parts = urlsplit(target)
        asked = headers.get("connection", "").lower()
        return HTTPRequest(
            method=method.upper(),
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers=headers,
            body=body,
            keep_alive=version == "HTTP/1.1" and "close" not in asked,
        )

    async def until_left(self) -> None:
        """Returns when the client has closed the connection; keeps what it sends before that."""
        while await self._read_more():
            pass

    async def send(self, data: bytes, held_back: Callable[[bool], None] | None = None) -> None:
        """Sends and waits until the transport wants more.

        Args:
            data: What is sent.
            held_back: Told that TCP takes no more, as the client does not read, and when that is over.

        Raises:
            ConnectionError: The client has left.
        """
        transport = self._writer.transport
        self._writer.write(data)
        if held_back is None or transport.get_write_buffer_size() <= transport.get_write_buffer_limits()[1]:
            await self._writer.drain()
            return
        held_back(True)
        try:
            await self._writer.drain()
        finally:
            held_back(False)

    def reset(self) -> None:
        """Makes the closing of the connection a reset (TCP RST)."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def close(self, *, flush: bool) -> None:
        """Closes the connection and waits until it is closed.

        Args:
            flush: Whether what is not sent yet is sent first.
        """
        if flush:
            self._writer.close()
        else:
            self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
        finally:
            # A flush to a client that does not read never ends; cancelling must still close it.
            self._writer.transport.abort()
            for witness in self._witnesses:
                witness()

    async def _read_more(self) -> bool:
        try:
            data = await self._reader.read(_READ_SIZE)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    async def _read_until(self, separator: bytes) -> bytes | None:
        while (end := self._buffer.find(separator)) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ValueError("the head of the request is too long")
            if not await self._read_more():
                return None
        data = bytes(self._buffer[:end])
        del self._buffer[: end + len(separator)]
        return data

    async def _read_exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not await self._read_more():
                return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _read_chunks(self) -> bytes | None:
        body = bytearray()
        while (line := await self._read_until(b"\r\n")) is not None:
            size = int(line.partition(b";")[0], 16)
            data = await self._read_exactly(size)
            if data is None:
                return None
            body += data
            # After the last chunk come trailers up to an empty line; after any other, only that line.
            while (trailer := await self._read_until(b"\r\n")) != b"":
                if trailer is None:
                    return None
                if size:
                    raise ValueError("a chunk is longer than it says")
            if size == 0:
                return bytes(body)
        return None
