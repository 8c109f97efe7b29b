"""Deciding: how a workflow is told whether a tool call may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..sessions import Session
from ..tooling.pending_calls import Approve, PendingCall, Reject

__all__ = ["Deciding"]


class Deciding:
    """Who has a session, and decides about the tool calls that wait in it."""

    _session: Session

    @property
    def waiting(self) -> tuple[PendingCall, ...]:
        """The tool calls that wait for approval, in a run that is going on or in the conversation."""
        return self._session.waiting

    def approve(self, call_id: str, *, arguments: Mapping[str, Any] | None = None) -> None:
        """Lets a tool call run that waits for approval, from any thread.

        A run that waits goes on. Where none is going on, as after a restart of the program, the decision is
        kept in the conversation, and `run()` without an input goes on with the turn: with what was said,
        and the results that there were.

        Args:
            call_id: Of the call; see `waiting`.
            arguments: To call the tool with in place of those that the model gave; the model is told so.

        Raises:
            ApprovalError: No such call waits; the text names those that do.
            HistoryError: What is stored cannot be read.
        """
        self._session.decide(Approve(call_id, arguments))

    def reject(self, call_id: str, reason: str = "") -> None:
        """Keeps a tool call from being run, from any thread; the model is told, and goes on.

        Args:
            call_id: Of the call; see `waiting`.
            reason: In words, for the model.

        Raises:
            ApprovalError, HistoryError: As `approve`.
        """
        self._session.decide(Reject(call_id, reason))
