"""timeouts: how long a model may take to begin, to go on, and in all."""

from __future__ import annotations

from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from ..checks import check_seconds
from ..engine.demanded_time import DemandedTime
from ..errors import ConfigurationError, ModelTimeoutError
from .attempts import says
from .compositions import Asking, Inquiry, WrappedLLM, answered
from .requests import LLM, ChatRequest

__all__ = ["timeouts"]


def timeouts(
    llm: LLM,
    *,
    first_token: float | None = None,
    between_tokens: float | None = None,
    total: float | None = None,
) -> WrappedLLM:
    """A model that fails with a ModelTimeoutError when it is too slow; what had come stays.

    A token is a delta that says something, be it a thought or a piece of a call; a service's opening
    delta, or one that only keeps the connection alive, is none. The model is cancelled on the wire before
    the error is told, which names the limit. After a `restart` the first token is waited for again.

    ```
    llm   -Hi-----there|
    out   -Hi-#
    ```

    (With `between_tokens=3`.) While a reader pauses and the model is not read any further, the clocks stand
    still. Around `rate_limited` the time in which a request waits counts; inside of it, it does not.

    Args:
        llm: The model.
        first_token: Seconds until its first token.
        between_tokens: Seconds from a token to the next, or to the end.
        total: Seconds until its end.

    Raises:
        ConfigurationError: It is no model, or a limit is no number of seconds above 0, or there is none.
    """
    return _TimedLLM(llm, first_token, between_tokens, total)


class _TimedLLM(WrappedLLM):
    def __init__(
        self, llm: LLM, first_token: float | None, between_tokens: float | None, total: float | None
    ) -> None:
        limits = {"first_token": first_token, "between_tokens": between_tokens, "total": total}
        super().__init__("timeouts", llm, **limits)
        self.limits = {
            name: check_seconds("timeouts", name, limit)
            for name, limit in limits.items()
            if limit is not None
        }
        if not self.limits:
            raise ConfigurationError("timeouts: give `first_token`, `between_tokens` or `total`, in seconds")

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return answered(request, self._begin)

    def _begin(self, asking: Asking) -> abc.DisposableBase:
        timed = _Timed(self, asking)
        timed.begin()
        return CompositeDisposable(timed, timed.clock)


class _Timed(Inquiry):
    """One answer, against the clock."""

    def __init__(self, made_of: _TimedLLM, asking: Asking) -> None:
        super().__init__(made_of.llm, asking)
        self._limits = made_of.limits
        self.clock = DemandedTime(asking.sink.loop)
        self._begun = self._latest = self.clock.time()
        self._speaking = False
        self._set()

    def next(self, item: Any) -> None:
        if self._speaking and item.__class__ is dict and item.get("content"):  # what nearly every one is
            self._latest = self.clock.time()
        elif says(item):
            self._latest = self.clock.time()
            speaking = not (isinstance(item, dict) and item.get("restart") is not None)
            if speaking is not self._speaking:
                self._speaking = speaking
                self._set()
        self.sink.on_next(item)

    def _set(self) -> None:
        """Sets the alarm. A token does not: it only makes the next one later, so the alarm looks again."""
        due = self._due()
        if due is None:
            self.clock.silence()
        else:
            self.clock.alarm(due[0], self._look)

    def _due(self) -> tuple[float, str] | None:
        waited = "between_tokens" if self._speaking else "first_token"
        times = {waited: self._latest, "total": self._begun}
        return min(
            ((times[name] + limit, name) for name, limit in self._limits.items() if name in times),
            default=None,
        )

    def _look(self) -> None:
        due = self._due()
        if due is None or not self.clock.is_due(due[0]):
            self._set()
            return
        self.dispose()
        self.clock.dispose()
        self.sink.on_error(ModelTimeoutError(self._words(due[1])))

    def _words(self, name: str) -> str:
        within = f"{self._limits[name]:g} s; ask again, or raise `{name}` of its timeouts"
        if name == "total":
            return f"{self.llm!r} had not answered to the end within {within}"
        if name == "first_token":
            return f"{self.llm!r} said nothing within {within}"
        return f"{self.llm!r} fell silent in the midst of its answer for {within}"
