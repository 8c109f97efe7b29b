"""markers: the serializer. A conversation becomes `(mark, content)` tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import to_jsonable_python
from reactivex import Observable, abc

from ..blocks import Block, Scope, Word
from ..engine.emitters import Emitter
from ..engine.inlets import Listening
from ..engine.sinks import Sink
from ..places import where, words
from ..replays import Replay
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item
from ..values import Usage
from ..walks import Walk, is_input

__all__ = ["Mark", "Marker", "markers"]


class Mark(str):
    """The first half of a marker: a string that knows where it stands.

    Made once for each block or message and kind, so that no token pays for it.

    Attributes:
        path: The names of the blocks around, from the outside in.
        id: The id of the block or message that it is about; empty for the run itself.
    """

    __slots__ = ("id", "path")

    path: tuple[str, ...]
    id: str

    def __new__(cls, kind: str, path: tuple[str, ...] = (), id: str = "") -> Mark:
        mark = super().__new__(cls, kind)
        mark.path = path
        mark.id = id
        return mark


Marker = tuple[Mark, Any]
"""What a workflow's output is made of; unpacks as `mark, content`. The content is JSON-able."""


def markers(*, state: bool = False, inputs: bool = False) -> Callable[[Observable[Item]], Observable[Marker]]:
    """Serializes a conversation, block by block and token by token, as it comes.

    A Block becomes `start … end`, a MessageStream its `delta`s (and `function_result`s) and one
    `response`, or `interrupted` if it was cut. It does not fail: an error is written once, as
    `error`, where it happened, then the `end`s follow. Last comes one `result`: `done`, `agent-stop`,
    `callback-stop`, `max-turns`, `max-plans`, `limit`, `interrupted`, `waiting` or `agent-error`.

    ```
    items     --(bot|)
    bot       --m------------------|
    m         --Hello--------------|
    markers   --(start delta)------(response end result|)
    ```

    Args:
        state: Show every StateUpdate, not only those that are made to be shown.
        inputs: Show what was put in, too: the messages of the user and the system outside blocks.
    """

    def operator(source: Observable[Item]) -> Observable[Marker]:
        def start(sink: Sink[Marker]) -> abc.DisposableBase:
            # a scope interrupts what else is open when one of its children fails
            scope = source if isinstance(source, Scope) else _Passing(source)
            return _Serializer(sink, scope, state, inputs)

        return Emitter(start)

    return operator


class _Passing(Scope):
    """A scope with one reader: of what has ended it keeps how, and nothing else, since it may never end."""

    def __init__(self, source: Observable[Item]) -> None:
        super().__init__(source)
        self._word = Word()
        self._forgotten = 0

    @property
    def code(self) -> str:
        if self.error is not None:
            return "agent-error"
        word = self._word
        for item in self._items[self._forgotten :]:
            word = word.and_then(item)
        return "interrupted" if self.interrupted else word.code

    def _append(self, item: Any) -> None:
        super()._append(item)
        self._forget()

    def _after_child(self, child: Replay[Any]) -> None:
        super()._after_child(child)
        self._forget()

    def _forget(self) -> None:
        read = min((reader._position for reader in self._readers), default=0)
        while self._forgotten < read:
            item = self._items[self._forgotten]
            if isinstance(item, Replay) and not item.ended:
                return
            self._word = self._word.and_then(item)
            self._items[self._forgotten] = None
            self._forgotten += 1


class _Frame:
    """A block that was begun: its marks are balanced when all that it holds has ended."""

    __slots__ = ("block", "left", "open", "parent", "path")

    def __init__(self, block: Block | None, parent: _Frame | None) -> None:
        self.block = block
        self.parent = parent
        self.path: tuple[str, ...] = ()
        if block is not None and parent is not None:
            self.path = (*parent.path, block.name)
        self.open: dict[Replay[Any], None] = {}
        self.left = False

    @property
    def places(self) -> tuple[str, ...]:
        """Where it stands: the names of the blocks around, with the checkpoints that they passed."""
        found: list[str] = []
        frame: _Frame | None = self
        while frame is not None and frame.block is not None:
            found += (frame.block.name, *reversed(frame.block.checkpoints))
            frame = frame.parent
        return tuple(reversed(found))


