"""What a message is made of: the increments, and what stands between them. No Rx here.

A `Delta` is one increment, as the model sent it. What belongs to no increment (usage, the reason to
stop) comes as one `Completion` at the end, and what a tool answered stands between the deltas as a
`FunctionResult`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from pydantic import BaseModel, ConfigDict

__all__ = ["Completion", "Delta", "FunctionResult", "Role", "ToolCall", "Usage", "delta"]

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Delta(TypedDict):
    """One increment of a message, as the model sent it.

    A plain dict, because there is one per token. The four keys stand in this order and are None
    when absent; what a provider adds (`reasoning`, `reasoning_content`, `content_parts` for
    list-shaped content, …) follows under its own key, only when present. Source: the `delta` of a
    choice in OpenAI's chat-completion chunk object.
    """

    content: str | None
    function_call: dict[str, Any] | None
    refusal: str | None
    tool_calls: list[dict[str, Any]] | None


def delta(
    content: str | None = None,
    *,
    tool_calls: list[dict[str, Any]] | None = None,
    refusal: str | None = None,
    function_call: dict[str, Any] | None = None,
    **extra: Any,
) -> Delta:
    """A Delta with all its keys in their order; what is not named is None."""
    increment: Delta = {
        "content": content,
        "function_call": function_call,
        "refusal": refusal,
        "tool_calls": tool_calls,
    }
    return cast(Delta, {**increment, **extra}) if extra else increment


class Usage(BaseModel):
    """Tokens that model calls took; `+` adds them up, `-` tells them apart."""

    model_config = ConfigDict(frozen=True)

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            completion_tokens=self.completion_tokens + other.completion_tokens,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            completion_tokens=self.completion_tokens - other.completion_tokens,
            prompt_tokens=self.prompt_tokens - other.prompt_tokens,
            total_tokens=self.total_tokens - other.total_tokens,
        )

    def __bool__(self) -> bool:
        return bool(self.completion_tokens or self.prompt_tokens or self.total_tokens)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model says at the end of its answer, and what belongs to no single token.

    Args:
        usage: Tokens of this one call, if the provider counts them.
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter`, or the provider's own.
        model: The model that answered, as it names itself.
        request_id: The provider's id of the request.
    """

    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What a tool answered to one call.

    Args:
        name: The tool's name.
        result: The text that the model gets to read.
        id: The id of the call that this answers.
    """

    name: str
    result: str
    id: str

    def to_dict(self) -> dict[str, str]:
        """The content of the `function_result` marker."""
        return {"name": self.name, "result": self.result, "id": self.id}


class ToolCall(BaseModel):
    """One call that the model asked for; `function` holds its `arguments` (JSON text) and `name`."""

    model_config = ConfigDict(frozen=True)

    id: str
    function: dict[str, str]
    type: str = "function"
