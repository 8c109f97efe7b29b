"""messages, responses, answer: the messages of a conversation, out of all its blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable

from ..engine.bridges import from_async
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.work import afterwards
from ..errors import AgentError
from ..participants import hear
from ..saying.ordering import concat_eager
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Message
from ..walks import last_message, message_streams

__all__ = ["answer", "messages", "responses"]


def messages(
    *, inputs: bool = False, aside: bool = False
) -> Callable[[Observable[Item]], Observable[MessageStream]]:
    """Every message as it begins, as a MessageStream.

    Completes with the conversation; fails with its first error. Leaving it (`ops.first()`) leaves the
    conversation, and cuts the messages that nobody reads yet; `shared()` before it keeps them.

    ```
    items      --(bot|)
    bot        --m1--m2|
    m1         --Hi|
    m2         ------Yes|
    messages   --m1--m2-|
    ```

    Args:
        inputs: Also what was put in: messages of the user and the system.
        aside: Also those of blocks that are no part of the conversation.
    """
    return lambda source: message_streams(source, inputs=inputs, aside=aside)


def responses(
    *, inputs: bool = False, aside: bool = False
) -> Callable[[Observable[Item]], Observable[Message]]:
    """Every message when it is finished, in the order in which they began.

    Completes with the conversation; fails with the first error, after what came before it.

    ```
    items       -m1-m2-|
    m1          --a----b--|
    m2          -----c-|
    responses   ----------([ab] [c]|)
    ```
    """

    def operator(source: Observable[Item]) -> Observable[Message]:
        return concat_eager(message_streams(source, inputs=inputs, aside=aside), _finished)

    return operator


def _finished(stream: MessageStream) -> Observable[Message]:
    def start(sink: Sink[Message]) -> Any:
        def on_error(error: Exception) -> None:
            # when the blocks around have failed as well, and with that have said where it was
            afterwards(partial(sink.on_error_first, error))

        return listen(stream.message, sink.loop, sink.on_next, on_error, sink.on_completed)

    return Emitter(start)


def answer() -> Callable[[Observable[Item]], Observable[Message]]:
    """The conversation's last outermost message, once all of it has ended.

    That is the last of the messages that stand beside the blocks, if there are any; else the same of
    the last block that holds one. Blocks that stand aside do not count.

    Fails with the first error of the conversation, or with an AgentError if nobody said anything.

    ```
    items    -m1-m2-|
    m1       --a-|
    m2       -----b-|
    answer   -------([b]|)
    ```
    """

    def operator(source: Observable[Item]) -> Observable[Message]:
        async def run(emit: Callable[[Message], None]) -> None:
            heard = await hear(source, lambda _: None)
            last = last_message(heard.items)
            if last is None:
                raise AgentError("nobody answered: the conversation holds no message but its input")
            emit(last)

        return from_async(run)

    return operator
