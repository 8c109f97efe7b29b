"""Message to message: each message has a twin, blocks stay around them, and what came in turn stays so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ..blocks import Block
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.work import defer
from ..places import placed
from ..replays import Replay
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Completion
from ..walks import is_input
from ._retaken import Anew, retaken

__all__ = ["Operator", "Twin", "on_messages", "replaced"]

Operator = Callable[[Observable[Item]], Observable[Item]]


class Twin(MessageStream):
    """A message made of another one: with its name and role, and with what its model calls took.

    Attributes:
        beside: Emits an item beside it; set when it is put in the other's place.
        again: Gives the items of the other one said anew, by a turn taken again, or None if it cannot be.
    """

    beside: Callable[[Item], None]
    again: Callable[[], Observable[Any] | None]

    def __init__(self, original: MessageStream, source: Observable[Any]) -> None:
        super().__init__(source, name=original.name, role=original.role, kind=original.kind)
        self.original = original

    def _settle(self) -> None:
        # Taken at the end, not passed along: one that is cut or fails was paid for all the same.
        self._completions = [*_completions(self.original), *self._completions]
        self.parsed = self.original.parsed
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


def replaced(error: Exception, original: Observable[Any]) -> Exception:
    """The original's error, which has passed the blocks around the original, at its own place again."""
    if isinstance(original, Replay) and error is original.error:
        return placed(error, original.error_where)
    return error


def on_messages(remade: Callable[[MessageStream], MessageStream]) -> Operator:
    """Puts a twin in the place of every message of an agent, in all blocks."""
    return lambda source: Emitter(lambda sink: _Twins(sink, source, remade, WeakValueDictionary()))


class _Twins(CompositeDisposable):
    """Hands on the twins. What came after an original's end comes after the end of its twin.

    What comes twice has one twin: it is said twice, but was paid for once.
    """

    def __init__(
        self,
        sink: Sink[Item],
        source: Observable[Item],
        remade: Callable[[MessageStream], MessageStream],
        made: MutableMapping[int, Replay[Any]],
        in_block: bool = False,
        anew: Anew | None = None,
        updates: bool = False,
    ) -> None:
        super().__init__()
        self._sink = sink
        self._source = source
        self._remade = remade
        self._made = made  # of all levels, by the id of the original, which its twin keeps alive
        self._in_block = in_block
        self._anew = anew
        self._updates = updates  # whether the twin of the block says itself what becomes of the conversation
        self._open: dict[Replay[Any], Replay[Any]] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self.add(listen(source, sink.loop, self._next, self._failed, self._completed))

    def _next(self, item: Item) -> None:
        if not (self._updates and isinstance(self._source, Block) and item is self._source.update):
            self._in_turn(lambda: self._pass(item))

    def _failed(self, error: Exception) -> None:
        self._in_turn(lambda: self._sink.on_error(replaced(error, self._source)))

    def _completed(self) -> None:
        self._in_turn(self._sink.on_completed)

    def _in_turn(self, step: Callable[[], None]) -> None:
        self._waiting.append(step)
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._sink.stopped:
            late = [twin for twin, original in self._open.items() if original.ended and not twin.ended]
            if late:
                for twin in late:
                    self.add(twin.hold())  # nobody else may want it, and then it would never end
                late = [twin for twin in late if not twin.ended]
            if late:
                late[0].on_end(lambda _: defer(self._go_on))
                return
            try:
                self._waiting[0]()  # it stays in line meanwhile: what it leads to comes behind it
            finally:
                self._waiting.popleft()

    def _pass(self, item: Item) -> None:
        twin = self._made.get(id(item)) or self._twin(item)
        if twin is None:
            self._sink.on_next(self._in_its_words(item) if isinstance(item, StateUpdate) else item)
            return
        twin.checkpoints = item.checkpoints
        self._made[id(item)] = twin
        self._open[twin] = item
        twin.on_end(lambda ended: self._open.pop(ended, None))
        self._sink.on_next(twin)

    def _twin(self, item: Item) -> Replay[Any] | None:
        if isinstance(item, MessageStream) and not is_input(item):
            twin = self._remade(item)
            if isinstance(twin, Twin):
                twin.beside = self._beside
                twin.again = partial(self._again, item)
            if self._in_block:
                # Its block holds the original, so that leaving it would not cancel it.
                twin.on_end(lambda _: self._let_go(item))
            return twin
        if isinstance(item, Block):
            anew = item.anew  # asked now: when it has ended it is too late
            inside: Emitter[Item] = Emitter(
                lambda sink: _Twins(sink, item, self._remade, self._made, True, anew, block.updates)
            )
            block = item.around(inside)
            block.original = item
            return block
        return None

    def _beside(self, item: Item) -> None:
        if not self._sink.stopped:
            self._sink.on_next(item)

    def _again(self, said: MessageStream) -> Observable[Any] | None:
        if self._anew is None:
            return None
        said.interrupt()
        return retaken(self._anew, self._beside, self._next)

    def _in_its_words(self, update: StateUpdate) -> StateUpdate:
        """The update, with the messages of the twins in place of those that they were made of."""
        if not update.messages:
            return update
        twins = (twin for twin in self._made.values() if isinstance(twin, Twin))
        made = {id(twin.original.result): twin.result for twin in twins}
        return replace(update, messages=tuple(made.get(id(said)) or said for said in update.messages))

    def _let_go(self, original: MessageStream) -> None:
        if not self._sink.stopped:
            original.interrupt()
