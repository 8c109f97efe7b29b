"""Anything a person would throw at an agent, as one flat conversation.

The same flattening serves `say`, where strings are the user's, and what a function agent yields,
where they are the agent's own. All parts run at once, and keep their order, but for what is `unordered`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from reactivex import Observable, abc

from ..conversations import Conversation
from ..engine.bridges import from_async_iterable
from ..engine.emitters import Emitter, just
from ..engine.sinks import Sink
from ..errors import InputError
from ..message_kinds import PLAIN, MessageKind
from ..replays import Replay
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Message, Role
from .arrivals import Later, as_they_come
from .inputs import WorkflowInput
from .ordering import concat_eager, whole
from .speakers import ITEMS, NOT_IN_PARTS, Speaker, Unordered, check, no_message, spoken
from .thing_sources import failing, inside, pulled_from, result_of

__all__ = ["Said", "Speaker", "flatten", "items_of", "say", "stream", "unordered"]


def say(*things: Any) -> Observable[Item]:
    """Says something: the beginning of a pipeline.

    Takes strings (messages of the user), dicts (with `role` or `content`: a message; with `text`: a
    WorkflowInput), Messages, MessageStreams, Blocks, Conversations, lists of those nested to any
    depth, observables, async iterables, awaitables; `None` is nothing; an exception fails the
    conversation in its place. Emits one item for each, in order, and completes.

    ```
    later   -------c-|
    out     (m1 m2)m3|
    m1      (a|)
    m2      (b|)
    m3      -------(c|)
    ```

    Raises:
        InputError: At once for what can be seen at once, else in the stream, for anything else.
    """
    check(things)
    return flatten(things, Speaker())


def stream(
    source: Iterable[Any] | AsyncIterable[Any] | Observable[Any],
    *,
    name: str | None = None,
    role: Role | None = None,
    type: type[Message] = Message,
    **fields: Any,
) -> MessageStream:
    """A message from an iterable, an async iterable or an observable of strings or deltas.

    A string or a delta is a message of one token. It starts with its first reader, and is read
    once, however many read it.

    ```
    source    --Hel-lo-|
    stream    --Hel-lo-|
    ```

    Args:
        source: What it says.
        name: The speaker's name.
        role: The speaker's role; None: the one of the type, which is `assistant` if it has none.
        type: The class of message that it ends as: `stream(tokens, type=Rated, stars=5)`.
        fields: Values for the fields that the class adds, and `metadata` to add to the tokens' own.

    Raises:
        ConfigurationError: The type is no class of messages, or has no such field of its own.
        InputError: The source is nothing that says something.
    """
    kind = MessageKind(type, fields) if fields or type is not Message else PLAIN
    if isinstance(source, Message):
        raise InputError("a Message is finished already; MessageStream.of(message) makes a stream of it")
    if isinstance(source, Observable):
        tokens: Observable[Any] = source
    elif isinstance(source, AsyncIterable):
        tokens = from_async_iterable(source)
    elif isinstance(source, (str, Mapping)):
        tokens = just(source)
    elif isinstance(source, Iterable) and not isinstance(source, NOT_IN_PARTS):
        tokens = pulled_from(source)
    else:
        raise InputError(
            f"a stream is made of an iterable, an async iterable or an observable, "
            f"not of {source.__class__.__name__}"
        )
    return MessageStream(tokens, name=name, role=role or kind.type.speaks_as, kind=kind)


def unordered(*things: Any) -> Unordered:
    """Says things in no order: each message and block is delivered as it begins.

    Takes what `say` takes; of lists, iterables and observables in it the parts are in no order either.
    All of it runs at once. What stands after it waits until all of it has ended. An error comes when
    all that had begun has ended, and nothing begins after it.

    ```
    a     -----m1|
    m1    -----x--y|
    b     -m2|
    m2    -p--------q|
    out   -m2--m1----(m3|)
    m3    -----------(z|)
    ```
    """
    check(things)
    return Unordered(things)


def flatten(thing: Any, speaker: Speaker) -> Observable[Item]:
    """The items that a thing stands for, in order; whatever can run, runs at once.

    Strings and dicts become new messages with each subscription.
    """

    return Said(thing, speaker)


class Said(Emitter[Item]):
    """What was said, as an observable; see `flatten`."""

    def __init__(self, thing: Any, speaker: Speaker) -> None:
        super().__init__(partial(_said, thing, speaker))  # no method: it would refer to itself
        self._thing = thing
        self._speaker = speaker

    def items(self) -> list[Item] | Observable[Item]:
        """What one subscription is told: a list, where all of it is at hand."""
        return items_of(self._thing, self._speaker)


def _said(thing: Any, speaker: Speaker, sink: Sink[Item]) -> abc.DisposableBase:
    items = items_of(thing, speaker)
    return (just(*items) if isinstance(items, list) else items).subscribe(sink)


def items_of(thing: Any, speaker: Speaker) -> list[Item] | Observable[Item]:
    """The items that a thing stands for: a list where all of them are at hand."""
    parts = list(_parts(thing, speaker))
    if speaker.in_turn:
        parts = [_in_turn(part) for part in parts]
    if not any(isinstance(part, Later) for part in parts):
        return parts
    return concat_eager(just(*parts), partial(_lane, speaker=speaker))


def _in_turn(part: Item | Later) -> Item | Later:
    """In a reply: what has not ended well is started at once, and what is behind it waits for its end."""
    if isinstance(part, Replay) and not (part.ended and part.error is None):
        return Later(whole(part), delivered=True)
    return part


def _lane(part: Item | Later, speaker: Speaker) -> Observable[Item] | list[Item]:
    if not isinstance(part, Later):
        return [part]
    if part.delivered:
        return part.things
    return concat_eager(part.things, lambda thing: items_of(thing, speaker))


def _parts(thing: Any, speaker: Speaker) -> Iterable[Item | Later]:
    around = speaker.around
    if thing is None:
        return
    if isinstance(thing, ITEMS):
        if isinstance(thing, MessageStream) and thing.name is None and speaker.role == thing.role:
            thing.speak_as(speaker.name)
        yield thing
    elif isinstance(thing, Conversation):
        yield thing.transcript
    elif isinstance(thing, (str, Message, Mapping, WorkflowInput)):
        try:
            yield MessageStream.of(spoken(thing, speaker))
        except InputError as error:
            yield Later(failing(error))
    elif isinstance(thing, Exception):
        yield Later(failing(thing))
    elif isinstance(thing, Unordered):
        if speaker.unordered:
            yield from _parts(thing.things, speaker)
        else:
            parts = partial(_parts, speaker=replace(speaker, unordered=True))
            yield Later(as_they_come(thing.things, parts), delivered=True)
    elif isinstance(thing, Observable):
        yield Later(inside(thing, around))
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            yield from _parts(part, speaker)
    elif isinstance(thing, AsyncIterable):
        yield Later(inside(from_async_iterable(thing), around))
    elif isinstance(thing, Awaitable):
        yield Later(inside(result_of(thing), around))
    elif isinstance(thing, Iterable) and not isinstance(thing, NOT_IN_PARTS):
        yield Later(pulled_from(thing, around))
    else:
        yield Later(failing(no_message(thing)))
