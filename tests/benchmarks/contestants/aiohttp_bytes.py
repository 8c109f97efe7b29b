"""aiohttp and jiter: a whole HTTP client whose parser is written in C, and nothing above it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from jiter import from_json

from . import Contestant, Heard, Message


class AiohttpBytes(Contestant):
    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(600))

    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        body = json.dumps({"model": model, "messages": conversation, "stream": True}).encode()
        async with self._session.post(self._url, data=body) as response:
            events = b""
            async for data in response.content.iter_any():
                *whole, events = (events + data).split(b"\n\n")
                for event in whole:
                    if event == b"data: [DONE]":
                        continue
                    choices = from_json(event[6:])["choices"]
                    text: Any = choices[0]["delta"].get("content") if choices else None
                    if text and heard(text):
                        return

    async def close(self) -> None:
        await self._session.close()


async def opened(url: str) -> AiohttpBytes:
    return AiohttpBytes(url)
