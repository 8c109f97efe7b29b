"""The values that travel: messages, deltas, usage. No Rx here.

A `Delta` is one increment, as the model sent it; a `Message` is the finished thing. What belongs
to no increment (usage, the reason to stop) comes as one `Completion` at the end, and what a tool
answered stands between the deltas as a `FunctionResult`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import InputError

__all__ = [
    "AssistantMessage",
    "Completion",
    "Delta",
    "FunctionResult",
    "Message",
    "Role",
    "SystemMessage",
    "ToolCall",
    "Usage",
    "UserMessage",
    "delta",
]

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
    """Tokens that model calls took; `+` adds them up."""

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


class Message(BaseModel):
    """A finished message. Frozen; `str(message)` is its text, `message["content"]` works too.

    Args:
        role: Who speaks, in OpenAI's terms.
        content: Its text, or a list of OpenAI content parts.
        name: The speaker's name, for an agent its id.
        tool_calls: Calls that are still without an answer (an interrupted turn has some).
        tool_call_id: For a tool's message, the call that it answers.
        refusal: The model's refusal, if it refused.
        finish_reason: Why it ended: the provider's reason, `interrupted`, or `error`.
        usage: Tokens of all model calls of this turn.
        steps: The tool calls and results that led to this message, in order.
        metadata: Anything else: what a provider added, what an application wants to keep.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    steps: tuple[Message, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content as text; of content parts, the text parts joined."""
        if isinstance(self.content, list):
            return "".join(part.get("text", "") for part in self.content if part.get("type") == "text")
        return self.content or ""

    @property
    def hash_key(self) -> str:
        """The SHA-256 of the canonical JSON: equal messages have equal keys, in every process."""
        canonical = json.dumps(
            self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON-able data without empty fields; `Message(**data)` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"role": self.role}

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key) if key in type(self).model_fields else self.metadata[key]
        except KeyError:
            raise KeyError(f"a message has no {key!r}; it has {', '.join(type(self).model_fields)}") from None

    def get(self, key: str, default: Any = None) -> Any:
        """Like `message[key]`, with a default for what is not there."""
        try:
            return self[key]
        except KeyError:
            return default

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        # by what it says and not by its class: read back from JSON, a UserMessage is a Message
        return self.__dict__ == other.__dict__ if isinstance(other, Message) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash_key)


class UserMessage(Message):
    """A message of the user: `UserMessage("Hello")`."""

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "user", "content": content, **fields})


class SystemMessage(Message):
    """A message of the system: `SystemMessage("Be brief.")`."""

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "system", "content": content, **fields})


class AssistantMessage(Message):
    """A message of a model: `AssistantMessage("Hello", name="greeter")`."""

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "assistant", "content": content, **fields})


def message_from(data: Mapping[str, Any]) -> Message:
    """A Message from a dict in OpenAI's or our own form; unknown keys go to the metadata.

    Raises:
        InputError: A field is not what it must be; the text names it.
    """
    known = Message.model_fields
    fields = {key: value for key, value in data.items() if key in known and value is not None}
    extra = {key: value for key, value in data.items() if key not in known}
    if extra:
        fields["metadata"] = {**fields.get("metadata", {}), **extra}
    try:
        return Message(**{"role": "user", **fields})
    except ValidationError as error:
        raise InputError(f"the dict is no message: {_complaint(error)}") from None


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r:.80}"
