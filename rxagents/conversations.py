"""Conversation: the small mutable holder of a transcript, which a workflow keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from .blocks import StateUpdate
from .errors import ConfigurationError, InputError
from .replays import Replay
from .streams import MessageStream
from .transcripts import Item, Transcript
from .values import Message, Usage, message_from

__all__ = ["Conversation", "held"]


class Conversation(Sequence[Message]):
    """A conversation that can be read, appended to, forked, stored and restored.

    It is a witness of what runs: the messages of a run are in it as soon as they have ended, before
    the run's own readers hear the end.

    Args:
        messages: To begin with: Messages, or dicts with `role` and `content`.
        variables: Context variables.
    """

    def __init__(
        self,
        messages: Iterable[Message | Mapping[str, Any]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._folded = Transcript()
        self._following: list[Item] = []
        self._folding = threading.Lock()
        for message in messages:
            self.append(message)
        if variables:
            self.update(variables)

    @property
    def transcript(self) -> Transcript:
        """What the conversation has come to, as an immutable value."""
        with self._folding:  # asked by several threads: what one takes over, no other may cut off
            following = list(self._following)
            # asked before the fold: what ends in between is folded next time
            still_open = any(isinstance(item, Replay) and not item.ended for item in following)
            folded = self._folded.fold_all(following)
            if not still_open:
                self._folded = folded
                del self._following[: len(following)]
            return folded

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages, oldest first."""
        return self.transcript.messages

    @property
    def variables(self) -> Mapping[str, Any]:
        """The context variables; set them with `update`."""
        return self.transcript.variables

    @property
    def metrics(self) -> dict[str, int]:
        """The tokens that all model calls took."""
        return self.transcript.metrics

    @property
    def log(self) -> tuple[tuple[Any, ...], ...]:
        """What was logged: tuples of a level, a subject, and its details."""
        return self.transcript.log

    def append(self, message: Message | Mapping[str, Any]) -> None:
        """Adds a message at the end."""
        if isinstance(message, Mapping):
            message = message_from(message)
        if not isinstance(message, Message):
            raise InputError(
                f"a conversation holds messages, but got {type(message).__name__}; "
                "append a Message, or a dict with 'role' and 'content'"
            )
        self.follow(MessageStream.of(message))

    def update(self, variables: Mapping[str, Any]) -> None:
        """Sets context variables."""
        self.follow(StateUpdate("variables", variables=dict(variables)))

    def follow(self, item: Item) -> None:
        """Takes in an item, now or when it ends; a block's messages one by one as they end.

        The order is that of the items, however long each of them takes.
        """
        self._following.append(item)

    def fork(self) -> Conversation:
        """A conversation that goes on from here by itself. It costs nothing."""
        twin = Conversation()
        twin._folded = self.transcript
        return twin

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data; variables must be JSON-able for that."""
        transcript = self.transcript
        return {
            "messages": [message.to_dict() for message in transcript],
            "variables": dict(transcript.variables),
            "usage": transcript.metrics,
            "log": [list(entry) for entry in transcript.log],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Conversation:
        """The conversation that `to_dict` wrote.

        Raises:
            InputError: The data is something else.
        """
        unknown = sorted(set(data) - {"messages", "variables", "usage", "log"})
        if unknown:
            raise InputError(
                "a stored conversation has 'messages', 'variables', 'usage' and 'log', and no "
                f"{', '.join(map(repr, unknown))}"
            )
        restored = cls(data.get("messages", ()), data.get("variables"))
        said = restored.transcript.usage
        stored = data.get("usage")
        counted = said if stored is None else Usage(**stored)
        beside = Usage(
            completion_tokens=counted.completion_tokens - said.completion_tokens,
            prompt_tokens=counted.prompt_tokens - said.prompt_tokens,
            total_tokens=counted.total_tokens - said.total_tokens,
        )
        log = tuple(tuple(entry) for entry in data.get("log", ()))
        restored.follow(StateUpdate("restored", usage=beside, log=log))
        return restored

    def __deepcopy__(self, _: dict[int, Any]) -> Conversation:
        return self.fork()

    def __reduce__(self) -> tuple[Any, ...]:
        return Conversation.from_dict, (self.to_dict(),)

    def __len__(self) -> int:
        return len(self.transcript)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.transcript)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self.transcript[index]

    def __repr__(self) -> str:
        return f"<Conversation of {len(self)} messages>"


def held(conversation: Conversation | None) -> Conversation:
    """The conversation that is given, or a new one; refuses what is none."""
    if conversation is None:
        return Conversation()
    if not isinstance(conversation, Conversation):
        raise ConfigurationError(
            f"conversation is a {type(conversation).__name__}; give a Conversation, such as "
            "Conversation(messages)"
        )
    return conversation
