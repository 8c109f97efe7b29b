"""An unfinished plan, as it stands in the variables of a conversation, from which it is resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..transcripts import Transcript
from ..values import Message, message_from
from ._plans import PlanStep, read_steps

__all__ = ["Unfinished", "plan_variable"]


def plan_variable(id: str) -> str:
    """The context variable that holds a team's unfinished plan; None: there is none."""
    return f"__plan:{id}"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How far a plan has come.

    Args:
        steps: The plan.
        number: How many plans that makes.
        at: The step that is going on, from 0; as many as there are, when the last has ended.
        heard: How many messages the conversation held when that began.
        fork: What was said in the fork, if the members work on one.
        variables: That were set there.
    """

    steps: tuple[PlanStep, ...]
    number: int
    at: int = 0
    heard: int = 0
    fork: tuple[Message, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data."""
        data = {
            "steps": [step.to_dict() for step in self.steps],
            "number": self.number,
            "at": self.at,
            "heard": self.heard,
        }
        if self.fork or self.variables:
            data["fork"] = [message.to_dict() for message in self.fork]
            data["variables"] = dict(self.variables)
        return data

    @classmethod
    def of(cls, id: str, members: Sequence[str], conversation: Transcript) -> Unfinished | None:
        """The one that a conversation holds, if it is to be resumed.

        It is not where the user has spoken since: that may be about something else. What a member says as
        the user, and the instructions of a planned team that is one, are part of the plan. Nor is it where
        it is none for this team, whose members may have changed.
        """
        data = conversation.variables.get(plan_variable(id))
        if not isinstance(data, Mapping):
            return None
        try:
            plan = cls(
                read_steps(data["steps"], members),
                int(data["number"]),
                int(data["at"]),
                int(data["heard"]),
                tuple(map(message_from, data.get("fork", ()))),
                dict(data.get("variables", {})),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if not 0 <= plan.at <= len(plan.steps):
            return None
        last = conversation[plan.heard :][-1:]
        if last and last[0].role == "user":
            name = last[0].name
            if name not in members and plan_variable(str(name)) not in conversation.variables:
                return None
        return plan
