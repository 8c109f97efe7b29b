"""langgraph: a graph of one node that calls langchain's chat model, streamed as messages."""

from __future__ import annotations

import os
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from ..contestants import Contestant, Heard, Message


class LangGraphAgent(Contestant):
    def __init__(self, url: str) -> None:
        self._url = url
        self._graphs: dict[str, Any] = {}

    def _graph(self, model: str) -> Any:
        if model not in self._graphs:
            chat = ChatOpenAI(model=model, base_url=self._url, api_key="none")

            async def agent(state: MessagesState) -> dict[str, Any]:
                return {"messages": [await chat.ainvoke(state["messages"])]}

            graph = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent")
            self._graphs[model] = graph.compile()
        return self._graphs[model]

    async def read(self, model: str, conversation: Any, heard: Heard) -> None:
        state = {"messages": conversation}
        async for message, _ in self._graph(model).astream(state, stream_mode="messages"):
            if message.content and heard(message.content):
                break

    def held(self, messages: list[Message]) -> Any:
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        return [kinds[message["role"]](message["content"]) for message in messages]


async def opened(url: str, *_: str) -> Contestant:
    os.environ |= {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}  # no traces to the service
    return LangGraphAgent(url)
