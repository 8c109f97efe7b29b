"""map_tokens, transform: from message to message, token by token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from reactivex import abc

from ..engine.async_items import AsyncItems
from ..engine.bridges import from_async
from ..engine.demands import until_wanted
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..errors import InputError
from ..streams import MessageStream
from ..values import Completion, delta
from ._twins import Operator, Twin, on_messages, replaced

__all__ = ["map_tokens", "transform"]


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
                sink.on_error(replaced(error, stream))

            return listen(stream, sink.loop, on_next, on_error, on_completed)

        twin = Twin(stream, Emitter(start))
        return twin

    return on_messages(remade)


def transform(function: Callable[[AsyncIterator[str]], AsyncIterator[str]]) -> Operator:
    """Puts every message through an async generator: from its tokens to the tokens to come.

    The generator is called once for each message, and once more after each `restart`. Names, roles,
    blocks, tool calls and usage stay as they are, and so do messages of the user and the system. What it
    raises fails the message. When it returns before the message has ended, the rest of the message is
    cancelled, and the finish reason is `stop`. Cutting the new message or block cuts the one that it was
    made of.

    ```
    m       --a-b--c-|
    pairs   ----ab---(c|)
    ```
    """

    def remade(stream: MessageStream) -> MessageStream:
        async def run(emit: Callable[[Any], None]) -> None:
            tokens = _Tokens(stream, emit)
            try:
                while True:
                    written = function(tokens)
                    try:
                        async for token in written:
                            emit(delta(token))
                            await until_wanted()
                    finally:
                        await _close(written)
                    if not tokens.begin_anew():
                        break
                tokens.pass_on()
                if not stream.ended:
                    emit(Completion(finish_reason="stop"))
                elif stream.interrupted:
                    twin.interrupt()
            except Exception as error:
                replaced(error, stream)
                raise
            finally:
                tokens.dispose()

        twin = Twin(stream, from_async(run))
        return twin

    return on_messages(remade)


class _Tokens(AsyncIterator[str]):
    """The tokens of a message, for the generator. What is no text passes when all before it was asked for.

    So it keeps its place, however slowly the generator asks, and whatever it holds back meanwhile is its own.
    """

    def __init__(self, stream: MessageStream, emit: Callable[[Any], None]) -> None:
        def start(sink: Sink[Any]) -> abc.DisposableBase:
            def on_next(item: Any) -> None:
                text = item["content"] if type(item) is dict else None
                if text:
                    sink.on_next(text)
                    item = _with_text(item, None)
                if not text or _carries(item):
                    sink.on_next(item)

            return listen(stream, sink.loop, on_next, sink.on_error, sink.on_completed)

        self._items: AsyncItems[Any] = AsyncItems(Emitter(start))
        self._emit = emit
        self._restart: Any = None

    async def __anext__(self) -> str:
        while self._restart is None:
            item = await self._items.__anext__()
            if isinstance(item, str):
                return item
            if isinstance(item, dict) and item.get("restart") is not None:
                self._restart = item  # what the generator still holds is void, and comes before this
            else:
                self._emit(item)
        raise StopAsyncIteration

    def begin_anew(self) -> bool:
        """Whether its tokens have ended because all that was said is void, and others follow."""
        restart, self._restart = self._restart, None
        if restart is not None:
            self._emit(restart)
        return restart is not None

    def pass_on(self) -> None:
        """Passes on what is no text and was not come to, as the generator has returned."""
        for item in self._items.waiting:
            if not isinstance(item, str):
                self._emit(item)

    def dispose(self) -> None:
        """Lets go of the message."""
        self._items.dispose()


async def _close(iterator: Any) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


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
