"""Keeper: holds the items of one message back, in their order, until their text has passed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from ..engine.demands import demanded_by
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..state_updates import StateUpdate
from ..values import Completion, delta
from .checking import Checking, Verdict
from .pieces import calls_tools, cut, done, ends_a_window, is_restart, says_something, text_of
from .rules import FILTERED, Gated, Rule, failure, stopping, tripped

__all__ = ["Keeper"]


class Keeper(abc.DisposableBase):
    """Between the source of one message and whoever reads it.

    Args:
        sink: Takes what has passed. Completed with all of it, or with what comes in its place.
        source: The items of the message.
        rule: What is checked, and what becomes of what does not pass.
        agent: Who says it.
        tell: Takes what is to be said beside the message.
        again: Gives the source of the message said anew, or None if it cannot be.
        voids_calls: Whether tool calls of a message that is cut must not be run.
    """

    def __init__(
        self,
        sink: Sink[Any],
        source: Observable[Any],
        rule: Rule,
        agent: str | None,
        tell: Callable[[StateUpdate], None],
        again: Callable[[], Observable[Any] | None],
        *,
        voids_calls: bool = False,
    ) -> None:
        self._sink = sink
        self._rule = rule
        self._agent = agent
        self._tell = tell
        self._again = again
        self._voids_calls = voids_calls
        self._left = rule.retries if rule.on_fail == "retry" else 0
        self._said = Completion()
        self._busy = self._over = False
        self._slot = SingleAssignmentDisposable()
        self._checking: Checking | None = None
        self._begin_anew()
        self._hear(source)

    def dispose(self) -> None:
        self._over = True
        self._slot.dispose()
        if self._checking is not None:
            self._checking.dispose()

    def _begin_anew(self) -> None:
        """Forgets what was said: it is void."""
        self._windows = self._rule.windows()
        self._held: deque[Any] = deque()
        self._ends: deque[int] = deque()
        self._length = self._at = 0  # of the text that came, and that passed
        self._passed = ""
        self._shown = self._calling = False
        self._ending: Callable[[], None] | None = None
        if self._checking is not None:
            self._checking.dispose()
            self._checking = None

    def _hear(self, source: Observable[Any]) -> None:
        self._slot.dispose()
        # it may all come, and not pass, before `listen` returns
        slot = self._slot = SingleAssignmentDisposable()

        def of_this(step: Callable[..., None]) -> Callable[..., None]:
            return lambda *args: None if self._over or slot is not self._slot else step(*args)

        with demanded_by(self._sink.demand):
            slot.disposable = listen(
                source, self._sink.loop, of_this(self._next), of_this(self._failed), of_this(self._completed)
            )

    def _next(self, item: Any) -> None:
        if isinstance(item, str):
            item = delta(item)
        if is_restart(item):
            self._restart(item)
        else:
            self._held.append(item)
            text = text_of(item)
            if text:
                self._length += len(text)
                self._ends.extend(self._windows.feed(text))
            if not self._rule.hold:
                self._show(item)
            if ends_a_window(item) and not self._rule.whole:
                self._close()
        self._go_on()

    def _restart(self, item: Any) -> None:
        stays, was_shown = done(self._held), self._shown
        self._begin_anew()
        if self._rule.hold:
            self._held.extend([*stays, item] if was_shown else stays)
        else:
            self._show(item)

    def _failed(self, error: Exception) -> None:
        self._end(partial(self._sink.on_error, error))

    def _completed(self) -> None:
        self._end(self._sink.on_completed)

    def _end(self, ending: Callable[[], None]) -> None:
        self._ending = ending
        self._close()
        self._go_on()

    def _close(self) -> None:
        if self._length > (self._ends[-1] if self._ends else self._at):
            self._ends.append(self._length)
        self._windows.close()

    def _go_on(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            while self._checking is None and not (self._over or self._sink.stopped):
                self._release(self._at)
                if self._ends:
                    self._check(self._ends.popleft())
                elif self._ending is not None:
                    self._over = True
                    self._ending()
                else:
                    return
        finally:
            self._busy = False

    def _check(self, end: int) -> None:
        window = self._waiting(end - self._at)
        if not window.strip():
            self._pass(window, end)
            return
        last = self._ending is not None and not self._ends
        text = Gated(window, self._passed, last=last, agent=self._agent)
        judged = partial(self._judged, window, end)
        self._checking = Checking(self._rule.check, self._sink.loop, judged, self._tell)
        self._checking.begin(text)

    def _waiting(self, length: int) -> str:
        text = ""
        for item in self._held:
            text += text_of(item)
            if len(text) >= length:
                break
        return text[:length]

    def _judged(self, window: str, end: int, verdict: Verdict) -> None:
        self._checking = None
        if verdict.passed:
            self._pass(window, end)
        else:
            self._trip(verdict)
        self._go_on()

    def _pass(self, window: str, end: int) -> None:
        self._release(end)
        self._passed += window

    def _release(self, end: int) -> None:
        """Lets go of what is held, up to a place in the text, and of what has no text behind it."""
        while self._held and not self._sink.stopped:
            length = len(text_of(self._held[0]))
            if self._at + length <= end:
                item = self._held.popleft()
            elif self._at < end:
                length = end - self._at
                item, self._held[0] = cut(self._held[0], length)
            else:
                return
            self._at += length
            if self._rule.hold:
                self._show(item)

    def _show(self, item: Any) -> None:
        if isinstance(item, Completion):
            self._said = item
        elif is_restart(item):
            self._shown = False
        elif says_something(item):
            self._shown = True
            self._calling = self._calling or calls_tools(item)
        self._sink.on_next(item)

    def _trip(self, verdict: Verdict) -> None:
        rule = self._rule
        for item in list(self._held):
            if isinstance(item, Completion) and rule.hold:
                self._show(item)  # it was paid for
        retried = self._again() if self._left else None
        action = "retry" if retried is not None else "cut" if rule.on_fail == "retry" else rule.on_fail
        self._tell(tripped(rule.name, self._agent, verdict.reason, action))
        if rule.stops:
            self._tell(stopping(rule.name))
        if self._over or self._sink.stopped:
            return
        if retried is not None:
            self._left -= 1
            self._void(verdict.reason)
            self._begin_anew()
            self._hear(retried)
            return
        self.dispose()
        if action == "fail":
            self._sink.on_error(failure(rule.name, self._agent, verdict.reason, verdict.error))
            return
        if action == "replace":
            self._void(verdict.reason)
            self._sink.on_next(delta(rule.replacement))
        elif not rule.hold or (self._voids_calls and self._calling):
            self._void(verdict.reason)
            if self._passed:
                self._sink.on_next(delta(self._passed))
        said = self._said
        self._sink.on_next(Completion(finish_reason=FILTERED, model=said.model, request_id=said.request_id))
        self._sink.on_completed()

    def _void(self, reason: str) -> None:
        if self._shown:
            self._shown = False
            self._sink.on_next(delta(restart=reason))
