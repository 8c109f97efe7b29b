"""How an agent reads a conversation: which of its messages the model gets to see."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ConfigurationError, InputError
from ..places import located_as, raisable
from ..transcripts import Transcript
from ..values import Message, Usage, message_from

__all__ = ["AllMessagesStrategy", "Reading", "ReadingStrategy", "check_strategy", "read", "read_unlocated"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Args:
        messages: For the model to see, oldest first.
        usage: Tokens that reading itself took, as where a model sums up.
    """

    messages: tuple[Message, ...]
    usage: Usage = field(default_factory=Usage)


Selected = Reading | Iterable[Message]


class _GetsMessages(Protocol):
    """A strategy in the form of vanilla-aiagents; the conversation it gets is the Transcript."""

    def get_messages(self, conversation: Any, /) -> Any: ...


ReadingStrategy = Callable[[Transcript], Selected | Awaitable[Selected]] | _GetsMessages
"""A function of the transcript that gives the messages to read, or a Reading; it may be async.

An object with a method `get_messages(conversation)` is one, too; it may give dicts.
"""


class AllMessagesStrategy:
    """Reads everything that was said."""

    def __call__(self, transcript: Transcript) -> Iterable[Message]:
        return transcript

    def __repr__(self) -> str:
        return "AllMessagesStrategy()"


def check_strategy(what: str, strategy: ReadingStrategy | None) -> ReadingStrategy:
    """The strategy, or one that reads everything; refuses what is none.

    Raises:
        ConfigurationError: It is neither a function nor an object with `get_messages`.
    """
    if strategy is None:
        return AllMessagesStrategy()
    if inspect.isclass(strategy):
        raise ConfigurationError(
            f"{what}: reading_strategy is the class {strategy.__name__}; give what it makes, "
            f"{strategy.__name__}(…)"
        )
    if not (callable(strategy) or callable(getattr(strategy, "get_messages", None))):
        raise ConfigurationError(
            f"{what}: reading_strategy is a {type(strategy).__name__}; give a function of the Transcript"
        )
    return strategy


async def read(strategy: ReadingStrategy, transcript: Transcript) -> Reading:
    """Applies a strategy; what goes wrong is located at `reading_strategy`.

    Raises:
        InputError: It gave something else than messages.
        Exception: What the strategy raises.
    """
    try:
        return await read_unlocated(strategy, transcript)
    except Exception as error:
        error = located_as(error, "reading_strategy")
        raise error


async def read_unlocated(strategy: ReadingStrategy, transcript: Transcript) -> Reading:
    """Applies a strategy within another one."""
    form, checked = (strategy, _message) if callable(strategy) else (strategy.get_messages, _message_or_dict)
    try:
        selected: Any = form(transcript)
    except StopIteration as error:
        raise raisable(error, "reading_strategy") from error
    if inspect.isawaitable(selected):
        selected = await selected
    if isinstance(selected, Reading):
        return Reading(tuple(map(checked, selected.messages)), selected.usage)
    if not isinstance(selected, Iterable) or isinstance(selected, Message):
        raise InputError(f"a reading strategy gives messages, but it gave {type(selected).__name__}")
    if selected is transcript:
        return Reading(transcript.messages)  # as nearly always: what it holds need not be looked at
    return Reading(tuple(map(checked, selected)))


def _message_or_dict(message: object) -> Message:
    return message_from(message) if isinstance(message, dict) else _message(message)


def _message(message: object) -> Message:
    if not isinstance(message, Message):
        raise InputError(
            f"a reading strategy gives messages, but among them was {type(message).__name__}; "
            "select from the Transcript, or make a Message"
        )
    return message
