"""transcript: what a conversation comes to."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from ..engine.bridges import from_async
from ..participants import hear
from ..transcripts import Item, Transcript

__all__ = ["transcript"]


def transcript() -> Callable[[Observable[Item]], Observable[Transcript]]:
    """Folds a conversation into one Transcript, emitted when all of it has ended.

    Fails with the conversation's first error.

    ```
    items        --(bot|)
    bot          --m---|
    m            --Hi--|
    transcript   ------(t|)
    ```
    """

    def operator(source: Observable[Item]) -> Observable[Transcript]:
        async def run(emit: Callable[[Transcript], None]) -> None:
            emit((await hear(source, lambda _: None)).transcript)

        return from_async(run)

    return operator
