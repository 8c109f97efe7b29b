"""What class of message a stream resolves to, with the fields that its tokens do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from .errors import ConfigurationError, InputError
from .values import Message, complaint, own_fields

__all__ = ["PLAIN", "MessageKind"]


@dataclass(frozen=True, slots=True)
class MessageKind:
    """A class of messages, and values for the fields of its own.

    Args:
        type: Message or a subclass.
        fields: By name: fields that the class adds, and `metadata`, which is added to the stream's.

    Raises:
        ConfigurationError: It is no class of messages, or has no such fields of its own.
    """

    type: type[Message] = Message
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.type, type) and issubclass(self.type, Message)):
            raise ConfigurationError(f"type is {self.type!r}; give Message or a subclass of it")
        unknown = sorted(self.fields.keys() - own_fields(self.type) - {"metadata"})
        if unknown:
            raise ConfigurationError(
                f"{self.type.__name__} has no field {', '.join(map(repr, unknown))} of its own; "
                "give the class that has it as `type`"
            )
        if not isinstance(self.fields.get("metadata", {}), Mapping):
            raise ConfigurationError(f"metadata is {self.fields['metadata']!r}; give a dict")

    @classmethod
    def of(cls, message: Message) -> MessageKind:
        """The kind of a message."""
        if message._type_name is None:
            return PLAIN
        kind = type(message)
        return cls(kind, {name: getattr(message, name) for name in own_fields(kind)})

    def made(self, message: Message) -> Message:
        """A message of this kind that says the same.

        Raises:
            InputError: The class does not take it.
        """
        if self is PLAIN:
            return message
        data = {name: getattr(message, name) for name in Message.model_fields}
        data["metadata"] = {**message.metadata, **self._added()}
        try:
            return self.type(**{**data, **{name: self.fields[name] for name in self._own()}})
        except ValidationError as error:
            raise InputError(f"what came is no {self.type.__name__}: {complaint(error)}") from error

    def part(self, message: Message) -> Message:
        """A message of this kind, if the class takes what there is of it; else with the fields beside it."""
        try:
            return self.made(message)
        except Exception:
            return self.kept(message)

    def kept(self, message: Message) -> Message:
        """A plain message that says the same, with the fields of its kind in the metadata."""
        own = {name: self.fields[name] for name in self._own()}
        return message.model_copy(update={"metadata": {**message.metadata, **own, **self._added()}})

    def _added(self) -> dict[str, Any]:
        return dict(self.fields.get("metadata", {}))

    def _own(self) -> set[str]:
        return self.fields.keys() - {"metadata"}


PLAIN = MessageKind()
