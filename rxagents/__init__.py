"""LLM agents as Rx operators: a conversation is an observable of message observables.

```
tokens        Delta  Delta  Delta                       one increment each, as the model sent it
message       MessageStream = Observable[Delta]         replayable; ends as one frozen Message
conversation  Observable[Item]      Item = MessageStream | Block | StateUpdate | Transcript
agent         Callable[[Observable[Item]], Observable[Item]]       so: source.pipe(agent_a, agent_b)
workflow      Observable[Item] -> Observable[Marker]    start · delta · function_result · response · end

say("…") ─▶ Agent / Team … ─▶ markers() ─▶ Workflow
                │
                └─ LLM: ChatRequest -> Observable[Delta | Completion]
```

A message is a stream of tokens that can be read again and again; a conversation is a stream of such
messages; an agent is an operator between conversations. Teams are compositions of operators,
cancelling is disposing, a workflow is one subscription that writes what it hears as
`(mark, content)` tuples, and a test is a marble diagram. Tokens never travel up through the agents:
messages are passed by reference, and only the serializer reads their tokens.
"""

import logging

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

logging.getLogger(__name__).addHandler(logging.NullHandler())
