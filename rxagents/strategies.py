"""How an agent reads a conversation: which of its messages the model gets to see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable

from .errors import ConfigurationError, InputError
from .places import located_as
from .transcripts import Transcript
from .values import Message

__all__ = ["AllMessagesStrategy", "ReadingStrategy", "check_strategy", "read"]

ReadingStrategy = Callable[[Transcript], "Iterable[Message] | Awaitable[Iterable[Message]]"]
"""A function of the transcript that gives the messages to read; it may be async."""


class AllMessagesStrategy:
    """Reads everything that was said."""

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        return transcript


def check_strategy(what: str, strategy: ReadingStrategy | None) -> ReadingStrategy:
    """The strategy, or one that reads everything; refuses what is no function."""
    if strategy is None:
        return AllMessagesStrategy()
    if not callable(strategy):
        raise ConfigurationError(
            f"{what}: reading_strategy is a {type(strategy).__name__}; give a function of the Transcript"
        )
    return strategy


async def read(strategy: ReadingStrategy, transcript: Transcript) -> list[Message]:
    """Applies a strategy; what goes wrong is located at `reading_strategy`.

    Raises:
        InputError: It gave something else than messages.
        Exception: What the strategy raises.
    """
    try:
        selected = strategy(transcript)
        if isawaitable(selected):
            selected = await selected
        return [_checked(message) for message in _several(selected)]
    except Exception as error:
        error = located_as(error, "reading_strategy")
        raise error


def _several(selected: object) -> Iterable[object]:
    if not isinstance(selected, Iterable):
        raise InputError(f"a reading strategy gives messages, but it gave {type(selected).__name__}")
    return selected


def _checked(message: object) -> Message:
    if not isinstance(message, Message):
        raise InputError(
            f"a reading strategy gives messages, but among them was {type(message).__name__}; "
            "select from the Transcript, or make a Message"
        )
    return message
