"""Models: callables from a ChatRequest to an observable of deltas."""

from importlib import import_module
from typing import TYPE_CHECKING

from .caches import cached
from .choices import best_of, fan_out
from .fallbacks import fallback
from .gated_models import gated
from .hedges import hedge
from .model_calls import ModelCall
from .model_logs import log_models, logged
from .rate_limits import rate_limited
from .recorded import record
from .replies import Call, Reply
from .requests import LLM, ChatRequest, LLMConstraints
from .retries import retry
from .scripted import ScriptedLLM
from .scripts import Rule
from .time_limits import timeouts

if TYPE_CHECKING:
    from .azure_chat import AzureOpenAILLM
    from .openai_chat import OpenAILLM
else:
    # Their client takes as much memory and time to import as all the rest together.
    _SERVED = {"AzureOpenAILLM": "azure_chat", "OpenAILLM": "openai_chat"}

    def __getattr__(name):
        if name not in _SERVED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # what takes time and no lock of Python's goes on in a thread meanwhile
        import_module(f"{__name__}.certificates").begin_reading()
        found = globals()[name] = getattr(import_module(f"{__name__}.{_SERVED[name]}"), name)
        return found


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