class _Serializer(Listening):
    """The walk's visitor: writes the marks."""

    def __init__(self, sink: Sink[Marker], scope: Scope, state: bool, inputs: bool) -> None:
        super().__init__()
        self._sink = sink
        self._scope = scope
        self._show_state = state
        self._show_inputs = inputs
        self._failed = False
        self._root = _Frame(None, None)
        self.add(Walk(scope, sink, self, self._root))

    def message(self, stream: MessageStream, frame: _Frame) -> None:
        if frame is self._root and is_input(stream) and not self._show_inputs:
            return
        frame.open[stream] = None
        emit = self._sink.on_next
        token = Mark("delta", frame.path, stream.id)
        result = Mark("function_result", frame.path, stream.id)

        def on_next(item: Any) -> None:
            emit((token, item) if type(item) is dict else (result, item.to_dict()))

        def on_error(error: Exception) -> None:
            if self._failed:  # one that fails while the first error is on its way was cut all the same
                self._write_end(stream, frame, "interrupted")
            else:
                self._write_error(error, frame, stream.places, stream.id)
            self._child_ended(stream, frame)

        def on_completed() -> None:
            cut = stream.result is not None and stream.result.finish_reason == "interrupted"
            self._write_end(stream, frame, "interrupted" if cut else "response")
            self._child_ended(stream, frame)

        self.listen(stream, self._sink.loop, on_next, on_error, on_completed)

    def state(self, update: StateUpdate, frame: _Frame) -> None:
        if update.shown or self._show_state:
            # variables may be anything, but a marker's content is JSON
            content = to_jsonable_python(update.to_dict(), fallback=str, inf_nan_mode="strings")
            self._sink.on_next((Mark("state", frame.path, update.id), content))

    def enter(self, block: Block, frame: _Frame) -> _Frame | None:
        frame.open[block] = None
        inner = _Frame(block, frame)
        self._sink.on_next((Mark("start", inner.path, block.id), block.name))
        return inner

    def leave(self, frame: _Frame, error: Exception | None) -> None:
        frame.left = True
        if error is not None and not self._failed:
            block = frame.block
            places = where(error) if block is None else block.error_where
            self._write_error(error, frame, places, "" if block is None else block.id)
        self._close_if_done(frame)

    def _child_ended(self, child: Replay[Any], frame: _Frame) -> None:
        frame.open.pop(child, None)
        self._close_if_done(frame)

    def _close_if_done(self, frame: _Frame) -> None:
        # upwards in a loop: a thousand blocks may end at once
        while frame.left and not frame.open:
            block, parent = frame.block, frame.parent
            if block is None or parent is None:
                self._write_result()
                return
            self._sink.on_next((Mark("end", frame.path, block.id), block.name))
            parent.open.pop(block, None)
            frame = parent

    def _write_end(self, stream: MessageStream, frame: _Frame, kind: str) -> None:
        message = stream.result
        assert message is not None
        content = {"content": message.content, "role": message.role, "name": message.name}
        usage = (message.usage or Usage()).model_dump()
        self._sink.on_next((Mark(kind, frame.path, stream.id), [content, usage]))

    def _write_error(self, error: Exception, frame: _Frame, places: tuple[str, ...], id: str) -> None:
        self._failed = True
        place = " > ".join((*frame.places, *places))
        content = {"type": type(error).__name__, "message": words(error), "where": place}
        self._sink.on_next((Mark("error", frame.path, id), content))

    def _write_result(self) -> None:
        self._sink.on_next((Mark("result"), "agent-error" if self._failed else self._scope.code))
        self._sink.on_completed()
