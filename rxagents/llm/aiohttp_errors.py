"""What aiohttp raises, as what httpx2 raises where the same happens."""

from __future__ import annotations

import aiohttp
import httpx2

__all__ = ["mapped"]

# The first that fits counts. Its words are left out: they may hold a header, with the key.
_KINDS: tuple[tuple[type[Exception], type[httpx2.HTTPError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx2.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx2.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx2.ProxyError),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.ClientSSLError, httpx2.ConnectError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx2.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx2.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx2.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx2.RemoteProtocolError),
    (aiohttp.ClientOSError, httpx2.ReadError),
    (aiohttp.ClientError, httpx2.ReadError),
    (aiohttp.http_exceptions.HttpProcessingError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
    (ValueError, httpx2.LocalProtocolError),  # a line break in a header
)


class mapped:
    """Raises for what aiohttp raises within what httpx2 would raise."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, httpx2.HTTPError):
            for kind, as_kind in _KINDS:
                if isinstance(error, kind):
                    raise as_kind(type(error).__name__) from error
