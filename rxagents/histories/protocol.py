"""History: where a conversation is kept from one run, or one process, to the next."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..conversations import Conversation

__all__ = ["History"]


@runtime_checkable
class History(Protocol):
    """Where a conversation is kept; give one to a `Workflow` as `history`.

    Anything with these three methods is one.
    """

    def load(self) -> Conversation:
        """The conversation that is kept; from now on, what enters it is kept as well.

        A workflow asks for it at its beginning and before each run. It is the same object as long as nobody
        else has changed what is kept.

        Raises:
            HistoryError: What is kept cannot be read, or could not be written.
        """
        ...

    def follow(self, conversation: Conversation) -> None:
        """Keeps this conversation from now on, in place of the one that was kept.

        Raises:
            HistoryError: It cannot be written.
        """
        ...

    def close(self) -> None:
        """Writes what is still to be written, and lets go. Nothing that comes after is kept."""
        ...
