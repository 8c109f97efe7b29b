"""StateUpdate: what changed beside the messages of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .errors import ConfigurationError, InputError
from .streams import new_id
from .values import Message, Usage

__all__ = ["StateUpdate"]


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """What changed beside the messages.

    Args:
        kind: What this is about: `usage`, `choice`, `variables`, `stop`, `result`, …
        data: JSON-able details, shown in the `state` marker beside the kind.
        variables: Context variables to set.
        usage: Tokens that belong to no message of the conversation.
        log: Entries for the log, each a JSON-able tuple.
        stop: Why the nearest Team, Sequence or Loop is to end (`scope="run"`: the whole run).
        scope: How far the stop reaches.
        shown: Whether `markers()` shows it without being asked.
        messages: That enter the conversation here. They bring no usage with them: who said them first
            was paid for it.
        drop: How many of the last messages go before those come, as far as there are any.
        id: Of this item; the fold counts no item twice.

    Raises:
        ConfigurationError: `drop` is no number of messages.
        InputError: Among the messages is something else.
    """

    kind: str = "state"
    data: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] | None = None
    usage: Usage | None = None
    log: tuple[tuple[Any, ...], ...] = ()
    stop: str | None = None
    scope: Literal["team", "run"] = "team"
    shown: bool = False
    messages: tuple[Message, ...] = ()
    drop: int = 0
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if not isinstance(self.drop, int) or self.drop < 0:
            raise ConfigurationError(f"StateUpdate: drop is {self.drop!r}; it must be a number, 0 or more")
        for message in self.messages:
            if not isinstance(message, Message):
                raise InputError(f"StateUpdate: messages holds {type(message).__name__}; give Messages")

    def to_dict(self) -> dict[str, Any]:
        """The content of the `state` marker."""
        extra: dict[str, Any] = {}
        if self.variables is not None:
            extra["variables"] = dict(self.variables)
        if self.usage is not None:
            extra["usage"] = self.usage.model_dump()
        if self.drop:
            extra["drop"] = self.drop
        if self.messages:
            extra["messages"] = [message.to_dict() for message in self.messages]
        if self.stop is not None:
            extra["stop"] = self.stop
        return {"kind": None, **self.data, **extra} | {"kind": self.kind}

    @property
    def beside(self) -> StateUpdate:
        """What is left of it where the conversation was consumed: the messages were, too."""
        return replace(self, messages=(), drop=0) if self.messages or self.drop else self
