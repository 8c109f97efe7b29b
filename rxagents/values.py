"""The values that travel: messages, and what they are made of. No Rx here.

A `Delta` is one increment, as the model sent it; a `Message` is the finished thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from .errors import ConfigurationError, InputError
from .hash_keys import hash_key
from .increments import Completion, Delta, FunctionResult, Role, ToolCall, Usage, delta

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
    "complaint",
    "delta",
    "message_from",
    "own_fields",
]

_types: dict[str, type[Message]] = {}


def own_fields(kind: type[Message]) -> set[str]:
    """The names of the fields that a subclass has beside those of every message."""
    return kind.model_fields.keys() - Message.model_fields.keys()


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

    A subclass may have fields of its own. They stay through streams, histories and JSON, where the name
    of the class stands under `type`; the latest class of a name is taken.

    ```python
    class Rated(Message):
        stars: int = 0
    ```
    """

    model_config = ConfigDict(frozen=True)
    speaks_as: ClassVar[Role] = "assistant"
    _type_name: ClassVar[str | None] = None

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
    _parsed: Any = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        own = own_fields(cls)
        if "type" in own:
            raise ConfigurationError(
                f"{cls.__name__}: `type` is where the name of the class stands in JSON; "
                "give the field another name"
            )
        cls._type_name = cls.__name__ if own else None
        if own:
            _types[cls.__name__] = cls

    @field_validator("steps", mode="before")
    @classmethod
    def _typed(cls, steps: Any) -> Any:
        if not isinstance(steps, (list, tuple)):
            return steps
        return [
            message_from(step) if isinstance(step, Mapping) and step.get("type") in _types else step
            for step in steps
        ]

    @property
    def parsed(self) -> Any:
        """What the content was parsed to, for an agent with `output_type`; no part of JSON or equality."""
        return self._parsed

    def with_parsed(self, parsed: Any) -> Self:
        """This message with what its content was parsed to."""
        twin = self.model_copy()
        twin._parsed = parsed
        return twin

    @property
    def text(self) -> str:
        """The content as text; of content parts, the text parts joined."""
        if isinstance(self.content, list):
            return "".join(part.get("text", "") for part in self.content if part.get("type") == "text")
        return self.content or ""

    @property
    def hash_key(self) -> str:
        """The SHA-256 of the canonical JSON: equal messages have equal keys, in every process."""
        return hash_key(self._keyed())

    def _keyed(self) -> dict[str, Any]:
        data = self.model_dump(exclude_defaults=True, exclude={"steps"})
        return self._whole(data, [step._keyed() for step in self.steps])

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON-able data without empty fields; `message_from(data)` reads it back."""
        data = self.model_dump(mode="json", exclude_defaults=True, exclude={"steps"})
        return self._whole(data, [step.to_dict() for step in self.steps])

    def _whole(self, data: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
        kind = {} if self._type_name is None else {"type": self._type_name}
        return {**data, "role": self.role} | ({"steps": steps} if steps else {}) | kind

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
        if not isinstance(other, Message):
            return NotImplemented
        # by what it says and not by its class: read back from JSON, a UserMessage is a Message
        return self.__dict__ == other.__dict__ and self._type_name == other._type_name

    def __hash__(self) -> int:
        return hash(self.hash_key)


class UserMessage(Message):
    """A message of the user: `UserMessage("Hello")`."""

    speaks_as: ClassVar[Role] = "user"

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "user", "content": content, **fields})


class SystemMessage(Message):
    """A message of the system: `SystemMessage("Be brief.")`."""

    speaks_as: ClassVar[Role] = "system"

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "system", "content": content, **fields})


class AssistantMessage(Message):
    """A message of a model: `AssistantMessage("Hello", name="greeter")`."""

    def __init__(self, content: str | list[dict[str, Any]] | None = None, **fields: Any) -> None:
        super().__init__(**{"role": "assistant", "content": content, **fields})


def message_from(data: Mapping[str, Any]) -> Message:
    """A Message from a dict in OpenAI's or our own form; unknown keys go to the metadata.

    Where `type` names a subclass that has fields of its own, it is one of those. A name that is not
    known here is an unknown key like any other, so that nothing is lost.

    Raises:
        InputError: A field is not what it must be; the text names it.
    """
    name = data.get("type")
    kind = _types.get(name, Message) if isinstance(name, str) else Message
    rest = dict(data)
    if kind is not Message:
        del rest["type"]
    own = {_alias(kind, key): rest.pop(key) for key in own_fields(kind) & rest.keys()}
    known = Message.model_fields
    fields = {key: value for key, value in rest.items() if key in known and value is not None}
    extra = {key: value for key, value in rest.items() if key not in known}
    if extra:
        fields["metadata"] = {**fields.get("metadata", {}), **extra}
    try:
        return kind(**{"role": "user", **fields, **own})
    except ValidationError as error:
        what = "message" if kind is Message else kind.__name__
        raise InputError(f"the dict is no {what}: {complaint(error)}") from None


def _alias(kind: type[Message], name: str) -> str:
    """By what name a field is read."""
    field = kind.model_fields[name]
    by_alias = isinstance(field.validation_alias, str) and not kind.model_config.get("populate_by_name")
    return str(field.validation_alias) if by_alias else name


def complaint(error: ValidationError) -> str:
    """What is wrong with the data, in one line: of the first of its faults."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r:.80}"
