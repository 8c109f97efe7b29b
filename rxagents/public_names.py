"""What `rxagents` exports, gathered. The package itself imports this room when a name is first asked for."""

from __future__ import annotations

from .agents import Agent
from .blocks import Block, StateUpdate
from .conversations import Conversation
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .flatten import say, stream
from .functions import agent, as_agent
from .inputs import WorkflowInput
from .llm import LLM, AzureOpenAILLM, ChatRequest, LLMConstraints, OpenAILLM, ScriptedLLM
from .loops import on_dropped
from .operators import Mark, Marker
from .runs import Run, RunResult
from .streams import MessageStream
from .teams import Team
from .tools import Tool
from .transcripts import Transcript
from .users import User
from .values import (
    AssistantMessage,
    Completion,
    Delta,
    FunctionResult,
    Message,
    SystemMessage,
    Usage,
    UserMessage,
)
from .workflows import Workflow

__all__ = [
    "Agent",
    "AssistantMessage",
    "AzureOpenAILLM",
    "Block",
    "ChatRequest",
    "Completion",
    "Conversation",
    "Delta",
    "FunctionResult",
    "LLM",
    "LLMConstraints",
    "Mark",
    "Marker",
    "Message",
    "MessageStream",
    "OpenAILLM",
    "Run",
    "RunResult",
    "ScriptedLLM",
    "StateUpdate",
    "SystemMessage",
    "Team",
    "Tool",
    "Transcript",
    "Usage",
    "User",
    "UserMessage",
    "Workflow",
    "WorkflowInput",
    "agent",
    "as_agent",
    "on_dropped",
    "say",
    "stream",
    *_errors,
]
