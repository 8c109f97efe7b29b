"""Who is told: observers that are guarded, and bound to one loop.

`Sink` is the observer that our observables (`emitters`) emit to: it guards the grammar of Rx, hands to a
subscriber what that subscriber raised, and can be disposed from any thread. `listen` (`inlets`) is how an
operator hears a source: items that come on another thread hop onto the loop, once.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from reactivex import abc

from ..errors import LateItemError, RunCancelledError
from .loops import dropped, is_shared
from .subscriptions import Subscription

__all__ = ["Sink", "Start"]

T = TypeVar("T")
Start = Callable[["Sink[T]"], "abc.DisposableBase | Callable[[], None] | None"]


class Sink(Subscription, abc.ObserverBase[T], Generic[T]):
    """One subscription: the observer on one side, what to let go of on the other.

    It passes on `on_next* (on_error | on_completed)?`, one at a time, and nothing after dispose: what
    comes while the observer is being told, as by an act of its own, it is told next. What the observer
    raises ends this subscription only, and comes back to the observer as its `on_error`.

    Attributes:
        passive: Whether who subscribed acts on nothing that he is told: he may as well be told many items
            at once.
    """

    __slots__ = (
        "_late",
        "_observer",
        "_on_completed",
        "_on_error",
        "_on_many",
        "_on_next",
        "_over",
        "_telling",
        "passive",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        on_next: Any = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(loop)
        if _is_subject(on_next.__class__):
            # who reads that, such as behind `share()`, is not known: it must not wait for the first of them
            self.demand = None
        self._observer: abc.ObserverBase[T] | None = None
        self._on_many: Callable[[Sequence[T]], None] | None = None
        self.passive = False
        if callable(getattr(on_next, "on_next", None)):
            # its other two methods are bound at the end: of thousands that are idle they would take room
            self._observer = on_next
            if hasattr(on_next.__class__, "on_many"):  # one of ours: a mock has every attribute
                self._on_many, self.passive = on_next.on_many, on_next.passive
            on_next, on_error, on_completed = on_next.on_next, None, None
        self._on_next: Callable[[T], None] = on_next or _ignore
        self._on_error = on_error
        self._on_completed = on_completed
        self._telling = False
        self._over = False
        self._late: deque[Callable[[], None]] | None = None

    def on_next(self, value: T) -> None:
        if self.stopped:
            if self._over:
                error = LateItemError(f"after its end a stream emitted {value!r:.100}")
                dropped(error, "an item came after the end of its stream")
            # else disposed, by another thread, maybe, whose word for it waits on the loop behind the source
            self._tear_down()
            return
        if self._telling:
            self._put_off(lambda: self._next(value))
            return
        self._telling = True
        try:
            self._next(value)
            while self._late:
                self._late.popleft()()
        finally:
            self._telling = False

    def on_many(self, values: Sequence[T]) -> None:
        """As `on_next` with each of them, which is what it comes to where the observer takes but one."""
        if self._on_many is None or self._telling or self.stopped:
            for value in values:
                self.on_next(value)
            return
        self._telling = True
        try:
            try:
                self._on_many(values)
            except Exception as error:
                self.reject(error)
            except SystemExit as leaving:
                self.exit(leaving)
            while self._late:
                self._late.popleft()()
        finally:
            self._telling = False

    def _next(self, value: T) -> None:
        if self.stopped:
            return
        try:
            self._on_next(value)
        except Exception as error:
            self.reject(error)
        except SystemExit as leaving:
            self.exit(leaving)

    def _put_off(self, telling: Callable[[], None]) -> None:
        if self._late is None:
            self._late = deque()
        self._late.append(telling)

    def exit(self, leaving: SystemExit) -> None:
        """Detaches an observer that called `sys.exit()`: on a loop that it shares, only for itself."""
        if not is_shared(self.loop):
            raise leaving
        error = RunCancelledError("the subscriber called sys.exit() on the background loop")
        error.__cause__ = leaving
        dropped(error, "a subscriber called sys.exit() on the background loop; its subscription has ended")
        self.reject(error)

    def reject(self, error: Exception) -> None:
        """Detaches the observer, and tells it what it raised itself."""
        if self.stopped:
            dropped(error, "a subscriber raised after its subscription had ended")
            return
        self.stopped = True
        on_error = self._hears_errors()
        self._tear_down()
        self._tell(error, on_error)

    def on_error(self, error: Exception) -> None:
        if self._telling and not self.stopped:
            self._put_off(lambda: self._error(error))
        else:
            self._error(error)

    def _error(self, error: Exception) -> None:
        if self.stopped:
            dropped(error, "an error came after the end of the subscription")
            return
        self.stopped = self._over = True
        self._tell(error, self._hears_errors())
        self._tear_down()

    def on_error_first(self, error: Exception) -> None:
        """The error, unless the end was told already: for one that comes by more than one way."""
        if not self.stopped:
            self.on_error(error)

    def _hears_errors(self) -> Callable[[Exception], None] | None:
        return self._on_error if self._observer is None else self._observer.on_error

    def _tell(self, error: Exception, on_error: Callable[[Exception], None] | None) -> None:
        if on_error is None:
            dropped(error, "a stream failed and its subscriber has no on_error")
            return
        try:
            on_error(error)
        except Exception as raised:
            dropped(raised, "a subscriber's on_error raised")

    def on_completed(self) -> None:
        if self._telling and not self.stopped:
            self._put_off(self._completed)
        else:
            self._completed()

    def _completed(self) -> None:
        if self.stopped:
            return
        self.stopped = self._over = True
        on_completed = self._on_completed if self._observer is None else self._observer.on_completed
        if on_completed is not None:
            try:
                on_completed()
            except Exception as error:
                dropped(error, "a subscriber's on_completed raised")
        self._tear_down()

    def _tear_down(self) -> None:
        super()._tear_down()
        # the observer may refer to this one, to leave by: what has ended would be garbage to be searched for
        self._observer = self._on_many = self._on_error = self._on_completed = None
        self._on_next = _ignore


@lru_cache(maxsize=64)
def _is_subject(kind: Any) -> bool:
    # remembered: to ask an abstract class takes as long as all the rest of a subscription's beginning
    return issubclass(kind, abc.SubjectBase)


def _ignore(_: object) -> None:
    pass
