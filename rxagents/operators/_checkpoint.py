"""checkpoint: a place of one's own among those that say where an error comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable, abc

from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..errors import ConfigurationError
from ..places import located, placed
from ..replays import Replay

__all__ = ["checkpoint"]

T = TypeVar("T")


def checkpoint(name: str) -> Callable[[Observable[T]], Observable[T]]:
    """Adds a place to the errors that pass: `in draft > writer > tool search`.

    It stands in the exception's note, in `rxagents.places.where(error)` and in the `where` of the `error`
    marker, in front of the agent or team that it stands behind. Behind `text()` and the like it works as
    well. It changes nothing else, and costs nothing for a token of a conversation.

    ```
    m         --Hel-lo-|
    checked   --Hel-lo-|
    ```

    Args:
        name: Of the place.

    Raises:
        ConfigurationError: The name is no text, or empty.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"checkpoint: the name {name!r} is no text; give a few words for the place")

    def operator(source: Observable[T]) -> Observable[T]:
        def start(sink: Sink[T]) -> abc.DisposableBase:
            def on_next(item: T) -> None:
                if isinstance(item, Replay):
                    # messages and blocks fail later, and elsewhere: they carry the place with them
                    item.checkpoints = (name, *item.checkpoints)
                    item.on_end(_placed)
                sink.on_next(item)

            def on_error(error: Exception) -> None:
                sink.on_error(located(error, name))

            return listen(source, sink.loop, on_next, on_error, sink.on_completed)

        return Emitter(start)

    return operator


def _placed(item: Replay[Any]) -> None:
    if item.error is not None:
        placed(item.error, item.places)
