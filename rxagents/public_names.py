"""What `rxagents` exports, gathered. The package itself imports this room when a name is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import llm
from .agents import Agent
from .asking.asked import Asked
from .blocks import Block
from .coding.coding_agents import LocalCodingAgent
from .consoles.users import console_user
from .conversations import Conversation
from .dialogs import dialog
from .engine.loops import on_dropped
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .functions import agent
from .gates.guarded import guard_input, guard_output
from .handing.handoffs import Handoff
from .histories import History, InMemoryHistory, MarkdownHistory, SQLiteHistory
from .llm import LLM, ChatRequest, LLMConstraints, ScriptedLLM
from .named_operators import as_agent
from .operators import Mark, Marker, turns
from .runs import Run, RunResult
from .saying.content_parts import file_part, image_part, text_part
from .saying.flatten import say, stream, unordered
from .saying.inputs import WorkflowInput
from .state_updates import StateUpdate
from .strategies.cuts import (
    LastNMessagesStrategy,
    PipelineConversationReadingStrategy,
    TokenBudgetStrategy,
    TopKLastNMessagesStrategy,
)
from .strategies.readings import AllMessagesStrategy, Reading
from .strategies.summaries import SummarizeMessagesStrategy
from .strategies.updates import (
    AppendMessagesUpdateStrategy,
    NoopUpdateStrategy,
    ReplaceLastMessageUpdateStrategy,
)
from .streams import MessageStream
from .structured.partial_types import partial_model
from .teams import Chain, Loop, Parallel, PlannedTeam, Race, Sequence, Switch, Team
from .tooling.approvals import Approvals
from .tooling.call_limits import ToolRetry
from .tooling.contexts import Context
from .tooling.pending_calls import Approve, PendingCall, Reject
from .tooling.tools import Tool
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

if TYPE_CHECKING:
    from .llm import AzureOpenAILLM, OpenAILLM
else:

    def __getattr__(name):
        if name in ("AzureOpenAILLM", "OpenAILLM"):  # imported when asked for, with the client that they need
            return getattr(llm, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Agent",
    "Asked",
    "AllMessagesStrategy",
    "AppendMessagesUpdateStrategy",
    "Approvals",
    "Approve",
    "AssistantMessage",
    "AzureOpenAILLM",
    "Block",
    "Chain",
    "ChatRequest",
    "Completion",
    "Context",
    "Conversation",
    "Delta",
    "FunctionResult",
    "Handoff",
    "History",
    "InMemoryHistory",
    "LLM",
    "LLMConstraints",
    "LastNMessagesStrategy",
    "LocalCodingAgent",
    "Loop",
    "Mark",
    "Marker",
    "MarkdownHistory",
    "Message",
    "MessageStream",
    "NoopUpdateStrategy",
    "OpenAILLM",
    "PipelineConversationReadingStrategy",
    "Reading",
    "ReplaceLastMessageUpdateStrategy",
    "Parallel",
    "PendingCall",
    "PlannedTeam",
    "Race",
    "Reject",
    "Run",
    "RunResult",
    "SQLiteHistory",
    "ScriptedLLM",
    "Sequence",
    "StateUpdate",
    "SummarizeMessagesStrategy",
    "SystemMessage",
    "Switch",
    "Team",
    "TokenBudgetStrategy",
    "Tool",
    "ToolRetry",
    "TopKLastNMessagesStrategy",
    "Transcript",
    "Usage",
    "User",
    "UserMessage",
    "Workflow",
    "WorkflowInput",
    "agent",
    "as_agent",
    "console_user",
    "dialog",
    "file_part",
    "guard_input",
    "guard_output",
    "image_part",
    "on_dropped",
    "partial_model",
    "say",
    "stream",
    "text_part",
    "turns",
    "unordered",
    *_errors,
]
