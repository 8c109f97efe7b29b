"""Serializing: the walk through a conversation, written as marks.

Only here tokens are read, so that their price does not depend on how deeply agents are nested.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python
from reactivex import abc

from ..blocks import Block, Scope
from ..cursors import Cursor
from ..engine.listenings import Listening
from ..engine.sinks import Sink
from ..kept_deltas import Deltas
from ..places import where, words
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..values import FunctionResult, Usage
from ..walks import Walk, is_input
from ._marks import Mark, Marker

__all__ = ["written"]


def written(scope: Scope, sink: Sink[Marker], *, state: bool, inputs: bool) -> abc.DisposableBase:
    """Writes the marks of a conversation to a subscription that has begun; gives what ends that."""
    return _Serializer(sink, scope, state, inputs)


class _Frame:
    """A block that was begun: its marks are balanced when all that it holds has ended."""

    __slots__ = ("block", "left", "open", "parent", "path")

    def __init__(self, block: Block | None, parent: _Frame | None) -> None:
        self.block = block
        self.parent = parent
        self.path: tuple[str, ...] = ()
        if block is not None and parent is not None:
            self.path = (*parent.path, block.name)
        self.open = 0  # how many it holds that have not ended
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


class _Deltas(abc.ObserverBase[Any]):
    """Writes the deltas of one message, each as its marker."""

    __slots__ = ("_frame", "_mark", "_serializer", "_sink", "_stream", "passive", "reader")

    def __init__(
        self, serializer: _Serializer, stream: MessageStream, frame: _Frame, sink: Sink[Marker]
    ) -> None:
        self._serializer = serializer
        self._stream = stream
        self._frame = frame
        self._sink = sink
        self._mark = Mark("delta", frame.path, stream.id)
        self.passive = sink.passive  # who reads the markers may act on them, and this does not
        self.reader: Cursor[Any] | None = None

    def on_next(self, value: Any) -> None:
        self._sink.on_next((self._mark, value) if type(value) is dict else self._result(value))

    def on_many(self, values: Deltas) -> None:
        self._sink.on_many(values.marked(self._mark, self._result))

    def _result(self, result: FunctionResult) -> Marker:
        return Mark("function_result", self._frame.path, self._stream.id), result.to_dict()

    def on_error(self, error: Exception) -> None:
        self._leave()
        self._serializer.cut_short(self._stream, self._frame, error)

    def on_completed(self) -> None:
        self._leave()
        self._serializer.completed(self._stream, self._frame)

    def _leave(self) -> None:
        if self.reader is not None:
            self._serializer.remove(self.reader)
            self.reader = None


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
        frame.open += 1
        observer = _Deltas(self, stream, frame, self._sink)
        if stream.ended or stream._bound_loop() is self._sink.loop:
            # read as it is: what leads onto a loop is for those that are on another
            observer.reader = reader = Cursor(stream, self._sink.loop, observer)
            self.add(reader)
            reader._start(stream._attach)
        else:
            self.listen(stream, self._sink.loop, observer.on_next, observer.on_error, observer.on_completed)

    def cut_short(self, stream: MessageStream, frame: _Frame, error: Exception) -> None:
        """A message has failed."""
        if self._failed:  # one that fails while the first error is on its way was cut all the same
            self._write_end(stream, frame, "interrupted")
        else:
            self._write_error(error, frame, stream.places, stream.id)
        self._child_ended(frame)

    def completed(self, stream: MessageStream, frame: _Frame) -> None:
        """A message has ended."""
        cut = stream.result is not None and stream.result.finish_reason == "interrupted"
        self._write_end(stream, frame, "interrupted" if cut else "response")
        self._child_ended(frame)

    def state(self, update: StateUpdate, frame: _Frame) -> None:
        if update.shown or self._show_state:
            # variables may be anything, but a marker's content is JSON
            content = to_jsonable_python(update.to_dict(), fallback=str, inf_nan_mode="strings")
            self._sink.on_next((Mark("state", frame.path, update.id), content))

    def enter(self, block: Block, frame: _Frame) -> _Frame | None:
        frame.open += 1
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

    def _child_ended(self, frame: _Frame) -> None:
        frame.open -= 1
        self._close_if_done(frame)

    def _close_if_done(self, frame: _Frame) -> None:
        # upwards in a loop: a thousand blocks may end at once
        while frame.left and not frame.open:
            block, parent = frame.block, frame.parent
            if block is None or parent is None:
                self._write_result()
                return
            self._sink.on_next((Mark("end", frame.path, block.id), block.name))
            parent.open -= 1
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
