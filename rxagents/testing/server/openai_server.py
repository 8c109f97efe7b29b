"""An OpenAI-compatible server on the loopback, which answers from a script.

```
with OpenAIServer(["Hello.", Dropped(3, "one two three")]) as server:
    llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
```

It serves `/v1/chat/completions` and `/v1/responses`, on Azure's paths too (with an `api-version`), and
`/v1/models`, streaming and not, and goes wrong to order: see `rxagents.testing.server.faults`. A script
answers both APIs alike: it gets to see a request for a response as the chat completion that asks for the
same, and `requests` holds what was sent. It runs on an event loop in a thread of its own, so that it serves
blocking and asyncio clients alike.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Self

from ...errors import ConfigurationError
from ...llm.scripts import Script, ScriptSource
from .delivery import deliver
from .faults import HTTPFault
from .http_wire import Connection, HTTPRequest
from .model_service import ModelService, failed
from .request_log import RecordedRequest, RequestLog
from .stream_server import StreamServer

__all__ = ["OpenAIServer"]


class OpenAIServer:
    """An OpenAI-compatible server for tests and demos; a context manager.

    Args:
        script: What it answers: a list of answers, a list of rules, or a function from the
            request's JSON body; see `rxagents.llm.scripts`. An answer may be one of
            `rxagents.testing.server.faults` too. An exception is sent as status 500, a ScriptError as 400.
        delay: Seconds (real ones) between two events of a stream; without effect with `burst`.
        host: Where it listens.
        port: Where it listens; 0 takes a free one.
        models: What `/v1/models` lists. A request may name any model.
        api_keys: The only keys that it takes; without, it takes any, but asks for one.
        burst: Sends an answer in as few writes as possible, instead of event by event.

    Raises:
        ConfigurationError: The script is none.
    """

    def __init__(
        self,
        script: Script | ScriptSource,
        *,
        delay: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        models: Sequence[str] = ("gpt-test",),
        api_keys: Collection[str] | None = None,
        burst: bool = False,
    ) -> None:
        self._service = ModelService(Script.of(script), models, api_keys)
        self._server = StreamServer(self._serve, host, port)
        self._log = RequestLog()
        if not (isinstance(delay, int | float) and 0 <= delay < math.inf):
            raise ConfigurationError(f"`delay` is a number of seconds, 0 or more, not {delay!r}")
        self._delay = delay
        self._burst = burst

    @property
    def azure_endpoint(self) -> str:
        """`http://HOST:PORT`, for Azure's client; a ConfigurationError before the start."""
        return f"http://{self._server.host}:{self._server.port}"

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/v1`, for OpenAI's client; a ConfigurationError before the start."""
        return f"{self.azure_endpoint}/v1"

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far, refused ones too, in the order of their arrival."""
        return self._log.requests

    @property
    def open_connections(self) -> int:
        """How many connections are open, idle ones included."""
        return self._server.open_connections

    def wait_for_requests(self, number: int, timeout: float) -> bool:
        """Blocks until there were `number` requests; False if that takes more than `timeout` seconds."""
        return self._log.wait_for(number, timeout)

    def release(self) -> None:
        """Lets each answer so far go on after its pause, also if it has not come to it yet."""
        for request in list(self.requests):
            request.release()

    def start(self) -> Self:
        """Starts to listen; returns the server itself.

        Raises:
            ConfigurationError: It runs already, or cannot listen on its address.
        """
        self._server.start()
        return self

    def stop(self) -> None:
        """Closes all connections, also in the midst of an answer, and ends the thread."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, connection: Connection) -> None:
        try:
            while (request := await connection.read_request()) is not None:
                if not await self._exchange(connection, request):
                    return
        except ValueError as error:
            response = failed(HTTPFault(400, f"This is no HTTP request: {error}"))
            nameless = RecordedRequest("", "", {}, {})
            await deliver(connection, response, nameless, keep_alive=False, delay=0, burst=True)

    async def _exchange(self, connection: Connection, request: HTTPRequest) -> bool:
        """Answers one request, for as long as the client stays; whether the connection may be kept."""
        body = _json_or_none(request.body)
        record = RecordedRequest(request.method, request.path, request.query, request.headers)
        if isinstance(body, dict):
            record.body = body
        connection.on_closed(record.mark_closed)
        self._log.add(record)
        response = self._service.respond(request, body)
        sending = asyncio.create_task(
            deliver(
                connection,
                response,
                record,
                keep_alive=request.keep_alive,
                delay=self._delay,
                burst=self._burst,
            )
        )
        leaving = asyncio.create_task(connection.until_left())
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        return not sending.cancelled() and sending.result()


def _json_or_none(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None
