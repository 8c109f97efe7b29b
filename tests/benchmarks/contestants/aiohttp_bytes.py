"""aiohttp and jiter: a whole HTTP client whose parser is written in C, and nothing above it."""

from __future__ import annotations

import json

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from . import Contestant, Heard, Message
from .plain_events import listened


class AiohttpBytes(Contestant):
    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(600))

    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        body = json.dumps({"model": model, "messages": conversation, "stream": True}).encode()
        async with self._session.post(self._url, data=body) as response:
            await listened(response.content.iter_any(), heard)

    async def close(self) -> None:
        await self._session.close()


async def opened(url: str) -> AiohttpBytes:
    return AiohttpBytes(url)
