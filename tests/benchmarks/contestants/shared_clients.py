"""The `openai` client as the contestants use it: on its own transport (httpx) or on its aiohttp one."""

from __future__ import annotations

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

__all__ = ["client"]

# thousands of streams are to be open at once: by default all above 1,000 wait for a connection, and with
# aiohttp None stands for its own limit of 100
_LIMITS = httpx2.Limits(max_connections=20_000, max_keepalive_connections=100)


def client(url: str, transport: str) -> AsyncOpenAI:
    """A client on the transport `httpx` or `aiohttp`."""
    kind = {"httpx": DefaultAsyncHttpxClient, "aiohttp": DefaultAioHttpClient}[transport]
    return AsyncOpenAI(base_url=url, api_key="none", http_client=kind(limits=_LIMITS))
