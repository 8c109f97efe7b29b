"""What carries the requests: aiohttp, where it is installed, or httpx2's own transport."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from ssl import SSLContext
from typing import Literal, TypeAlias, cast

import httpx2

from ..errors import ConfigurationError
from .repeated_requests import RepeatingClient

__all__ = ["Transport", "chosen_transport", "new_http_client"]

Transport: TypeAlias = Literal["aiohttp", "httpx"]

_CLIENTS: dict[str, type[httpx2.AsyncClient]] = {"httpx": RepeatingClient}
try:
    from .aiohttp_transport import AiohttpClient
except (ImportError, AttributeError):  # there is none, or one that is too old
    pass
else:
    _CLIENTS = {"aiohttp": AiohttpClient, **_CLIENTS}


def chosen_transport(given: object, client: object) -> Transport:
    """The transport that is asked for; by default the fastest of those that are installed.

    Raises:
        ConfigurationError: It is none, it is not installed, or a client is given, which has its own.
    """
    if given is None:
        given = next(iter(_CLIENTS))
    elif given not in ("aiohttp", "httpx"):
        raise ConfigurationError(f"`transport` is 'aiohttp' or 'httpx', not {given!r}")
    elif client is not None:
        raise ConfigurationError("give `client` or `transport`, not both: a client has its own")
    elif given not in _CLIENTS:
        raise ConfigurationError(
            "`transport` is 'aiohttp', and there is no aiohttp from 3.10 on: pip install rxagents[fast]"
        )
    if given == "httpx":
        with suppress(ImportError):  # the first request would import it, in 15 ms
            import_module("anyio._backends._asyncio")
    return cast(Transport, given)


def new_http_client(transport: Transport, context: SSLContext) -> httpx2.AsyncClient:
    """A client with the defaults of the `openai` package, for the running loop.

    Args:
        transport: What carries its requests.
        context: What it trusts.
    """
    return _CLIENTS[transport](verify=context)
