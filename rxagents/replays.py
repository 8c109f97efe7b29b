"""Replay: one append-only list, a cursor for each reader, one run of the source for all of them.

Who reads and holds it, and what they want of it, is kept by Attended; on which loop it does what it is told,
by LoopBound. Here is its life: it starts, items come, it ends once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .attended import Attended, Attending
from .bound_loops import LoopBound
from .cursors import Cursor
from .end_callbacks import EndCallbacks
from .engine.async_items import AsyncItems
from .engine.bridges import Fed
from .engine.demands import BUFFER, Demand, current_demand, demanded_by
from .engine.emitters import Begun
from .engine.feeds import Feed
from .engine.inlets import listen
from .engine.late_locks import LateLocked
from .engine.loops import dropped, let_go, retain
from .engine.trampolines import enqueued
from .engine.work import together
from .places import where

__all__ = ["Replay"]

T = TypeVar("T")
Ended = Callable[[Any], object]


class Replay(Attended, LoopBound, LateLocked[T]):
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
        self._items: list[Any] = []
        self._witnesses = EndCallbacks()
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
        return tuple(self._shown(self._items))

    @property
    def length(self) -> int:
        """How many items have arrived so far."""
        return len(self._items)

    def since(self, position: int) -> Sequence[T]:
        """What has arrived from a position on."""
        return self._shown(self._items[position:])

    def _shown(self, items: list[Any]) -> Sequence[T]:
        return items

    def _shown_one(self, item: Any) -> T:
        return cast(T, item)

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
        cursor.begin(self._attach)
        return cursor

    def __aiter__(self) -> AsyncItems[T]:
        return AsyncItems(self)

    def pull(self, *, buffer: int = BUFFER) -> AsyncItems[T]:
        """As `async for` over it, which pulls: the source stops when the reader is so many items behind."""
        return AsyncItems(self, buffer=buffer)

    def __iter__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} comes piece by piece: read it with `async for`, not `for`")

    def hold(self) -> abc.DisposableBase:
        """A counted, silent subscription: starts the source and keeps it alive until disposed or ended."""
        demand = current_demand()
        self._on_loop(self._retain, demand)
        return Disposable(lambda: self._on_loop(self._release, demand))

    def on_end(self, callback: Ended, *, subscribes: bool = True) -> None:
        """A witness: called once with this replay when it ends, before its readers hear the end.

        It neither starts the source nor keeps it alive. If it has ended, the call comes at once.

        Args:
            callback: What to call.
            subscribes: Whether it may subscribe to anything: then it is called in the demand of now.
        """
        if not self._witnesses.takes(callback, self, subscribes):
            callback(self)

    def interrupt(self) -> None:
        """Ends it now, for all its readers, with what it has. On its loop synchronously, else soon."""
        self._on_loop(self._interrupt)

    def _attach(self, cursor: Cursor[T]) -> abc.DisposableBase:
        if not self.ended:
            self._add_reader(cursor)
        cursor.pump()
        self._start()
        return Attending(self, cursor)

    def _detach(self, cursor: Cursor[T]) -> None:
        if not self.ended:  # else all are gone
            self._drop_reader(cursor)
            self._cancel_if_left()

    def _retain(self, demand: Demand | None) -> None:
        self._count_hold(demand)
        self._start()

    def _release(self, demand: Demand | None) -> None:
        self._drop_hold(demand)
        self._cancel_if_left()

    def _cancel_if_left(self) -> None:
        if self._left and self._started and not self.ended:
            self._abandon()

    def _start(self) -> None:
        if not (self._started or self.ended):
            self._started = True
            self._started_for = current_demand()
            self._let_go = retain(self._bound_loop())
            if type(self._source) in (Fed, Begun):
                self._run()  # which tells nobody more than what has begun
            else:
                enqueued(self._run)  # the reader's disposable exists before the first item

    def _run(self) -> None:
        if self.ended or self._source is None:
            return
        source, self._source = self._source, None
        told = self._accept, self._fail, self._complete
        try:
            with demanded_by(self._demand):
                if type(source) is Fed:
                    self._subscription = Feed(source.coroutine, self._bound_loop(), self)
                elif type(source) is Begun:
                    self._subscription = source.here(self._bound_loop(), *told)
                else:
                    self._subscription = listen(source, self._bound_loop(), *told, on_many=self._accept_many)
        except Exception as error:  # no observable, or one that raises where it should fail
            self._fail(error)
            return
        if self.ended:
            subscription, self._subscription = self._subscription, None
            let_go(subscription)

    def _accept(self, item: Any) -> None:
        if not self.ended:
            self._append(item)

    _accept_many: Callable[[Sequence[T]], None] | None = None

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
            together(self._end, error, interrupted)
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
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            let_go(subscription)
        self._witnesses.call(self)
        readers = self._readers
        self._attendance_over()
        for reader in readers:
            reader.pump()
        if self._let_go is not None:
            self._let_go()

    def _record(self, error: Exception | None) -> None:
        self.error = error
        self.error_where = where(error) if error is not None else ()

    def _settle(self) -> None:
        """What a subclass makes of the items when no more can come."""
