"""Models: callables from a ChatRequest to an observable of deltas."""

from .requests import LLM, ChatRequest, LLMConstraints
from .scripted import Call, Reply, Rule, ScriptedLLM

__all__ = ["LLM", "Call", "ChatRequest", "LLMConstraints", "Reply", "Rule", "ScriptedLLM"]
