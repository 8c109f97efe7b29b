"""markers: a conversation becomes `(mark, content)` tuples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable

from ..blocks import Scope, Word
from ..engine.emitters import Emitter
from ..replays import Replay
from ..transcripts import Item
from ._marks import Marker
from ._serialized import written

__all__ = ["markers"]


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
        # a scope interrupts what else is open when one of its children fails
        return Emitter(
            lambda sink: written(
                source if isinstance(source, Scope) else _Passing(source), sink, state=state, inputs=inputs
            )
        )

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
