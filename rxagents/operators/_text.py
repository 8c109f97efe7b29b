"""text, deltas: the tokens of a conversation, out of all its messages and blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from reactivex import Observable, abc

from ..engine.emitters import Emitter
from ..engine.listenings import Listening
from ..engine.sinks import Sink
from ..engine.work import afterwards, defer
from ..errors import ConfigurationError
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Delta
from ..walks import walk_messages

__all__ = ["Order", "deltas", "text"]

Order = Literal["message", "arrival"]


def deltas(
    *, order: Order = "message", inputs: bool = False, aside: bool = False
) -> Callable[[Observable[Item]], Observable[Delta]]:
    """The deltas of all messages. One with the key `restart` says that what its message said before is void.

    Completes with the conversation; fails with the first error, after what came before it.

    ```
    items     -m1-m2-|
    m1        --a-----b--|
    m2        -----c----d|
    deltas    --a-----b--(c d|)
    arrival   --a--c--b-d|
    ```

    Args:
        order: `"message"`: whole messages one after the other; `"arrival"`: as they come.
        inputs: Also of what was put in.
        aside: Also of blocks that are no part of the conversation.
    """
    _check(order)

    def operator(source: Observable[Item]) -> Observable[Delta]:
        def start(sink: Sink[Delta]) -> _Reader:
            def emit(item: Any, first: bool) -> None:
                if type(item) is dict:
                    sink.on_next(item)  # type: ignore[arg-type]

            return _Reader(source, sink, order, inputs, aside, emit)

        return Emitter(start)

    return operator


def text(
    separator: str = "\n\n", order: Order = "message", *, inputs: bool = False, aside: bool = False
) -> Callable[[Observable[Item]], Observable[str]]:
    """The text of a conversation, token by token: non-empty content only.

    What a message said before it began anew (a `restart`) cannot be taken back here; see `deltas`.

    Completes with the conversation; fails with the first error, after what came before it.

    ```
    items   -m1-m2-|
    m1      --Hel-lo--|
    m2      -----Yes|
    text    --Hel-lo--('\\n\\n' Yes|)
    ```

    Args:
        separator: Emitted between two messages that have text.
        order: `"message"`: whole messages one after the other; `"arrival"`: as they come, without
            separators.
        inputs: Also of what was put in.
        aside: Also of blocks that are no part of the conversation.
    """
    _check(order)

    def operator(source: Observable[Item]) -> Observable[str]:
        def start(sink: Sink[str]) -> _Reader:
            between = separator if order == "message" else ""
            return _Reader(source, sink, order, inputs, aside, _Words(sink, between).emit)

        return Emitter(start)

    return operator


def _check(order: str) -> None:
    if order not in ("message", "arrival"):
        raise ConfigurationError(f"order is 'message' or 'arrival', not {order!r}")


class _Words:
    """Emits the content of what is read, with a separator between two messages that have any."""

    __slots__ = ("_fresh", "_separator", "_sink", "_spoken")

    def __init__(self, sink: Sink[str], separator: str) -> None:
        self._sink = sink
        self._separator = separator
        self._spoken = False  # whether an earlier message had text
        self._fresh = True  # whether this one has had none yet

    def emit(self, item: Any, first: bool) -> None:
        self._fresh = self._fresh or first
        content = item["content"] if type(item) is dict else None
        if content:
            if self._separator and self._fresh and self._spoken:
                self._sink.on_next(self._separator)
            self._fresh, self._spoken = False, True
            self._sink.on_next(content)


class _Reader(Listening):
    """Reads the messages in order, or all at once; those that wait are held, so that they run.

    It is told of them by a walk, without a subscription in between: an idle conversation is to be small.
    """

    __slots__ = (
        "_at_once",
        "_emit",
        "_outer_done",
        "_outer_error",
        "_reading",
        "_sink",
        "_waiting",
        "_walk",
    )

    def __init__(
        self,
        source: Observable[Item],
        sink: Sink[Any],
        order: Order,
        inputs: bool,
        aside: bool,
        emit: Callable[[Any, bool], None],
    ) -> None:
        super().__init__()
        self._sink = sink
        self._emit = emit
        self._at_once = order == "arrival"
        # made when first needed
        self._waiting: deque[tuple[MessageStream, abc.DisposableBase]] | None = None
        self._reading = 0
        self._outer_done = False
        self._outer_error: Exception | None = None
        self._walk: abc.DisposableBase | None = None
        walk = walk_messages(source, sink, self, inputs, aside)
        if self._outer_done:
            walk.dispose()
        else:
            self._walk = walk
            self.add(walk)

    def on_next(self, stream: MessageStream) -> None:
        """A message has begun."""
        if self._outer_done:
            return
        if self._at_once or not (self._reading or self._waiting):
            self._read(stream)
        else:
            hold = stream.hold()
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append((stream, hold))
            self.add(hold)

    def _read(self, stream: MessageStream) -> None:
        self._reading += 1
        first = True

        def on_next(item: Any) -> None:
            nonlocal first
            was_first, first = first, False
            self._emit(item, was_first)

        def on_error(error: Exception) -> None:
            # when the blocks around have failed as well, and with that have said where it was
            afterwards(partial(self._sink.on_error_first, error))

        def on_completed() -> None:
            self._reading -= 1
            # deferred: a thousand finished messages in a row must not nest
            defer(self._go_on)

        self.listen(stream, self._sink.loop, on_next, on_error, on_completed)

    def _go_on(self) -> None:
        if self._sink.stopped or self._reading:
            return
        if self._waiting:
            stream, hold = self._waiting.popleft()
            self._read(stream)
            self.remove(hold)
        elif self._outer_done:
            self._end()

    def on_error_first(self, error: Exception) -> None:
        """The conversation has failed."""
        if not self._outer_done:
            self._outer_error = error  # it comes in its place: after the messages that were there before it
            self.on_completed()

    def on_completed(self) -> None:
        """The conversation has ended."""
        self._outer_done = True
        if self._walk is not None:
            self.remove(self._walk)
            self._walk = None
        self._go_on()

    def _end(self) -> None:
        if self._outer_error is not None:
            self._sink.on_error_first(self._outer_error)
        else:
            self._sink.on_completed()
