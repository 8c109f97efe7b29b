"""The `openai` client's raw response bytes and jiter: its transport without its models."""

from __future__ import annotations

from typing import cast

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from . import Contestant, Heard, Message
from .plain_events import listened
from .shared_clients import client


class ClientBytes(Contestant):
    def __init__(self, bare: AsyncOpenAI) -> None:
        self._client = bare

    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        asking = self._client.chat.completions.with_streaming_response.create(
            model=model, messages=cast(list[ChatCompletionMessageParam], conversation), stream=True
        )
        async with asking as response:
            await listened(response.iter_bytes(), heard)

    async def close(self) -> None:
        await self._client.close()


async def opened(url: str, transport: str = "httpx") -> ClientBytes:
    return ClientBytes(client(url, transport))
