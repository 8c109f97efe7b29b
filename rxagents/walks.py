"""The walk through a conversation: every block and message in it, depth first, as they come.

Live items are visited when they arrive; of what has ended already, each block's contents come
before what follows the block. The way in is a queue and never a recursion, so that a thousand
nested blocks need no more of Python's stack than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from reactivex import Observable, abc

from .blocks import Block, Scope
from .cursors import Cursor
from .engine.demands import current_demand, demanded_by
from .engine.emitters import Emitter
from .engine.listenings import Listening
from .engine.sinks import Sink
from .engine.work import afterwards
from .replays import Replay
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Item, counts
from .values import Message

__all__ = ["MessagesTo", "Visitor", "Walk", "is_input", "last_message", "message_streams", "walk_messages"]

F = TypeVar("F")


class Visitor(Protocol[F]):
    """Who is told of what the walk meets. A frame is whatever the visitor makes of a block."""

    def message(self, stream: MessageStream, frame: F) -> None: ...
    def state(self, update: StateUpdate, frame: F) -> None: ...
    def enter(self, block: Block, frame: F) -> F | None: ...
    def leave(self, frame: F, error: Exception | None) -> None: ...


class Walk(Listening, Generic[F]):
    """Walks one source with one visitor. Disposing it leaves everything that it entered.

    Args:
        source: The conversation.
        sink: Whose loop to walk on.
        visitor: Told of everything; `enter` gives None for a block to be passed by.
        frame: What the visitor makes of the whole.
    """

    __slots__ = ("_met", "_sink", "_visitor")

    def __init__(self, source: Observable[Item], sink: Sink[Any], visitor: Visitor[F], frame: F) -> None:
        super().__init__()
        self._sink = sink
        self._visitor = visitor
        self._met: list[Callable[[], None]] | None = None
        self._step(partial(self._follow, source, frame))

    def _follow(self, source: Observable[Item], frame: F) -> None:
        way = _Way(self, frame)
        loop = self._sink.loop
        if (
            isinstance(source, Scope)
            and type(source).subscribe is Replay.subscribe
            and (source.ended or source._bound_loop() is loop)
        ):
            # read as it is, without what leads onto a loop and through the trampoline of Rx, which would be
            # most of what a block within a block costs
            way.reader = reader = Cursor(source, loop, way)
            self.add(reader)
            reader._start(source._attach)
        else:
            self.listen(source, loop, way.on_next, way.on_error, way.on_completed)

    def _meet(self, item: Item, frame: F) -> None:
        if isinstance(item, StateUpdate):
            self._visitor.state(item, frame)
        elif isinstance(item, MessageStream):
            self._visitor.message(item, frame)
        elif isinstance(item, Block):
            inner = self._visitor.enter(item, frame)
            if inner is not None:
                self._follow(item, inner)

    def _step(self, step: Callable[[], None]) -> None:
        if self._met is not None:
            self._met.append(step)  # met on the way into a block: comes before what waits outside
            return
        try:
            # what the visitor subscribes to is for who subscribed to the walk, wherever the item came from
            if current_demand() is self._sink.demand:
                self._walk_on(step)
            else:
                with demanded_by(self._sink.demand):
                    self._walk_on(step)
        finally:
            self._met = None

    def _walk_on(self, step: Callable[[], None]) -> None:
        steps = [step]  # the next one last
        while steps and not (self._sink.stopped or self.is_disposed):
            met: list[Callable[[], None]] = []
            self._met = met
            steps.pop()()
            if met:
                steps.extend(reversed(met))


class _Way(abc.ObserverBase[Item], Generic[F]):
    """What comes of one source, as steps of the walk. Small, since thousands of conversations may be idle."""

    __slots__ = ("_frame", "_walk", "reader")

    def __init__(self, walk: Walk[F], frame: F) -> None:
        self._walk = walk
        self._frame = frame
        self.reader: Cursor[Item] | None = None

    def on_next(self, value: Item) -> None:
        self._walk._step(partial(self._walk._meet, value, self._frame))

    def on_error(self, error: Exception) -> None:
        self._leave(error)

    def on_completed(self) -> None:
        self._leave(None)

    def _leave(self, error: Exception | None) -> None:
        reader, self.reader = self.reader, None
        if reader is not None:
            self._walk.remove(reader)
        self._walk._step(partial(self._walk._visitor.leave, self._frame, error))


def is_input(stream: MessageStream) -> bool:
    """Whether these are words that were put in: what a view shows is what came out."""
    return stream.role in ("user", "system", "developer", "tool")


def last_message(items: Iterable[Item], *, inputs: bool = False) -> Message | None:
    """The last outermost message: of the scope's own if it has any, else of its last block that has.

    Who has handed over has left the answer to others: what comes after counts before what came till then.

    Args:
        items: Of the scope.
        inputs: Also what was put in: messages of the user and the system.
    """
    stack = [list(items)]
    while stack:
        scope = stack.pop()
        over = max((at for at, item in enumerate(scope) if _hands_over(item)), default=len(scope))
        if over + 1 < len(scope):
            stack += [scope[:over], scope[over + 1 :]]
            continue
        streams = [item for item in scope if isinstance(item, MessageStream)]
        own = [stream.result for stream in streams if inputs or not is_input(stream)]
        said = [message for message in own if message is not None and counts(message)]
        if said:
            return said[-1]
        blocks = [item for item in scope if isinstance(item, Block) and item.entry != "aside"]
        stack.extend(list(block.items) for block in blocks)
    return None


def _hands_over(item: Item) -> bool:
    return isinstance(item, StateUpdate) and item.kind == "handoff"


def message_streams(
    source: Observable[Item], *, inputs: bool = False, aside: bool = False
) -> Observable[MessageStream]:
    """Every message of a conversation as it begins, out of all blocks.

    Completes when the source and all its blocks have; fails with the first error of one of them.

    Args:
        source: The conversation.
        inputs: Also what was put in: messages of the user and the system.
        aside: Also the blocks that are no part of the conversation.
    """

    return Emitter(lambda sink: walk_messages(source, sink, sink, inputs, aside))


class MessagesTo(Protocol):
    """Who is told of the messages of a conversation, as they begin."""

    def on_next(self, value: MessageStream) -> None: ...
    def on_error_first(self, error: Exception) -> None: ...
    def on_completed(self) -> None: ...


def walk_messages(
    source: Observable[Item], sink: Sink[Any], to: MessagesTo, inputs: bool, aside: bool
) -> Walk[_Messages]:
    """As `message_streams`, for one who subscribes to nothing in between: it is to be disposed at the end.

    Args:
        source: The conversation.
        sink: Whose loop to walk on, and only as long as it is open.
        to: Told of the messages.
        inputs: Also what was put in: messages of the user and the system.
        aside: Also the blocks that are no part of the conversation.
    """
    visitor = _Messages(to, inputs, aside)
    return Walk(source, sink, visitor, visitor)


class _Messages:
    """Hands on the messages, and counts the blocks that are open."""

    __slots__ = ("_aside", "_failed", "_inputs", "_open", "_to")

    def __init__(self, to: MessagesTo, inputs: bool, aside: bool) -> None:
        self._to = to
        self._inputs = inputs
        self._aside = aside
        self._open = 1
        self._failed = False

    def message(self, stream: MessageStream, frame: _Messages) -> None:
        if self._inputs or not is_input(stream):
            self._to.on_next(stream)

    def state(self, update: StateUpdate, frame: _Messages) -> None:
        pass

    def enter(self, block: Block, frame: _Messages) -> _Messages | None:
        if block.entry == "aside" and not self._aside:
            return None
        self._open += 1
        return self

    def leave(self, frame: _Messages, error: Exception | None) -> None:
        self._open -= 1
        if error is not None:
            self._fail(error)
        elif not self._open:
            self._to.on_completed()

    def _fail(self, error: Exception) -> None:
        if not self._failed:  # the blocks around fail with it
            self._failed = True
            afterwards(partial(self._to.on_error_first, error))
