"""What a model is asked, and what a model is: `ChatRequest -> Observable[Delta | Completion]`.

Any callable of that type is a model; a plain string counts as a delta with that content. So
`lambda request: rx.of("Hello")` is a model, and a function from model to model wraps one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from reactivex import Observable

from ..values import Completion, Delta

__all__ = ["LLM", "ChatRequest", "LLMConstraints"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to a model, in OpenAI's terms, before a model's own settings are added.

    Args:
        messages: Wire-form messages, oldest first. Not to be changed.
        tools: Wire-form tool definitions.
        response_format: Wire-form response format, for structured output.
        params: Further parameters of this request (`temperature`, `tool_choice`, …); they win over
            the model's own.
        agent: The id of the agent or team that asks, for logs and scripts.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    response_format: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    agent: str | None = None

    def body(self) -> dict[str, Any]:
        """The request as the JSON body of a chat completion, without a model's own settings."""
        body: dict[str, Any] = {"messages": list(self.messages)}
        if self.tools:
            body["tools"] = list(self.tools)
        if self.response_format is not None:
            body["response_format"] = self.response_format
        return body | self.params


class LLMConstraints(NamedTuple):
    """What a model cannot do.

    Args:
        system_message: False: it takes no system messages; they are sent as the user's.
        structured_output: False: it knows no response format; whoever asks puts it in words.
        temperature: The only temperature it takes, or None if it takes any.
    """

    system_message: bool = True
    structured_output: bool = True
    temperature: float | None = None


@runtime_checkable
class LLM(Protocol):
    """A model: called with a request, it gives a cold observable of its answer.

    It emits a `Delta` (or a plain string) per increment and, if it has one, a `Completion` last;
    then it completes. It fails with a `ModelError`. Disposing the subscription cancels the answer.
    It may have an attribute `constraints: LLMConstraints`.
    """

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion | str]: ...
