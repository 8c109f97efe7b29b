"""A server in a process of its own. The model's name in a request, or a message in it, names the answer:

    burst-N           N tokens in one write
    padded-N          the same, each event with random letters beside its token
    paced-N-GAP       N tokens, each in a write of its own, GAP microseconds after the last
    streams-N-GAP     the same by the clock and for thousands at once; a token tells when it was sent
    stalled-N         N tokens, then nothing more

It does as little as it can, so that what is measured is the client; `GET /used` tells how much that
was. `GET /closed/MS` waits until the last stalled answer was closed by its reader, and tells when.
It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time

from .canned_answers import BEGIN, HEAD, burst, padded, token
from .files import raise_the_limit
from .tickers import Tickers, pace

_NAME = re.compile(rb'"(?:model|content)"\s*:\s*"(burst|padded|paced|streams|stalled)-([\d-]+)"')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class _Service:
    """What the connections share."""

    def __init__(self) -> None:
        self.tickers = Tickers()
        self.stalled: _Connection | None = None
        self.asking: _Connection | None = None

    def used(self) -> dict[str, object]:
        return {"cpu": time.process_time(), "late": self.tickers.lateness()}

    def stall(self, connection: _Connection) -> None:
        connection.closed_at = None
        self.stalled = connection

    def tell_closed(self) -> None:
        """Answers who asks when the last stalled answer was closed."""
        asking, self.asking = self.asking, None
        if asking is not None:
            asking.tell({"closed": self.stalled.closed_at if self.stalled else None})


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._got = bytearray()
        self._needed = 0
        self.closed_at: int | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport  # asyncio has set TCP_NODELAY

    def data_received(self, data: bytes) -> None:
        self._got += data
        if len(self._got) < self._needed:
            return
        head, found, _ = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        self._needed = len(head) + 4 + (int(length[1]) if length else 0)
        if len(self._got) < self._needed:
            return
        request, self._got = bytes(self._got[: self._needed]), self._got[self._needed :]
        self._needed = 0
        if request.startswith(b"GET "):
            self._control(request.split(b" ", 2)[1].decode())
        else:
            self._answer(request)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed_at = time.monotonic_ns()
        if self._service.stalled is self:
            self._service.tell_closed()

    def tell(self, what: object) -> None:
        body = json.dumps(what).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    def _answer(self, request: bytes) -> None:
        name = _NAME.search(request)
        if name is None:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        tokens, *more = map(int, name[2].split(b"-"))
        usage = b"include_usage" in request
        match name[1]:
            case b"burst":
                self.transport.write(burst(tokens, usage))
            case b"padded":
                self.transport.write(padded(tokens, usage))
            case b"paced":
                pace(self.transport, tokens, more[0], usage)
            case b"streams":
                self._service.tickers.add(self.transport, tokens, more[0], usage)
            case b"stalled":
                self._service.stall(self)
                self.transport.write(b"".join((HEAD, BEGIN, *map(token, range(tokens)))))

    def _control(self, path: str) -> None:
        service = self._service
        if path == "/used":
            self.tell(service.used())
            return
        service.asking = self
        if service.stalled is None or service.stalled.closed_at is not None:
            service.tell_closed()
        else:
            milliseconds = int(path.removeprefix("/closed/"))
            asyncio.get_running_loop().call_later(milliseconds / 1000, self._give_up)

    def _give_up(self) -> None:
        if self._service.asking is self:
            self._service.tell_closed()


async def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    raise_the_limit()
    service = _Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=8_192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
