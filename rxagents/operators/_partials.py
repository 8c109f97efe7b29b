"""partials: structured output while it is being written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable, abc

from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..engine.work import afterwards
from ..errors import ConfigurationError, OutputError
from ..places import located
from ..saying.ordering import concat_eager
from ..streams import MessageStream
from ..structured.json_progress import JsonProgress
from ..structured.output_types import WRAPPED, OutputType
from ..structured.partial_types import shape_of
from ..transcripts import Item
from ..values import FunctionResult
from ..walks import message_streams

__all__ = ["partials"]


def partials(
    type: Any, *, name: str | None = None, aside: bool = False
) -> Callable[[Observable[Item]], Observable[Any]]:
    """What has come of a value while its JSON streams, then the validated value itself.

    Of a model, what has come is its all-optional twin, see `rxagents.partial_model`: None for each field
    of which nothing has come, models, lists and dicts as far as they are, and strings even within; numbers,
    literals, dates and the like when they are complete. Each item replaces the one before, and is emitted
    only if it is another. Validators of the type run on the whole only.

    The messages of agents are read one after the other; the last item of each is the whole. When a model
    has to begin anew (a delta with `restart`: an invalid answer), or what it said led to a tool call, the
    empty twin (an empty list, else None) is emitted if anything was shown, and all begins again. Words and
    fences around the JSON are passed by. A message that is interrupted has no whole.

    Completes with the conversation; fails with its first error, and with an OutputError at the end of a
    message that is not of the type.

    ```
    m          -'{"a":"H'-i-'"}'|
    partials   -h---------hi----(w|)
    ```

    What is closed is neither read nor made again. A token costs what is open around it, a copy of each list
    included (8 µs among 100 items, 25 among 5,000); see `rxagents.structured.json_progress`. Values are
    shared between items and not to be changed. Of a union of models, one shows when a `Literal` field
    tells it apart. A field with an `AliasPath`, and keys that the model does not know, come with the
    whole only.

    Args:
        type: What each answer is: as for `Agent(output_type=…)`.
        name: Whose messages count, an agent's id; by default those of all agents.
        aside: Also those of blocks that are no part of the conversation.

    Raises:
        ConfigurationError: It is no type that has a JSON schema.
    """
    output: OutputType[Any] = OutputType(type, argument="partials: the type")
    if not isinstance(name, str | None):
        raise ConfigurationError(f"partials: the name is an agent's id, not {name!r}")

    def of(stream: MessageStream) -> Observable[Any] | list[Any]:
        if name is not None and stream.name != name:
            return []
        return Emitter(lambda sink: _Reading(sink, stream, output).subscription)

    return lambda source: concat_eager(message_streams(source, aside=aside), of)


class _Reading:
    """One message, read by one subscriber."""

    def __init__(self, sink: Sink[Any], stream: MessageStream, output: OutputType[Any]) -> None:
        self._sink = sink
        self._stream = stream
        self._output = output
        self._shape = shape_of(output.type)
        self._shown = False
        self._begin()
        self.subscription: abc.DisposableBase = listen(
            stream, sink.loop, self._next, self._failed, self._completed
        )

    def _begin(self) -> None:
        self._progress = JsonProgress(self._shape, WRAPPED if self._output.is_wrapped else None)
        self._text: list[str] = []

    def _next(self, item: Any) -> None:
        if self._sink.stopped:
            return  # a message that has ended already is heard to its end at once
        if isinstance(item, FunctionResult) or (len(item) > 4 and item.get("restart") is not None):
            self._begin()
            if self._shown:
                self._shown = False
                self._sink.on_next(self._shape.blank())
        elif item["content"]:
            self._text.append(item["content"])
            if self._progress.feed(item["content"]):
                self._shown = True
                self._sink.on_next(self._progress.value)

    def _failed(self, error: Exception) -> None:
        # when the blocks around have failed as well, and with that have said where it was
        afterwards(partial(self._sink.on_error_first, error))

    def _completed(self) -> None:
        if self._sink.stopped:
            return
        try:
            whole = self._output.parse("".join(self._text))
        except OutputError as error:
            if self._stream.interrupted:
                self._sink.on_completed()
            else:
                self._sink.on_error(self._at_its_place(error))
        else:
            self._sink.on_next(whole)
            self._sink.on_completed()

    def _at_its_place(self, error: OutputError) -> Exception:
        result = self._stream.result
        if result is not None and result.refusal:
            cause, error = error, OutputError(f"the model refused: {result.refusal}")
            error.__cause__ = cause
        return located(error, self._stream.name) if self._stream.name else error
