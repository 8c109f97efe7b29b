"""Connections of aiohttp: one pool for each loop, as good as httpx2's."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any
from weakref import WeakSet

import httpx2
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, ThreadedResolver

__all__ = ["new_session", "taken_sockets"]

# Bytes. Of a line of the head of an answer: as generous as httpx2.
_LINE = 65_536

taken_sockets: ContextVar[list[asyncio.Transport]] = ContextVar("taken_sockets")
"""The sockets that the running request has taken."""


class _Connector(TCPConnector):
    """A pool that gives no connection which its service has closed, also if the loop was held up meanwhile.

    And it does not complain of its loop's end: asyncio warns of the sockets that it left open. aiohttp
    would log an error beside, also in a child process, whose parent the sockets belong to.
    """

    def __init__(self, **how: Any) -> None:
        self._home = asyncio.get_running_loop(), os.getpid()
        self._used: WeakSet[asyncio.Transport] = WeakSet()
        super().__init__(**how)

    @property
    def closed(self) -> bool:
        loop, process = self._home
        return super().closed or loop.is_closed() or os.getpid() != process or sys.is_finalizing()

    async def connect(self, *args: Any, **how: Any) -> Any:
        while True:
            connection = await super().connect(*args, **how)
            transport = connection.transport
            # a new one may be readable: TLS has something to say after its handshake
            if transport is None or transport not in self._used or not _readable(transport):
                break
            connection.close()
        if transport is not None:
            self._used.add(transport)
            taken_sockets.get().append(transport)
        return connection

    def __del__(self, *args: Any, **how: Any) -> None:
        if not self.closed:
            super().__del__(*args, **how)


def _readable(transport: asyncio.Transport) -> bool:
    """Whether there is something to read, or the other side has closed: nobody has asked it anything."""
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()  # takes any number of a file, which `select` does not
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def new_session(context: SSLContext, limits: httpx2.Limits) -> ClientSession:
    """A session, and with it a pool of connections, for the running loop."""
    connector = _Connector(
        ssl=context,
        limit=0,
        keepalive_timeout=limits.keepalive_expiry,
        resolver=ThreadedResolver(),  # the system's, as httpx2, also where aiodns is installed
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),  # httpx2 has one, and decodes
        auto_decompress=False,
        max_line_size=_LINE,
        max_field_size=_LINE,
    )
