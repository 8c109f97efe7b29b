"""Models: callables from a ChatRequest to an observable of deltas."""

from .azure_chat import AzureOpenAILLM
from .caches import cached
from .choices import best_of, fan_out
from .fallbacks import fallback
from .gated_models import gated
from .hedges import hedge
from .model_calls import ModelCall
from .model_logs import log_models, logged
from .openai_chat import OpenAILLM
from .rate_limits import rate_limited
from .recorded import record
from .replies import Call, Reply
from .requests import LLM, ChatRequest, LLMConstraints
from .retries import retry
from .scripted import ScriptedLLM
from .scripts import Rule
from .time_limits import timeouts

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
    "best_of",
    "cached",
    "fallback",
    "fan_out",
    "gated",
    "hedge",
    "log_models",
    "logged",
    "rate_limited",
    "record",
    "retry",
    "timeouts",
]
