"""rate_limited: no more requests, or tokens, than a service allows, for all who share the model."""

from __future__ import annotations

from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..checks import check_number
from ..errors import ConfigurationError
from ..values import Completion
from .budgets import Budget, Place
from .compositions import Asking, Inquiry, WrappedLLM, answered
from .requests import LLM, ChatRequest

__all__ = ["rate_limited"]


def rate_limited(
    llm: LLM,
    *,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    concurrent: int | None = None,
) -> WrappedLLM:
    """A model that is asked no more often than a service allows; requests wait in the order of their arrival.

    Whoever is given this very model shares its limits: agents, teams, workflows, on whatever event loop
    or thread. A minute is the last sixty seconds at any moment. Tokens are those that answers say they took
    (`Completion.usage`), so what is under way is not known yet: a request waits while the tokens of the
    last minute are used up. A place is given back at the end, at an error and on dispose; who leaves the
    line has taken nothing. An answer that stands still because its reader sleeps keeps its place.

    ```
    first    --Hi--|
    second   -Yes|
    out      --Hi--|
    later    -------Yes|
    ```

    (With `concurrent=1`, and both are asked at 0.)

    Args:
        llm: The model.
        requests_per_minute: How many may begin in a minute.
        tokens_per_minute: How many may have been taken in the last minute when one begins.
        concurrent: How many may be under way.

    Raises:
        ConfigurationError: It is no model, or a limit is no number above 0, or there is none.
    """
    return _LimitedLLM(llm, requests_per_minute, tokens_per_minute, concurrent)


class _LimitedLLM(WrappedLLM):
    def __init__(self, llm: LLM, requests: int | None, tokens: int | None, concurrent: int | None) -> None:
        limits = {
            "requests_per_minute": requests,
            "tokens_per_minute": tokens,
            "concurrent": concurrent,
        }
        super().__init__("rate_limited", llm, **limits)
        for name, limit in limits.items():
            if limit is not None:
                check_number("rate_limited", name, limit, 1)
        if not self._shown:
            raise ConfigurationError(f"rate_limited: give one of {', '.join(limits)}")
        self._budget = Budget(requests, tokens, concurrent)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return answered(request, self._begin)

    def _begin(self, asking: Asking) -> abc.DisposableBase:
        limited = _Limited(self.llm, asking, self._budget)
        self._budget.enter(limited.place)
        return CompositeDisposable(limited, Disposable(limited.leave))


class _Limited(Inquiry):
    """One answer, which waits for its place first."""

    def __init__(self, llm: LLM, asking: Asking, budget: Budget) -> None:
        super().__init__(llm, asking)
        self._budget = budget
        self.place = Place(asking.sink.loop, self.begin)

    def next(self, item: Any) -> None:
        if isinstance(item, Completion) and item.usage:
            self._budget.spend(self.sink.loop, item.usage.total_tokens)
        self.sink.on_next(item)

    def leave(self) -> None:
        """Gives the place back; a second time does nothing."""
        self._budget.leave(self.place)
