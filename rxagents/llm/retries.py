"""retry: a model that is asked again where it fails for a reason that may pass."""

from __future__ import annotations

import logging
import random
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc

from ..checks import check_number, check_seconds
from ..errors import (
    ConfigurationError,
    ModelConnectionError,
    ModelStatusError,
    ModelStreamError,
    ModelTimeoutError,
)
from .attempts import Attempt, On, begun_anew, matcher, with_others
from .compositions import Asking, WrappedLLM, answered
from .requests import LLM, ChatRequest

__all__ = ["may_pass", "retry"]

_log = logging.getLogger("rxagents.llm")

_PASSING = (408, 409, 429)


def may_pass(error: Exception) -> bool:
    """Whether asking again may help: a lost connection, a timeout, an error in the stream, a busy service."""
    if isinstance(error, ModelStatusError):
        return error.status in _PASSING or error.status >= 500
    return isinstance(error, ModelConnectionError | ModelTimeoutError | ModelStreamError)


def retry(
    llm: LLM,
    times: int = 2,
    *,
    on: On | None = None,
    delay: float | Callable[[int, Exception], float] = 0.5,
    max_delay: float = 30.0,
    jitter: Callable[[], float] | None = random.random,
    restart: bool = False,
) -> WrappedLLM:
    """A model that is asked again where it fails for a reason that may pass.

    After the first token a failure is the answer's failure, since what was said may be shown already;
    with `restart=True` the model is asked again then too, and a delta with the key `restart` comes first,
    at once, which says that what came before is void. When it has failed for good, that is the last error,
    with a note of those before. What a failed attempt took is counted, if the model says so.

    ```
    first    --#
    second   ---Hi|
    out      ------Hi|
    ```

    (With `delay=1, jitter=None`.) The waits double: `delay`, twice that, and so on up to `max_delay`; jitter
    takes up to half off. Where the service said when to ask again (`Retry-After`), that long is waited; if
    it is longer than `max_delay`, the model is not asked again.

    An OpenAILLM's client asks again by itself before an answer begins; `max_retries=0` leaves that to this.

    Args:
        llm: The model.
        times: How often it is asked again.
        on: The errors that count: a type, a tuple of types, or a predicate. By default a lost connection,
            a timeout, an error in the stream, and the statuses 408, 409, 429 and 5xx.
        delay: Seconds before it is asked again for the first time; or a function of the number of the
            failure, from 1, and the error, that gives the seconds each time.
        max_delay: Seconds that are waited at the most.
        jitter: Gives a number from 0 to 1; for the same waits each time a seeded one, such as
            `random.Random(1).random`, or None.
        restart: Also after the first token.

    Raises:
        ConfigurationError: It is no model, or an argument is of no use.
    """
    return _RetriedLLM(llm, times, on, delay, max_delay, jitter, restart)


class _RetriedLLM(WrappedLLM):
    def __init__(
        self,
        llm: LLM,
        times: int,
        on: On | None,
        delay: float | Callable[[int, Exception], float],
        max_delay: float,
        jitter: Callable[[], float] | None,
        restart: bool,
    ) -> None:
        super().__init__("retry", llm, times=times, on=on, restart=restart or None)
        self.times = check_number("retry", "times", times, 0)
        self.meant = matcher("retry", may_pass if on is None else on)
        self.restart = restart
        self._delay = delay if callable(delay) else check_seconds("retry", "delay", delay, zero=True)
        self._max_delay = check_seconds("retry", "max_delay", max_delay, zero=True)
        if jitter is not None and not callable(jitter):
            raise ConfigurationError(
                f"retry: jitter is a function that gives a number from 0 to 1, or None, not {jitter!r}"
            )
        self._jitter = jitter

    def wait(self, failures: int, error: Exception) -> float | None:
        """Seconds before the model is asked again; None: it is not."""
        if callable(self._delay):
            return check_seconds("retry", "what delay gave", self._delay(failures, error), zero=True)
        told = getattr(error, "retry_after", None)
        if told is not None:
            return told if told <= self._max_delay else None
        seconds = min(self._delay * 2.0 ** min(failures - 1, 60), self._max_delay)
        if self._jitter is None:
            return seconds
        part = self._jitter()
        if not isinstance(part, int | float) or not 0 <= part <= 1:
            raise ConfigurationError(f"retry: what jitter gave is {part!r}; it must be a number from 0 to 1")
        return seconds * (1 - part / 2)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return answered(request, lambda asking: _Retrying(self, asking))


class _Retrying(abc.DisposableBase):
    """One answer."""

    def __init__(self, made_of: _RetriedLLM, asking: Asking) -> None:
        self._made_of = made_of
        self._asking = asking
        self._failures: list[tuple[str, Exception]] = []
        self._timer: TimerHandle | None = None
        self._ask()

    def _ask(self) -> None:
        self._attempt = Attempt(self._made_of.llm, self._asking, self._failed)
        self._attempt.begin()

    def _failed(self, error: Exception, said: bool) -> None:
        made_of, sink = self._made_of, self._asking.sink
        before = [*self._failures]
        self._failures.append((f"attempt {len(before) + 1}", error))
        wait: float | None = None
        if len(before) < made_of.times and (made_of.restart or not said) and made_of.meant(error):
            wait = made_of.wait(len(self._failures), error)
        if wait is None:
            sink.on_error(with_others(made_of, error, before))
            return
        _log.debug("retry: %r failed with %s, and is asked again", made_of.llm, type(error).__name__)
        if said:
            sink.on_next(begun_anew(error))
        if not sink.stopped:
            # by a timer even without a wait: a thousand attempts that fail at once must not nest
            self._timer = sink.loop.call_later(wait, self._ask)

    def dispose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._attempt.dispose()
