"""WorkflowInput: what a person gives to a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InputError
from .values import Message

__all__ = ["WorkflowInput"]


@dataclass(frozen=True)
class WorkflowInput:
    """The input of one run.

    Args:
        text: What is said.
        name: Who says it; None: nobody in particular.
    """

    text: str
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"the text of a WorkflowInput is a str, not {type(self.text).__name__}")

    def to_message(self) -> Message:
        """The input as a message of the user."""
        return Message(role="user", content=self.text, name=self.name)

    def to_dict(self) -> dict[str, Any]:
        """The input as JSON-able data."""
        return {"text": self.text} | ({"name": self.name} if self.name else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkflowInput:
        """The input that `to_dict` wrote."""
        unknown = sorted(set(data) - {"text", "name"})
        if unknown:
            raise InputError(f"a WorkflowInput has 'text' and 'name', not {', '.join(map(repr, unknown))}")
        return cls(**data)
