"""The floor: a bare connection, HTTP's chunks undone, events split, jiter. Nothing else of a client."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from jiter import from_json

from . import Contestant, Heard, Message


class _Connection(asyncio.Protocol):
    """One answer at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.reads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes, heard: Heard) -> bool:
        """Whether the answer was read to its end."""
        self._heard = heard
        self._rest = self._events = b""
        self._within = False
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._ended

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        data = self._rest + data
        if not self._within:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self._ended.set_exception(ConnectionError(head.decode()))
                return
            self._within, data = True, rest
        body, self._rest, ended = undone(data)
        *whole, self._events = (self._events + body).split(b"\n\n")
        for event in whole:
            if event == b"data: [DONE]":
                continue
            choices = from_json(event[6:])["choices"]
            text: Any = choices[0]["delta"].get("content") if choices else None
            if text and self._heard(text):
                self._ended.set_result(False)
                self.transport.abort()
                return
        if ended:
            self._ended.set_result(True)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(error or ConnectionError("the server has left"))


class Floor(Contestant):
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._path = f"{parts.path}/chat/completions"
        self._idle: list[_Connection] = []
        self.reads = 0
        """How often it was given what had arrived."""

    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        body = json.dumps({"model": model, "messages": conversation, "stream": True}).encode()
        head = f"POST {self._path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, *self._address)
        before = connection.reads
        try:
            whole = await connection.ask(head.encode() + body, heard)
        except BaseException:
            connection.transport.abort()
            raise
        self.reads += connection.reads - before
        if whole:
            self._idle.append(connection)

    async def close(self) -> None:
        for connection in self._idle:
            connection.transport.abort()


def undone(data: bytes) -> tuple[bytes, bytes, bool]:
    """The body in the whole HTTP chunks of these bytes, the bytes after them, and whether it has ended."""
    body: list[bytes] = []
    at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line], 16)
        end = line + 2 + size
        if len(data) < end + 2:
            break
        at = end + 2
        if not size:
            return b"".join(body), data[at:], True
        body.append(data[line + 2 : end])
    return b"".join(body), data[at:], False


async def opened(url: str) -> Floor:
    return Floor(url)
