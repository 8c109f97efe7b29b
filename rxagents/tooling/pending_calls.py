"""A tool call that waits for approval, what may be decided about it, and which calls wait at all."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import ConfigurationError, ToolFailedError
from ..places import words

__all__ = ["Approval", "Approve", "Decision", "PendingCall", "Reject", "check_approval", "needed"]


@dataclass(frozen=True, slots=True)
class Approve:
    """Lets a call run.

    Args:
        call_id: Of the call.
        arguments: To call the tool with in place of those that the model gave; the model is told so.
    """

    call_id: str
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Keeps a call from being run. The model is told, with the reason, and goes on.

    Args:
        call_id: Of the call.
        reason: In words, for the model.
    """

    call_id: str
    reason: str = ""


Decision: TypeAlias = Approve | Reject
"""What was decided about a call."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A tool call that waits for approval.

    Args:
        call_id: To decide it by. It is the model's own, unless another call of that id waits.
        tool: The name of the tool.
        agent: The id of the agent whose model called it.
        arguments: As JSON data, valid for the tool and with its defaults.
    """

    call_id: str
    tool: str
    agent: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def approve(self, arguments: Mapping[str, Any] | None = None) -> Approve:
        """The decision to let it run, with other arguments if some are given."""
        return Approve(self.call_id, arguments)

    def reject(self, reason: str = "") -> Reject:
        """The decision not to let it run."""
        return Reject(self.call_id, reason)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data."""
        return {
            "call_id": self.call_id,
            "tool": self.tool,
            "agent": self.agent,
            "arguments": self.arguments,
        }


Approval: TypeAlias = bool | Callable[[PendingCall], bool | Awaitable[bool]]
"""Whether the calls of a tool need approval: all or none, or what a function says of each, plain or async."""


def check_approval(tool: str, approval: Approval) -> Approval:
    """Refuses what says of no call whether it needs approval."""
    if not isinstance(approval, bool) and not callable(approval):
        raise ConfigurationError(
            f"the tool {tool!r}: approval is True, False or a function of the PendingCall, not {approval!r}"
        )
    return approval


async def needed(approval: Approval, call: PendingCall) -> bool:
    """Whether this call needs approval.

    Raises:
        ToolFailedError: The function that is to say it raised.
    """
    if isinstance(approval, bool):
        return approval
    try:
        answer: Any = approval(call)
        if inspect.isawaitable(answer):
            answer = await answer
        return bool(answer)
    except Exception as error:
        raise ToolFailedError(
            f"whether the tool {call.tool!r} needs approval could not be told: "
            f"{type(error).__name__}: {words(error)}"
        ) from error
