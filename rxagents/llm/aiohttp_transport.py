"""HTTP over aiohttp, whose parser is written in C: a transport of httpx2, with what httpx2 promises.

The `openai` package brings one too. It shows a refused connection as a timeout, sets no time in which a
name must be looked up or a request be sent, and leaves a session that must be closed on its loop.
"""

from __future__ import annotations

import asyncio
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ssl import SSLContext
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx2
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from .aiohttp_errors import mapped
from .aiohttp_pools import new_session, taken_sockets
from .repeated_requests import RepeatingClient

__all__ = ["AiohttpClient"]

# Bytes. What is longer is sent in pieces, each of which must get off in time. What is not longer goes
# into the buffer of the socket at once.
_PIECE = 65_536


class AiohttpClient(RepeatingClient):
    """An `httpx2.AsyncClient` with the defaults of the `openai` package, over aiohttp.

    What aiohttp does not know, a SOCKS proxy for one, goes over httpx2's own transport.
    """

    # The `openai` package makes its client over aiohttp by these two as well. A version of httpx2 that
    # calls them otherwise would use its own transport, which is slower and as good.

    def _init_transport(self, *args: Any, **how: Any) -> httpx2.AsyncBaseTransport:
        if args or how.get("transport") or not isinstance(how.get("verify"), SSLContext):
            return super()._init_transport(*args, **how)
        return _AiohttpTransport(how["verify"], how["limits"])

    def _init_proxy_transport(self, proxy: httpx2.Proxy, *args: Any, **how: Any) -> httpx2.AsyncBaseTransport:
        known = proxy.url.scheme in ("http", "https")
        if args or not known or not isinstance(how.get("verify"), SSLContext):
            return super()._init_proxy_transport(proxy, *args, **how)
        return _AiohttpTransport(how["verify"], how["limits"], proxy)


class _AiohttpTransport(httpx2.AsyncBaseTransport):
    """One pool of connections, direct or over a proxy."""

    def __init__(self, context: SSLContext, limits: httpx2.Limits, proxy: httpx2.Proxy | None = None) -> None:
        self._context = context
        self._limits = limits
        self._session: ClientSession | None = None
        self._open: WeakSet[_Body] = WeakSet()
        # aiohttp has one timeout for a free place and the connection together; here they are two
        self._places = asyncio.Semaphore(limits.max_connections or sys.maxsize)
        self._proxy = None if proxy is None else str(proxy.url)
        self._for_proxy = {} if proxy is None else _for_proxy(proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits = request.extensions.get("timeout", {})
        content = await request.aread()
        await self._place(limits.get("pool"))
        try:
            answer = await self._sent(request, content, limits)
        except BaseException:
            self._places.release()
            raise
        body = _Body(answer, self._places)
        self._open.add(body)
        extensions: dict[str, Any] = {"http_version": b"HTTP/1.1"}
        if answer.reason:
            extensions["reason_phrase"] = answer.reason.encode()
        return httpx2.Response(
            answer.status,
            headers=list(answer.raw_headers),
            stream=body,
            extensions=extensions,
        )

    async def aclose(self) -> None:
        for body in list(self._open):
            body.close()  # a loop that ends may have cancelled whoever was about to
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _place(self, seconds: float | None) -> None:
        if not self._places.locked():  # as mostly: it is taken at once, and no clock need be set
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise httpx2.PoolTimeout("no connection became free") from error

    async def _sent(
        self, request: httpx2.Request, content: bytes, limits: dict[str, Any]
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = new_session(self._context, self._limits)
        url = request.url.copy_with(userinfo=b"") if request.url.userinfo else request.url
        encoding = request.headers.encoding
        headers = [(name.decode(encoding), value.decode(encoding)) for name, value in request.headers.raw]
        if url.scheme == "http":  # else aiohttp gives them to the proxy alone
            headers += self._for_proxy.items()
        taken: list[asyncio.Transport] = []
        token = taken_sockets.set(taken)
        try:
            ask = partial(
                self._session.request,
                request.method,
                URL(str(url), encoded=True),
                headers=headers,
                allow_redirects=False,  # httpx2 follows them
                timeout=ClientTimeout(connect=limits.get("connect"), sock_read=limits.get("read")),
                server_hostname=request.extensions.get("sni_hostname"),
                proxy=self._proxy,
                proxy_headers=self._for_proxy,
            )
            if len(content) <= _PIECE:
                with mapped():
                    return await ask(data=content or None)
            async with _sending(content, limits.get("write")) as pieces:
                with mapped():
                    return await ask(data=pieces)
        except BaseException:
            for transport in taken:
                transport.abort()  # closing would wait until what is left of the request is sent
            raise
        finally:
            taken_sockets.reset(token)


class _Body(httpx2.AsyncByteStream):
    """The body of an answer, as much at once as is there."""

    def __init__(self, answer: aiohttp.ClientResponse, places: asyncio.Semaphore) -> None:
        self._aiohttp_response = answer  # still_sockets looks for it by this name
        self._places: asyncio.Semaphore | None = places

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._aiohttp_response.content
        with mapped():
            while chunk := await content.readany():
                yield chunk

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        places, self._places = self._places, None
        if places is None:
            return
        connection = self._aiohttp_response.connection
        if connection is not None and connection.transport is not None:
            # not read to its end: it ends now, whatever is still to be sent or said goodbye to
            connection.transport.abort()
        self._aiohttp_response.close()
        places.release()


@asynccontextmanager
async def _sending(content: bytes, seconds: float | None) -> AsyncGenerator[Any, None]:
    """What to give to aiohttp as a content that is long, each piece of which must get off in time."""
    deadline = asyncio.timeout(None)
    loop = asyncio.get_running_loop()
    sending = True

    async def pieces() -> AsyncGenerator[bytes, None]:
        for begin in range(0, len(content), _PIECE):
            if sending and seconds is not None:
                deadline.reschedule(loop.time() + seconds)
            yield content[begin : begin + _PIECE]
        if sending:
            deadline.reschedule(None)

    try:
        async with deadline:
            try:
                yield pieces()
            finally:
                sending = False
    except TimeoutError as error:
        raise httpx2.WriteTimeout("the request was not taken in time") from error


def _for_proxy(proxy: httpx2.Proxy) -> dict[str, str]:
    """The headers for a proxy."""
    headers = dict(proxy.headers)
    if proxy.raw_auth is not None:
        # aiohttp's own argument for it is going to be removed
        headers["Proxy-Authorization"] = f"Basic {b64encode(b':'.join(proxy.raw_auth)).decode()}"
    return headers
