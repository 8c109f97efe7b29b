"""Conversation: the small mutable holder of a transcript, which a workflow keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from reactivex import abc
from reactivex.disposable import Disposable

from .blocks import Scope
from .errors import ConfigurationError, InputError
from .followed_items import Followed
from .message_callbacks import MessageCallback, OnMessage
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Item, Transcript
from .values import Message, Usage, message_from
from .witnesses import Witness

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
        self._followed = Followed(Transcript())
        self._witnesses: tuple[Witness[Any], ...] = ()
        self._told: tuple[MessageCallback, ...] = ()
        for message in messages:
            self.append(message)
        if variables:
            self.update(variables)

    @property
    def transcript(self) -> Transcript:
        """What the conversation has come to, as an immutable value."""
        return self._followed.transcript

    @property
    def whole(self) -> Transcript:
        """What the conversation has come to, without the items that are still open."""
        return self._followed.whole

    @property
    def settled(self) -> Transcript:
        """What came before all that is still followed."""
        return self._followed.folded

    def had(self, id: str) -> bool:
        """Whether the item with this id came before all that is still followed."""
        return self._followed.has(id)

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

    def follow(self, item: Item, *, driven: bool = False) -> None:
        """Takes in an item, now or when it ends; a block's messages one by one as they end.

        The order is that of the items, however long each of them takes.

        Args:
            item: Any.
            driven: Whether a run holds it to its end, so that who witnesses the conversation may look into
                it while it is open.
        """
        self._followed.add(item, driven and isinstance(item, Scope))
        for witness in self._witnesses:
            witness.follow(item, driven)

    def on_message(self, callback: OnMessage) -> abc.DisposableBase:
        """Calls back with each message from now on, once, when it is complete.

        That is each one that enters the conversation, inputs and interrupted ones included, and each one
        of a run, blocks that stand aside included; in the order in which they are completed, which is not
        always that of the conversation. It is called where the message ends, on the loop of its run, before
        any reader hears the end. One that was cut before anything came is none.

        What it raises goes to `on_dropped`, located at `on_message`, and the run goes on.

        Args:
            callback: A function of a Message. A coroutine function is awaited, one call after the other,
                and a run ends when that is done.

        Returns:
            What ends it.

        Raises:
            ConfigurationError: It cannot be called.
        """
        told = MessageCallback(callback, self.had)
        witness: Witness[None] = Witness(told, None)
        self._told = (*self._told, told)
        self.witnessed_by(witness)
        told.begin()

        def end() -> None:
            witness.leave()
            self._witnesses = tuple(other for other in self._witnesses if other is not witness)
            self._told = tuple(other for other in self._told if other is not told)

        return Disposable(end)

    def witnessed_by(self, witness: Witness[Any]) -> None:
        """Shows a witness what is open, and what comes."""
        following = self._followed.items
        self._witnesses = (*self._witnesses, witness)
        for item in following:
            witness.follow(item, self._followed.is_driven(item))

    @property
    def tells(self) -> bool:
        """Whether anybody is called back."""
        return bool(self._told)

    async def told(self) -> None:
        """Waits until all coroutines have ended that `on_message` has called."""
        for told in self._told:
            await told.done()

    def fork(self) -> Conversation:
        """A conversation that goes on from here by itself. It costs nothing."""
        twin = Conversation()
        twin._followed = Followed(self.transcript)
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
        """The conversation that `to_dict` wrote; `metrics` is taken for another name of `usage`.

        Raises:
            InputError: The data is something else.
        """
        unknown = sorted(set(data) - {"messages", "variables", "usage", "metrics", "log"})
        if unknown:
            raise InputError(
                "a stored conversation has 'messages', 'variables', 'usage' and 'log', and no "
                f"{', '.join(map(repr, unknown))}"
            )
        restored = cls(data.get("messages", ()), data.get("variables"))
        said = restored.transcript.usage
        stored = data.get("usage", data.get("metrics"))
        counted = said if stored is None else Usage(**stored)
        log = tuple(tuple(entry) for entry in data.get("log", ()))
        restored.follow(StateUpdate("restored", usage=counted - said, log=log))
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
