"""A probe: an operator that changes nothing, and counts what passes."""

from __future__ import annotations

from typing import Any, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable

from ...engine.emitters import Emitter
from ...engine.inlets import listen
from ...engine.sinks import Sink
from .subscription_logs import SubscriptionLog

__all__ = ["Probe"]

T = TypeVar("T")


class Probe:
    """Counts subscriptions, cancellations and items where it stands: `source.pipe(probe, …)`.

    ```
    source          --a--b--|
    subscriptions   ^-------!
    ```

    Attributes:
        subscriptions: When each began and ended, in seconds of the loop's time.
        items: What has passed.
        cancellations: How many subscriptions were disposed before the source had ended.
        completions: How many ended with the source.
        errors: What the source failed with.
    """

    def __init__(self, name: str = "probe") -> None:
        self.name = name
        self.subscriptions = SubscriptionLog()
        self.items: list[Any] = []
        self.errors: list[Exception] = []
        self.cancellations = 0
        self.completions = 0

    @property
    def active(self) -> int:
        """How many subscriptions are open."""
        return self.subscriptions.open

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def start(sink: Sink[T]) -> CompositeDisposable:
            entry = self.subscriptions.begin(sink.loop.time())
            ended = False

            def on_next(item: T) -> None:
                self.items.append(item)
                sink.on_next(item)

            def on_error(error: Exception) -> None:
                nonlocal ended
                ended = True
                self.errors.append(error)
                sink.on_error(error)

            def on_completed() -> None:
                nonlocal ended
                ended = True
                self.completions += 1
                sink.on_completed()

            def let_go() -> None:
                entry.end(sink.loop.time())
                if not ended:
                    self.cancellations += 1

            return CompositeDisposable(
                listen(source, sink.loop, on_next, on_error, on_completed), Disposable(let_go)
            )

        return Emitter(start)

    def __repr__(self) -> str:
        return self.name
