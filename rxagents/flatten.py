"""Anything a person would throw at an agent, as one flat conversation.

The same flattening serves `say`, where strings are the user's, and what a function agent yields,
where they are the agent's own. All parts run at once, and keep their order.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from .blocks import Block, StateUpdate
from .bridges import from_async, from_async_iterable
from .conversations import Conversation
from .emitters import Emitter, just
from .errors import InputError
from .inputs import WorkflowInput
from .loops import enqueued
from .ordering import concat_eager
from .sinks import Sink
from .streams import MessageStream
from .transcripts import Item, Transcript
from .values import Message, Role, message_from

__all__ = ["Speaker", "flatten", "say", "stream"]

T = TypeVar("T")
_ITEMS = (MessageStream, Block, StateUpdate, Transcript)
_NOT_IN_PARTS = (bytes, bytearray, memoryview, BaseModel, type)  # iterable, but not over messages


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose words plain strings are."""

    role: Role = "user"
    name: str | None = None


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
    _check(things)
    return flatten(things, Speaker())


def stream(
    source: Iterable[Any] | AsyncIterable[Any] | Observable[Any],
    *,
    name: str | None = None,
    role: Role = "assistant",
) -> MessageStream:
    """A message from an iterable, an async iterable or an observable of strings or deltas.

    A string or a delta is a message of one token. It starts with its first reader, and is read
    once, however many read it.

    ```
    source    --Hel-lo-|
    stream    --Hel-lo-|
    ```
    """
    if isinstance(source, Message):
        raise InputError("a Message is finished already; MessageStream.of(message) makes a stream of it")
    if isinstance(source, Observable):
        tokens: Observable[Any] = source
    elif isinstance(source, AsyncIterable):
        tokens = from_async_iterable(source)
    elif isinstance(source, (str, Mapping)):
        tokens = just(source)
    elif isinstance(source, Iterable) and not isinstance(source, _NOT_IN_PARTS):
        tokens = _from_iterable(source)
    else:
        raise InputError(
            f"a stream is made of an iterable, an async iterable or an observable, "
            f"not of {type(source).__name__}"
        )
    return MessageStream(tokens, name=name, role=role)


def flatten(thing: Any, speaker: Speaker) -> Observable[Item]:
    """The items that a thing stands for, in order; whatever can run, runs at once.

    Strings and dicts become new messages with each subscription.
    """

    def start(sink: Sink[Item]) -> abc.DisposableBase:
        items = _items(thing, speaker)
        return (just(*items) if isinstance(items, list) else items).subscribe(sink)

    return Emitter(start)


def _items(thing: Any, speaker: Speaker) -> list[Item] | Observable[Item]:
    parts = list(_parts(thing, speaker))
    if not any(isinstance(part, _Later) for part in parts):
        return parts
    return concat_eager(just(*parts), lambda part: part.items if isinstance(part, _Later) else [part])


@dataclass(frozen=True, slots=True)
class _Later:
    """Items that are not there yet."""

    items: Observable[Item]


def _parts(thing: Any, speaker: Speaker) -> Iterable[Any]:
    if thing is None:
        return
    if isinstance(thing, _ITEMS):
        if isinstance(thing, MessageStream) and thing.name is None and speaker.role == thing.role:
            thing.speak_as(speaker.name)
        yield thing
    elif isinstance(thing, Conversation):
        yield thing.transcript
    elif isinstance(thing, (str, Message, Mapping, WorkflowInput)):
        yield MessageStream.of(_message(thing, speaker))
    elif isinstance(thing, Exception):
        yield _Later(_failing(thing))
    elif isinstance(thing, Observable):
        yield _Later(_each(thing, speaker))
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            yield from _parts(part, speaker)
    elif isinstance(thing, AsyncIterable):
        yield _Later(_each(from_async_iterable(thing), speaker))
    elif isinstance(thing, Awaitable):
        yield _Later(_each(_result_of(thing), speaker))
    elif isinstance(thing, Iterable) and not isinstance(thing, _NOT_IN_PARTS):
        yield _Later(_each(_from_iterable(thing), speaker))
    else:
        raise _no_message(thing)


def _check(thing: Any) -> None:
    """Refuses at once what can be seen to be no message, without starting anything."""
    if isinstance(thing, Mapping) and not isinstance(thing, Message):
        _message(thing, Speaker())
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            _check(part)
    elif not _speakable(thing):
        raise _no_message(thing)


def _speakable(thing: Any) -> bool:
    kinds = (str, Message, WorkflowInput, Conversation, Exception, Observable, AsyncIterable, Awaitable)
    if thing is None or isinstance(thing, (*_ITEMS, *kinds)):
        return True
    return isinstance(thing, Iterable) and not isinstance(thing, _NOT_IN_PARTS)


def _no_message(thing: Any) -> InputError:
    return InputError(
        f"{type(thing).__name__} is no message; say a string, a Message, a dict with 'role' and "
        "'content', or a list, observable or async iterable of those"
    )


def _message(thing: Any, speaker: Speaker) -> Message:
    if isinstance(thing, str):
        return Message(role=speaker.role, content=thing, name=speaker.name)
    if isinstance(thing, WorkflowInput):
        return thing.to_message()
    if isinstance(thing, Message):
        unnamed = thing.name is None and speaker.name is not None and thing.role == speaker.role
        return thing.model_copy(update={"name": speaker.name}) if unnamed else thing
    if "role" in thing or "content" in thing:
        return message_from({"role": speaker.role, "name": speaker.name, **thing})
    if "text" in thing:
        return WorkflowInput.from_dict(thing).to_message()
    raise InputError(
        f"a dict with the keys {sorted(map(str, thing))} is no message; it needs 'role' and "
        "'content', or 'text'"
    )


def _failing(error: Exception) -> Observable[Any]:
    return Emitter(lambda sink: sink.on_error(error))


def _result_of(thing: Awaitable[Any]) -> Observable[Any]:
    async def run(emit: Callable[[Any], None]) -> None:
        emit(await thing)

    def start(sink: Sink[Any]) -> abc.DisposableBase:
        return CompositeDisposable(from_async(run).subscribe(sink), Disposable(unawaited))

    def unawaited() -> None:  # left before its first step: Python would warn of it
        if inspect.iscoroutine(thing) and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            thing.close()

    return Emitter(start)


def _from_iterable(iterable: Iterable[T]) -> Observable[T]:
    return Emitter(lambda sink: _pull(iter(iterable), sink))


def _pull(iterator: Any, sink: Sink[Any]) -> Callable[[], None]:
    close = getattr(iterator, "close", lambda: None)
    pulling = False

    def pull() -> None:
        nonlocal pulling
        pulling = True
        try:
            for item in iterator:
                sink.on_next(item)
                if sink.stopped:
                    break
            close()
        except Exception as error:
            sink.on_error(error)
        else:
            sink.on_completed()

    def left() -> None:
        if not pulling:  # else the loop there closes it: a generator that runs cannot be closed
            close()

    enqueued(pull)
    return left


def _each(source: Observable[Any], speaker: Speaker) -> Observable[Item]:
    return concat_eager(source, lambda thing: _items(thing, speaker))
