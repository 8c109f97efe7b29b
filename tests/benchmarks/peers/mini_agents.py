"""MiniAgents: its agent for OpenAI, whose messages are read token by token."""

from __future__ import annotations

import os
from typing import Any

from miniagents import MiniAgents
from miniagents.ext.llms.llm_utils import AssistantMessage, UserMessage
from miniagents.ext.llms.openai import OpenAIAgent

from ..contestants import Contestant, Heard, Message


class MiniAgentsAgent(Contestant):
    def __init__(self, context: MiniAgents) -> None:
        self._context = context

    async def read(self, model: str, conversation: Any, heard: Heard) -> None:
        async for message in OpenAIAgent.trigger(conversation, model=model):
            async for token in message:
                if token.content and heard(token.content):
                    return

    def held(self, messages: list[Message]) -> Any:
        kinds = {"user": UserMessage, "assistant": AssistantMessage}
        return [kinds[message["role"]](message["content"]) for message in messages]


async def opened(url: str, *_: str) -> Contestant:
    # its client is made by the agent, which takes no other: both come from the environment
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    context = MiniAgents()
    await context.__aenter__()
    return MiniAgentsAgent(context)
