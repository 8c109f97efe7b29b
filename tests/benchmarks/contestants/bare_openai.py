"""The bare `openai` client, as its documentation shows it. Option: the transport."""

from __future__ import annotations

from typing import cast

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from . import Contestant, Heard, Message
from .shared_clients import client


class BareClient(Contestant):
    def __init__(self, bare: AsyncOpenAI) -> None:
        self._client = bare

    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        stream = await self._client.chat.completions.create(
            model=model, messages=cast(list[ChatCompletionMessageParam], conversation), stream=True
        )
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content) and heard(text):
                break

    async def close(self) -> None:
        await self._client.close()


async def opened(url: str, transport: str = "httpx") -> BareClient:
    return BareClient(client(url, transport))
