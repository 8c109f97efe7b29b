"""shared: one run of a pipeline for many readers."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from ..blocks import Scope
from ..transcripts import Item

__all__ = ["Shared", "shared"]


class Shared(Scope):
    """A run that holds itself: readers come and go, late ones replay, `dispose` cancels it."""

    def _start(self) -> None:
        if not self._started and not self.ended:
            self._holds += 1  # its own: the last reader that leaves does not end it
        super()._start()

    def begin(self) -> None:
        """Starts it, if nobody has subscribed yet."""
        self._on_loop(self._start)

    def dispose(self) -> None:
        """Cancels: what is open ends as interrupted, and keeps what had arrived. From any thread."""
        self.interrupt()


def shared() -> Callable[[Observable[Item]], Shared]:
    """Runs a pipeline once for all its readers, from the first one on, to its end.

    (`share()` and `replay().ref_count()` run a finished source again.)

    ```
    source   --m1-m2----------|
    m1       --a|
    m2       -----b|
    first    ^-m1-m2----------|
    late     --------(^m3 m4)-|
    m3       --------(a|)
    m4       --------(b|)
    ```

    Returns:
        An operator that gives a Shared: an observable of the items that replays, and that
        `dispose()` cancels for all.
    """
    return Shared
