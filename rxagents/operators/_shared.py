"""shared: one run of a pipeline for many readers."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from ..asking.sharing import Shared
from ..transcripts import Item

__all__ = ["Shared", "shared"]


def shared(*, keep_running: bool = True) -> Callable[[Observable[Item]], Shared]:
    """Runs a pipeline once for all its readers, from the first one on, to its end.

    The fastest reader decides how far it goes.

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

    Args:
        keep_running: Whether it runs on when its last reader has left; if not, that one cancels it.

    Returns:
        An operator that gives a Shared: an observable of the items that replays, and that
        `dispose()` cancels for all.
    """
    return lambda source: Shared(source, keep_running=keep_running)
