"""map_tokens, transform: from message to message, token by token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from reactivex import Observable

from ..blocks import Block
from ..bridges import from_async
from ..inlets import listen
from ..iterators import AsyncItems
from ..sinks import Emitter, Sink
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Completion, delta
from ..walks import is_input

__all__ = ["map_tokens", "transform"]

Operator = Callable[[Observable[Item]], Observable[Item]]


def map_tokens(function: Callable[[str], str | None]) -> Operator:
    """Maps every token of every message with a function; None takes the token out.

    Message to message: names, roles, blocks and tool calls stay as they are, and so do messages of
    the user and the system. What the function raises fails the message.

    ```
    m                       --Hel-lo-|
    map_tokens(str.upper)   --HEL-LO-|
    ```
    """

    def remade(stream: MessageStream) -> MessageStream:
        def start(sink: Sink[Any]) -> Any:
            def on_next(item: Any) -> None:
                if type(item) is dict and item["content"]:
                    mapped = function(item["content"])
                    if mapped is None:
                        return
                    item = {**item, "content": mapped}
                sink.on_next(item)

            def on_completed() -> None:
                _end(stream, twin, sink.on_next)
                sink.on_completed()

            return listen(stream, sink.loop, on_next, sink.on_error, on_completed)

        twin = _twin(stream, Emitter(start))
        return twin

    return _on_messages(remade)


def transform(function: Callable[[AsyncIterator[str]], AsyncIterator[str]]) -> Operator:
    """Puts every message through an async generator: from its tokens to the tokens to come.

    The generator is called once for each message. Names, roles, blocks and tool calls stay as they
    are, and so do messages of the user and the system. What it raises fails the message; when it
    returns before the message has ended, the rest of the message is cancelled.

    ```
    m             --a-b--c-|
    joined by 2   ----ab---(c|)
    ```
    """

    def remade(stream: MessageStream) -> MessageStream:
        async def run(emit: Callable[[Any], None]) -> None:
            def start(sink: Sink[str]) -> Any:
                def on_next(item: Any) -> None:
                    if type(item) is dict and item["content"]:
                        sink.on_next(item["content"])
                    else:
                        emit(item)

                return listen(stream, sink.loop, on_next, sink.on_error, sink.on_completed)

            tokens = aiter(AsyncItems(Emitter(start)))
            written = function(tokens)
            try:
                async for token in written:
                    emit(delta(token))
            finally:
                await _close(written)
                await tokens.aclose()
            _end(stream, twin, emit)

        twin = _twin(stream, from_async(run))
        return twin

    return _on_messages(remade)


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def _twin(stream: MessageStream, source: Observable[Any]) -> MessageStream:
    return MessageStream(source, name=stream.name, role=stream.role)


def _end(stream: MessageStream, twin: MessageStream, emit: Callable[[Any], None]) -> None:
    """Lets the twin end as its original did: with its usage and reason, or interrupted."""
    if stream.interrupted:
        twin.interrupt()
    elif stream.result is not None:
        emit(Completion(usage=stream.result.usage, finish_reason=stream.result.finish_reason))


def _on_messages(remade: Callable[[MessageStream], MessageStream]) -> Operator:
    def item(item: Item) -> Item:
        if isinstance(item, MessageStream):
            return item if is_input(item) else remade(item)
        if isinstance(item, Block):
            inside = operator(item)
            return Block(item.name, inside, entry=item.entry, catches_stops=item.catches_stops)
        return item

    def operator(source: Observable[Item]) -> Observable[Item]:
        return Emitter(
            lambda sink: listen(
                source, sink.loop, lambda each: sink.on_next(item(each)), sink.on_error, sink.on_completed
            )
        )

    return operator
