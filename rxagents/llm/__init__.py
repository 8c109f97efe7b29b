"""Models: callables from a ChatRequest to an observable of deltas."""

from .azure_chat import AzureOpenAILLM
from .openai_chat import OpenAILLM
from .recorded import record
from .replies import Call, Reply
from .requests import LLM, ChatRequest, LLMConstraints
from .scripted import ScriptedLLM
from .scripts import Rule

__all__ = [
    "LLM",
    "AzureOpenAILLM",
    "Call",
    "ChatRequest",
    "LLMConstraints",
    "OpenAILLM",
    "Reply",
    "Rule",
    "ScriptedLLM",
    "record",
]
