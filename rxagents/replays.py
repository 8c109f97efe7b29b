"""Replay: one append-only list, a cursor for each reader, one run of the source for all of them."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .cursors import Cursor
from .engine.async_items import AsyncItems
from .engine.inlets import listen
from .engine.loops import current_loop, dropped, enqueued, hop, is_on, let_go, retain
from .engine.work import together
from .errors import RunCancelledError
from .places import where

__all__ = ["Replay"]

T = TypeVar("T")
Ended = Callable[[Any], object]


class Replay(Observable[T]):
    """An observable that remembers: late readers replay, ten readers cost one list.

    The source starts with the first subscriber and is never run again. When the last subscriber
    leaves before the end, the source is cancelled and the replay ends with what it has.

    ```
    source   --a--b--------c--|
    first    ^-a--b--------c--|
    late     --------(^ab)-c--|
    ```

    Args:
        source: What to run; None: this replay is fed by its owner.
    """

    checkpoints: tuple[str, ...] = ()  # that it passed, the last one first

    def __init__(self, source: Observable[Any] | None = None) -> None:
        super().__init__()
        self._source = source
        self._items: list[T] = []
        self._readers: tuple[Cursor[T], ...] = ()
        self._holds = 0
        self._witnesses: deque[Ended] = deque()
        self._let_go: Callable[[], None] | None = None
        self._subscription: abc.DisposableBase | None = None
        self._started = False
        self.ended = False
        self.interrupted = False
        self.error: Exception | None = None
        self.error_where: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[T, ...]:
        """What has arrived so far."""
        return tuple(self._items)

    @property
    def length(self) -> int:
        """How many items have arrived so far."""
        return len(self._items)

    def since(self, position: int) -> list[T]:
        """What has arrived from a position on."""
        return self._items[position:]

    @property
    def places(self) -> tuple[str, ...]:
        """Where its error passed."""
        return (*self.checkpoints, *self.error_where)

    def subscribe(
        self,
        on_next: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Reads from the beginning, then as it comes; the first reader starts the source."""
        cursor = Cursor(self, self._reading_loop(), on_next, on_error, on_completed)
        cursor.begin(self._attach)  # type: ignore[arg-type]
        return cursor

    def __aiter__(self) -> AsyncItems[T]:
        return AsyncItems(self)

    def __iter__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} comes piece by piece: read it with `async for`, not `for`")

    def hold(self) -> abc.DisposableBase:
        """A counted, silent subscription: starts the source and keeps it alive until disposed or ended."""
        self._on_loop(self._retain)
        return Disposable(lambda: self._on_loop(self._release))

    def on_end(self, callback: Ended) -> None:
        """A witness: called once with this replay when it ends, before its readers hear the end.

        It neither starts the source nor keeps it alive. If it has ended, the call comes at once.
        """
        if not self.ended:
            self._witnesses.append(callback)
            if not self.ended:
                return
            # it ended at this moment, on its loop: who takes the witness out of the list calls it
            try:
                self._witnesses.remove(callback)
            except ValueError:
                return
        callback(self)

    def interrupt(self) -> None:
        """Ends it now, for all its readers, with what it has. On its loop synchronously, else soon."""
        self._on_loop(self._interrupt)

    def _reading_loop(self) -> AbstractEventLoop:
        if not self.ended and self._bound_loop().is_closed():
            self._lose()
        return current_loop() if self.ended else self._bound_loop()

    def bind(self, loop: AbstractEventLoop) -> None:
        """Chooses the loop, before anybody subscribes; by default the first subscriber's is taken."""
        self.__dict__.setdefault("_loop", loop)

    def _bound_loop(self) -> AbstractEventLoop:
        # setdefault is atomic: of two threads that subscribe at once, one chooses
        return self.__dict__.get("_loop") or self.__dict__.setdefault("_loop", current_loop())  # type: ignore[no-any-return]

    def _on_loop(self, action: Callable[[], None]) -> None:
        if self.ended:
            return
        loop = self._bound_loop()
        if is_on(loop):
            action()
        elif not hop(loop, action):
            self._lose()

    def _lose(self) -> None:
        # its loop cannot bring it to an end any more, so whoever asks for it does
        self._fail(RunCancelledError("the event loop that this stream belongs to is closed"))

    def _attach(self, cursor: Cursor[T]) -> Callable[[], None]:
        if not self.ended:
            self._readers = (*self._readers, cursor)
        cursor.pump()
        self._start()
        return lambda: self._detach(cursor)

    def _detach(self, cursor: Cursor[T]) -> None:
        self._readers = tuple(reader for reader in self._readers if reader is not cursor)
        self._cancel_if_left()

    def _retain(self) -> None:
        self._count_hold()
        self._start()

    def _count_hold(self) -> None:
        self._holds += 1  # without a start

    def _release(self) -> None:
        self._holds -= 1
        self._cancel_if_left()

    def _cancel_if_left(self) -> None:
        if not self._readers and not self._holds and self._started and not self.ended:
            self._abandon()

    def _start(self) -> None:
        if not (self._started or self.ended):
            self._started = True
            self._let_go = retain(self._bound_loop())
            # queued on the trampoline: the reader's disposable exists before the first item
            enqueued(self._run)

    def _run(self) -> None:
        if self.ended or self._source is None:
            return
        source, self._source = self._source, None
        try:
            self._subscription = listen(source, self._bound_loop(), self._accept, self._fail, self._complete)
        except Exception as error:  # no observable, or one that raises where it should fail
            self._fail(error)
            return
        if self.ended:
            let_go(self._subscription)

    def _accept(self, item: Any) -> None:
        if not self.ended:
            self._append(item)

    def _append(self, item: T) -> None:
        self._items.append(item)
        for reader in self._readers:
            reader.pump()

    def _complete(self) -> None:
        self._finish()

    def _fail(self, error: Exception) -> None:
        self._finish(error)

    def _interrupt(self) -> None:
        self._finish(interrupted=True)

    def _abandon(self) -> None:
        self._interrupt()

    def _finish(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        if not self.ended:
            together(lambda: self._end(error, interrupted))
        elif error is not None:
            dropped(error, f"an error came after the end of {self!r}")

    def _end(self, error: Exception | None, interrupted: bool) -> None:
        self.interrupted = interrupted
        self._record(error)
        try:
            self._settle()
        except Exception as raised:
            if error is None:
                self._record(raised)
            else:
                dropped(raised, f"what {self!r} came to could not be made out")
        self.ended = True  # only now, since other threads take it as leave to read what it came to
        self._source = None
        if self._subscription is not None:
            let_go(self._subscription)
        while self._witnesses:
            witness = self._witnesses.popleft()
            try:
                witness(self)
            except Exception as raised:
                dropped(raised, f"a witness of {self!r} raised")
        readers, self._readers = self._readers, ()
        for reader in readers:
            reader.pump()
        if self._let_go is not None:
            self._let_go()

    def _record(self, error: Exception | None) -> None:
        self.error = error
        self.error_where = where(error) if error is not None else ()

    def _settle(self) -> None:
        """What a subclass makes of the items when no more can come."""
