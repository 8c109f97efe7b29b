"""Exchange: one recorded request to a model, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...errors import RxAgentsError
from ...llm.requests import LLMConstraints
from ...places import placed
from ...recording.journal_values import error_from
from ...values import Completion, Delta

__all__ = ["End", "Exchange", "RecordedError", "recorded_error"]

End: TypeAlias = Literal["completed", "interrupted", "error"]


class RecordedError(RxAgentsError):
    """An error that was recorded and is none of rxagents.

    Args:
        message: What it said.
        type: The name of its class.
    """

    def __init__(self, message: str, type: str = "Exception") -> None:
        super().__init__(message)
        self.type = type

    def __repr__(self) -> str:
        return f"RecordedError({self.args[0]!r}, type={self.type!r})"


def recorded_error(data: Mapping[str, Any]) -> Exception:
    """A new error like a recorded one, of the class that it was if that is one of rxagents."""
    error = error_from(data) or RecordedError(data["message"], data["type"])
    return placed(error, tuple(data.get("where", ())))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request to a model, and its answer.

    Args:
        number: From 1, in the order in which they were asked.
        at: Seconds since the recording began.
        body: The request's body, as it was written.
        agent: The agent or team that asked.
        constraints: What the model cannot do.
        answer: The deltas and the Completion, each with its seconds since the request.
        end: How the answer ended: one that was cancelled is `interrupted`. None where the recording
            ends before it does.
        ended: Seconds from the request to its end, or to the last that is known of it.
        failure: What is known of its error.
    """

    number: int
    at: float
    body: Mapping[str, Any]
    agent: str | None = None
    constraints: LLMConstraints = field(default_factory=LLMConstraints)
    answer: tuple[tuple[float, Delta | Completion | str], ...] = ()
    end: End | None = None
    ended: float = 0.0
    failure: Mapping[str, Any] | None = None

    @property
    def error(self) -> Exception | None:
        """What it failed with: a new error each time it is asked for."""
        return None if self.failure is None else recorded_error(self.failure)
