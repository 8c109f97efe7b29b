"""Retaken: the words of a turn that is taken again, in place of those that would not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from ..blocks import Scope
from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..places import placed
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item
from ..walks import is_input

__all__ = ["Anew", "retaken"]

Anew: TypeAlias = Callable[[], Observable[Item]]


def retaken(anew: Anew, beside: Callable[[Item], None], shows: Callable[[Item], None]) -> Observable[Any]:
    """The items of the message of a turn that is taken again, with what its model calls took.

    Completes when the turn has ended, fails as it does. Disposing cuts it.

    Args:
        anew: Gives the items of the turn.
        beside: Takes the StateUpdates.
        shows: Takes what else it emits, such as blocks of its tools.
    """

    def start(sink: Sink[Any]) -> abc.DisposableBase:
        turn = Scope(anew())
        reading = CompositeDisposable()
        said: list[MessageStream] = []

        def on_next(item: Item) -> None:
            if said or not isinstance(item, MessageStream) or is_input(item):
                (beside if isinstance(item, StateUpdate) else shows)(item)
                return
            said.append(item)
            # how it ends is told with the end of the turn
            reading.add(listen(item, sink.loop, sink.on_next, _nothing, _nothing))

        def on_error(error: Exception) -> None:
            if said and said[0].error is error:
                error = placed(error, said[0].error_where)
            pay()
            sink.on_error(error)

        def on_completed() -> None:
            pay()
            sink.on_completed()

        def pay() -> None:
            for completion in said[0]._completions if said else ():
                sink.on_next(completion)

        reading.add(listen(turn, sink.loop, on_next, on_error, on_completed))
        return reading

    return Emitter(start)


def _nothing(_: object = None) -> None:
    pass
