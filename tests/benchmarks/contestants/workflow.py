"""rxagents: a whole workflow, agents within teams, markers out.

Options: the transport, how many agents deep, and how it is read: `pulled` (`arun_stream`), `pushed`
(`observe`) or `blocking` (`run_stream` in a thread).
"""

from __future__ import annotations

import asyncio
from typing import Literal

from rxagents import LLM, Agent, Conversation, Marker, OpenAILLM, Team, Workflow
from rxagents.participants import Participant

from . import Contestant, Heard, Message

__all__ = ["nested"]


def nested(llm: LLM, deep: int) -> Workflow:
    """A workflow of an agent in a team in a team …, so many in all."""
    return Workflow(_team(llm, deep))


def _team(llm: LLM, deep: int) -> Participant:
    inner: Participant = Agent("agent", llm)
    for level in range(1, deep):
        inner = Team(llm, [inner], f"team{level}", max_turns=1)
    return inner


class Nested(Contestant):
    def __init__(self, llm: OpenAILLM, deep: int) -> None:
        self._llm = llm
        self._team = _team(llm, deep)  # made once, as the peers' agents are, and asked in each conversation

    def held(self, messages: list[Message]) -> Conversation:
        # the last one is what is asked; it names the answer, so that one model, and its client, serves all
        conversation = Conversation(messages[:-1])
        _ = conversation.transcript  # folded, as one is that has grown message by message
        return conversation

    def workflow(self, conversation: Conversation) -> Workflow:
        return Workflow(self._team, conversation.fork())

    async def read(self, model: str, conversation: Conversation, heard: Heard) -> None:
        async for mark, content in self.workflow(conversation).arun_stream(model):
            if mark == "delta" and (text := content["content"]) and heard(text):
                break

    async def close(self) -> None:
        await self._llm.aclose()


class Pushed(Nested):
    """Told by a plain `subscribe`; leaves by disposing."""

    async def read(self, model: str, conversation: Conversation, heard: Heard) -> None:
        done = asyncio.Event()

        def hear(marker: Marker) -> None:
            mark, content = marker
            if mark == "delta" and (text := content["content"]) and heard(text):
                subscription.dispose()
                done.set()

        subscription = self.workflow(conversation).observe(model).subscribe(hear, on_completed=done.set)
        try:
            await done.wait()
        finally:
            subscription.dispose()


class Blocking(Nested):
    """Read in a thread by a plain `for`."""

    async def read(self, model: str, conversation: Conversation, heard: Heard) -> None:
        def read() -> None:
            for mark, content in self.workflow(conversation).run_stream(model):
                if mark == "delta" and (text := content["content"]) and heard(text):
                    break

        await asyncio.to_thread(read)


_KINDS = {"pulled": Nested, "pushed": Pushed, "blocking": Blocking}


async def opened(url: str, transport: Literal["httpx", "aiohttp"], deep: str, how: str = "pulled") -> Nested:
    return _KINDS[how](OpenAILLM("canned", base_url=url, api_key="none", transport=transport), int(deep))
