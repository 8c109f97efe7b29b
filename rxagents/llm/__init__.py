"""Models: callables from a ChatRequest to an observable of deltas."""

from .replies import Call, Reply
from .requests import LLM, ChatRequest, LLMConstraints
from .scripted import ScriptedLLM
from .scripts import Rule

__all__ = ["LLM", "Call", "ChatRequest", "LLMConstraints", "Reply", "Rule", "ScriptedLLM"]
