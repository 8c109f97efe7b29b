"""How an agent reads a conversation: which of its messages the model gets to see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable

from .errors import located
from .transcripts import Transcript
from .values import Message

__all__ = ["AllMessagesStrategy", "ReadingStrategy", "read"]

ReadingStrategy = Callable[[Transcript], "Iterable[Message] | Awaitable[Iterable[Message]]"]
"""A function of the transcript that gives the messages to read; it may be async."""


class AllMessagesStrategy:
    """Reads everything that was said."""

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        return transcript


async def read(strategy: ReadingStrategy, transcript: Transcript) -> list[Message]:
    """Applies a strategy; what it raises is located at `reading_strategy`."""
    try:
        selected = strategy(transcript)
        return list(await selected if isawaitable(selected) else selected)
    except Exception as error:
        located(error, "reading_strategy")
        raise
