"""until: a stop button."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..errors import ConfigurationError
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Item

__all__ = ["Cut", "until"]


def until(signal: Observable[Any]) -> Callable[[Observable[Item]], Observable[Item]]:
    """Cuts a conversation when a signal comes, in mid-message if need be, and ends it cleanly.

    What is open is interrupted, the innermost first: the messages end with what they have and the
    finish reason `interrupted`, then their blocks end; the sources are cancelled. (Stock
    `take_until` would cut nothing: messages are passed by reference and would run on.)

    Behind `turns` it ends the whole conversation; within one, `turns(lambda source: source.pipe(agent,
    until(stop)))`, it ends the reply, and the next input is a new turn.

    Completes at the signal, after a StateUpdate of the kind `result` that says so, or else when what
    passed has ended. Fails with the source; a signal that fails cuts, and fails the conversation;
    one that completes without a word never cuts.

    ```
    m        --Well-let-me-see|
    signal   ----------s
    cut      --Well-let|
    ```
    """

    if not isinstance(signal, Observable):
        raise ConfigurationError(
            f"until: the signal is an observable, not {type(signal).__name__}; for some seconds "
            "give reactivex.timer(seconds)"
        )

    def operator(source: Observable[Item]) -> Observable[Item]:
        return Emitter(lambda sink: Cut(sink, source, signal))

    return operator


class Cut(CompositeDisposable):
    """Passes a conversation on until it is cut, and ends it cleanly then.

    Args:
        sink: Takes what passes.
        source: The conversation.
        signal: Cuts it; none may come.
    """

    def __init__(self, sink: Sink[Item], source: Observable[Item], signal: Observable[Any]) -> None:
        super().__init__()
        self._sink = sink
        self._open: dict[Replay[Any], None] = {}
        self._is_cut = False
        self._source_done = False
        self._source = CompositeDisposable()
        self.add(self._source)
        # the signal first: at one instant, it wins
        self.add(listen(signal, sink.loop, lambda _: self._cut(), self._cut, lambda: None))
        if not sink.stopped:
            self._source.add(listen(source, sink.loop, self._pass, sink.on_error, self._complete))

    def _pass(self, item: Item) -> None:
        if isinstance(item, Replay) and not item.ended:
            self._open[item] = None
            self._sink.on_next(item)
            item.on_end(self._ended)
        else:
            self._sink.on_next(item)

    def _ended(self, item: Replay[Any]) -> None:
        self._open.pop(item, None)
        self._complete_if_done()

    def _complete(self) -> None:
        self._source_done = True
        self._complete_if_done()

    def _complete_if_done(self) -> None:
        if self._source_done and not self._open and not self._is_cut:
            self._sink.on_completed()

    def _cut(self, error: Exception | None = None) -> None:
        self._is_cut = True  # what ends by it does not complete it
        self._source.dispose()  # nor does it make anything else begin
        for item in list(self._open):
            item.interrupt()
        if error is None:
            # said, since what was cut may be out of sight: an agent whose words the next one heard
            for update in self._words():
                self._sink.on_next(update)
            self._sink.on_completed()
        else:
            self._sink.on_error(error)

    def _words(self) -> Iterable[StateUpdate]:
        return (StateUpdate("result", {"result": "interrupted"}),)
