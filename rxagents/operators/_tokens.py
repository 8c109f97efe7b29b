"""map_tokens, transform: from message to message, token by token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from reactivex import Observable, abc

from ..async_items import AsyncItems
from ..blocks import Block
from ..bridges import from_async
from ..errors import InputError, placed
from ..inlets import listen
from ..replays import Replay
from ..sinks import Emitter, Sink
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Completion, delta
from ..walks import is_input

__all__ = ["map_tokens", "transform"]

Operator = Callable[[Observable[Item]], Observable[Item]]


def map_tokens(function: Callable[[str], str | None]) -> Operator:
    """Maps every token of every message with a function; None takes the token out.

    Message to message: names, roles, blocks, tool calls and usage stay as they are, and so do
    messages of the user and the system. What the function raises fails the message. Cutting the new
    message or block cuts the one that it was made of.

    ```
    m       --Hel-lo-|
    upper   --HEL-LO-|
    ```
    """

    def remade(stream: MessageStream) -> MessageStream:
        def start(sink: Sink[Any]) -> abc.DisposableBase:
            def on_next(item: Any) -> None:
                if type(item) is dict and item["content"]:
                    mapped = function(item["content"])
                    if not isinstance(mapped, str | None):
                        raise InputError(
                            f"map_tokens: the function gave {type(mapped).__name__}; a token is a str, or "
                            "None to take it out"
                        )
                    item = _with_text(item, mapped)
                    if mapped is None and not _carries(item):
                        return
                sink.on_next(item)

            def on_completed() -> None:
                if stream.interrupted:
                    twin.interrupt()
                sink.on_completed()

            def on_error(error: Exception) -> None:
                sink.on_error(_replaced(error, stream))

            return listen(stream, sink.loop, on_next, on_error, on_completed)

        twin = _Twin(stream, Emitter(start))
        return twin

    return _on_messages(remade)


def transform(function: Callable[[AsyncIterator[str]], AsyncIterator[str]]) -> Operator:
    """Puts every message through an async generator: from its tokens to the tokens to come.

    The generator is called once for each message. Names, roles, blocks, tool calls and usage stay
    as they are, and so do messages of the user and the system. What it raises fails the message.
    When it returns before the message has ended, the rest of the message is cancelled, and the
    finish reason is `stop`. Cutting the new message or block cuts the one that it was made of.

    ```
    m       --a-b--c-|
    pairs   ----ab---(c|)
    ```
    """

    def remade(stream: MessageStream) -> MessageStream:
        async def run(emit: Callable[[Any], None]) -> None:
            def start(sink: Sink[str]) -> abc.DisposableBase:
                def on_next(item: Any) -> None:
                    text = item["content"] if type(item) is dict else None
                    if text:
                        sink.on_next(text)
                        item = _with_text(item, None)
                    if not text or _carries(item):
                        emit(item)

                return listen(stream, sink.loop, on_next, sink.on_error, sink.on_completed)

            tokens = AsyncItems(Emitter(start))
            written = function(tokens)
            try:
                async for token in written:
                    emit(delta(token))
                if not stream.ended:
                    emit(Completion(finish_reason="stop"))
                elif stream.interrupted:
                    twin.interrupt()
            except Exception as error:
                _replaced(error, stream)
                raise
            finally:
                await _close(written)
                await tokens.aclose()

        twin = _Twin(stream, from_async(run))
        return twin

    return _on_messages(remade)


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def _replaced(error: Exception, original: Observable[Any]) -> Exception:
    """The original's error, which has passed the blocks around the original, at its own place again."""
    if isinstance(original, Replay) and error is original.error:
        return placed(error, original.error_where)
    return error


def _with_text(item: dict[str, Any], text: str | None) -> dict[str, Any]:
    """The delta with another text; list-shaped content must not go on saying the old one."""
    item = {**item, "content": text}
    if "content_parts" in item:
        others = [part for part in item.pop("content_parts") if part.get("type") != "text"]
        if others:
            item["content_parts"] = others
    return item


def _carries(item: dict[str, Any]) -> bool:
    return any(value is not None for value in item.values())


class _Twin(MessageStream):
    """A message made of another one: with its name and role, and with what its model calls took."""

    def __init__(self, original: MessageStream, source: Observable[Any]) -> None:
        super().__init__(source, name=original.name, role=original.role)
        self._original = original

    def _settle(self) -> None:
        # Taken at the end, not passed along: one that is cut or fails was paid for all the same.
        self._completions = [*_completions(self._original), *self._completions]
        super()._settle()


def _completions(original: MessageStream) -> list[Completion]:
    said = original.result
    if original._completions or said is None:
        return original._completions
    return [
        Completion(
            said.usage, said.finish_reason, said.metadata.get("model"), said.metadata.get("request_id")
        )
    ]


def _on_messages(remade: Callable[[MessageStream], MessageStream]) -> Operator:
    def operator(source: Observable[Item], in_block: bool = False) -> Observable[Item]:
        def start(sink: Sink[Item]) -> abc.DisposableBase:
            def let_go(original: MessageStream) -> None:
                if not sink.stopped:
                    original.interrupt()

            def on_next(item: Item) -> None:
                if isinstance(item, MessageStream) and not is_input(item):
                    twin = remade(item)
                    if in_block:
                        # Its block holds the original, so that leaving it would not cancel it.
                        twin.on_end(lambda _: let_go(item))
                    sink.on_next(twin)
                elif isinstance(item, Block):
                    inside = operator(item, True)
                    sink.on_next(Block(item.name, inside, entry=item.entry, catches_stops=item.catches_stops))
                else:
                    sink.on_next(item)

            def on_error(error: Exception) -> None:
                sink.on_error(_replaced(error, source))

            return listen(source, sink.loop, on_next, on_error, sink.on_completed)

        return Emitter(start)

    return operator
