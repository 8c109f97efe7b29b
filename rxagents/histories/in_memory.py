"""InMemoryHistory: kept as long as the program runs."""

from __future__ import annotations

from ..conversations import Conversation, held

__all__ = ["InMemoryHistory"]


class InMemoryHistory:
    """Keeps a conversation in memory: several workflows, one after the other, go on with it.

    Args:
        conversation: To begin with.
    """

    def __init__(self, conversation: Conversation | None = None) -> None:
        self._conversation = held(conversation)

    def load(self) -> Conversation:
        """The conversation, always the same object."""
        return self._conversation

    def follow(self, conversation: Conversation) -> None:
        """Keeps this one from now on."""
        self._conversation = held(conversation)

    def close(self) -> None:
        """There is nothing to let go of."""

    def __repr__(self) -> str:
        return f"<InMemoryHistory of {len(self._conversation)} messages>"
