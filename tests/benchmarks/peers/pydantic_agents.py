"""pydantic-ai: `Agent.run_stream`, its text as deltas."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from ..contestants import Contestant, Heard, Message


class PydanticAgent(Contestant):
    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self._agents: dict[str, Agent[None, str]] = {}

    def _agent(self, model: str) -> Agent[None, str]:
        if model not in self._agents:
            provider = OpenAIProvider(openai_client=self._client)
            self._agents[model] = Agent(OpenAIChatModel(model, provider=provider))
        return self._agents[model]

    async def read(self, model: str, conversation: Any, heard: Heard) -> None:
        history, prompt = conversation
        async with self._agent(model).run_stream(prompt, message_history=history) as result:
            # without `debounce_by` it collects for a tenth of a second, and what is heard are no tokens
            async for text in result.stream_text(delta=True, debounce_by=None):
                if text and heard(text):
                    break

    def held(self, messages: list[Message]) -> Any:
        *before, last = messages
        history = [
            ModelRequest([UserPromptPart(message["content"])])
            if message["role"] == "user"
            else ModelResponse([TextPart(message["content"])])
            for message in before
        ]
        return history, last["content"]

    async def close(self) -> None:
        await self._client.close()


async def opened(url: str, *_: str) -> Contestant:
    return PydanticAgent(AsyncOpenAI(base_url=url, api_key="none"))
