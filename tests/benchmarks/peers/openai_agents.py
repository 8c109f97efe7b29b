"""openai-agents: `Runner.run_streamed` with the chat completions model, its raw text events."""

from __future__ import annotations

from typing import Any

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from ..contestants import Contestant, Heard


class OpenAIAgentsAgent(Contestant):
    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client
        self._agents: dict[str, Agent[None]] = {}

    def _agent(self, model: str) -> Agent[None]:
        if model not in self._agents:
            self._agents[model] = Agent("agent", model=OpenAIChatCompletionsModel(model, self._client))
        return self._agents[model]

    async def read(self, model: str, conversation: Any, heard: Heard) -> None:
        result = Runner.run_streamed(self._agent(model), conversation)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                text = event.data.delta
                if text and heard(text):
                    break

    async def close(self) -> None:
        await self._client.close()


async def opened(url: str, *_: str) -> Contestant:
    set_tracing_disabled(True)  # else it sends its traces to the service
    return OpenAIAgentsAgent(AsyncOpenAI(base_url=url, api_key="none"))
