"""A call that waits for approval, as it stands in a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..tooling.pending_calls import Approve, Decision, PendingCall, Reject

__all__ = ["PausedCall"]


@dataclass(frozen=True, slots=True)
class PausedCall:
    """A call that waits.

    Args:
        pending: What is to be decided.
        id: The call's id in its message.
        decision: What was decided, while nobody took it up; None: nothing.
    """

    pending: PendingCall
    id: str
    decision: Decision | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data."""
        data = {**self.pending.to_dict(), "id": self.id}
        if isinstance(self.decision, Approve):
            changed = self.decision.arguments
            data["decision"] = {"approved": True} | ({} if changed is None else {"arguments": dict(changed)})
        elif self.decision is not None:
            data["decision"] = {"approved": False, "reason": self.decision.reason}
        return data

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PausedCall:
        """The one that `to_dict` wrote."""
        call_id = str(data["call_id"])
        pending = PendingCall(call_id, str(data["tool"]), str(data["agent"]), dict(data["arguments"]))
        made: Decision | None = None
        decision = data.get("decision")
        if decision is not None:
            yes = decision["approved"]
            made = (
                Approve(call_id, decision.get("arguments"))
                if yes
                else Reject(call_id, str(decision["reason"]))
            )
        return cls(pending, str(data["id"]), made)
