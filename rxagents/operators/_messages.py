"""messages, responses, answer: the messages of a conversation, out of all its blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable

from ..errors import AgentError
from ..inlets import listen
from ..ordering import concat_eager
from ..sinks import Emitter, Sink
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Message
from ..walks import message_streams
from ..work import afterwards

__all__ = ["answer", "messages", "responses"]


def messages(
    *, inputs: bool = False, aside: bool = False
) -> Callable[[Observable[Item]], Observable[MessageStream]]:
    """Every message as it begins, as a MessageStream.

    Completes with the conversation; fails with its first error. Leaving it (`ops.first()`) leaves the
    conversation, and cuts the messages that nobody reads yet; `shared()` before it keeps them.

    ```
    items      --(B|)
    B          --m---n--|
    messages   --m---n--|
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
    m1          --a--b-----|
    m2          ---c-|
    responses   -----------(m1 m2|)
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
    """The conversation's last message, once all of it has ended.

    Fails with the first error of the conversation, or with an AgentError if nobody said anything.

    ```
    m1       --a-|
    m2       -----b-|
    answer   --------(m2|)
    ```
    """

    def operator(source: Observable[Item]) -> Observable[Message]:
        def start(sink: Sink[Message]) -> Any:
            last: list[Message] = []

            def keep(message: Message) -> None:
                last[:] = [message]

            def complete() -> None:
                if last:
                    sink.on_next(last[0])
                    sink.on_completed()
                else:
                    sink.on_error(
                        AgentError("nobody answered: the conversation holds no message but its input")
                    )

            return listen(source.pipe(responses()), sink.loop, keep, sink.on_error, complete)

        return Emitter(start)

    return operator
