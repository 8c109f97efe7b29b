"""What a workflow keeps: its conversation, where that is stored, and who is told of its messages."""

from __future__ import annotations

from reactivex import abc

from .conversations import Conversation, held
from .errors import ConfigurationError
from .histories.protocol import History
from .message_callbacks import OnMessage

__all__ = ["Keeping"]


class Keeping:
    """The conversation of a workflow.

    Args:
        conversation: To begin with, or None.
        history: Where it is stored, or None.
        on_message: Told of each message of it, or None.

    Raises:
        ConfigurationError: One of them is something else, or there is a conversation in the history already.
        HistoryError: What is stored cannot be read.
    """

    def __init__(
        self, conversation: Conversation | None, history: History | None, on_message: OnMessage | None
    ) -> None:
        self._history = history
        self._on_message = on_message
        self._told: abc.DisposableBase | None = None
        self.conversation = held(conversation)
        if history is not None:
            if not isinstance(history, History):
                raise ConfigurationError(
                    f"history is a {type(history).__name__}; give one, such as MarkdownHistory('chat.md')"
                )
            stored = history.load()
            if conversation is None:
                self.conversation = stored
            elif stored is not conversation:
                if len(stored) or stored.variables:
                    raise ConfigurationError(
                        "the history holds a conversation already; give the workflow either a conversation "
                        "or a history that is empty"
                    )
                history.follow(conversation)
        self._tell()

    def refresh(self) -> Conversation:
        """The conversation as it is stored now."""
        if self._history is not None:
            stored = self._history.load()
            if stored is not self.conversation:
                self.conversation = stored
                self._tell()
        return self.conversation

    def replace(self, conversation: Conversation) -> None:
        """Goes on with another conversation."""
        held(conversation)
        if self._history is not None:
            self._history.follow(conversation)
        self.conversation = conversation
        self._tell()

    def _tell(self) -> None:
        if self._on_message is not None:
            if self._told is not None:
                self._told.dispose()
            self._told = self.conversation.on_message(self._on_message)
