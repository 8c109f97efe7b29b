"""Models: callables from a ChatRequest to an observable of deltas."""

from .azure_chat import AzureOpenAILLM
from .model_calls import ModelCall
from .model_logs import log_models, logged
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
    "ModelCall",
    "OpenAILLM",
    "Reply",
    "Rule",
    "ScriptedLLM",
    "log_models",
    "logged",
    "record",
]
