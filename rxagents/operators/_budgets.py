"""Budgets: what a conversation has spent so far, of what it may spend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from reactivex.disposable import CompositeDisposable

from ..engine.demands import demanded_by
from ..engine.inlets import listen
from ..engine.sinks import Sink
from ..errors import ConfigurationError
from ..gates.pieces import is_restart, says_something
from ..streams import MessageStream
from ..values import Completion, Usage

__all__ = ["Budget", "Meter", "Prices", "Spent", "check_budget", "price_of"]

Prices: TypeAlias = Mapping[str, tuple[float, float]] | Callable[[str | None, Usage], float]
"""What a million tokens cost, by the model's name: in and out. Or a function of the model and the usage."""

Price: TypeAlias = Callable[[str | None, Usage], float]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent; None: as much as one likes."""

    tokens: int | None = None
    cost: float | None = None
    turns: int | None = None
    seconds: float | None = None


def check_budget(tokens: int | None, cost: float | None, turns: int | None, seconds: float | None) -> Budget:
    """Refuses what is no budget."""
    given = {"tokens": tokens, "cost": cost, "turns": turns, "seconds": seconds}
    for name, value in given.items():
        kinds: tuple[type, ...] = (int,) if name in ("tokens", "turns") else (int, float)
        if value is None:
            continue
        if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise ConfigurationError(f"limit: {name} is {value!r}; it must be a number, 0 or more")
    if not any(value is not None for value in given.values()):
        raise ConfigurationError("limit: nothing is limited; give tokens=, cost=, turns= or seconds=")
    return Budget(tokens, cost, turns, seconds)


def price_of(prices: Prices | None) -> Price | None:
    """What a usage costs. A model that no price is known of costs as much as the dearest one.

    Raises:
        ConfigurationError: These are no prices.
    """
    if prices is None:
        return None
    if callable(prices) and not isinstance(prices, Mapping):
        return partial(_asked, prices)
    try:
        table = {str(model): (float(into), float(out)) for model, (into, out) in prices.items()}
    except (AttributeError, TypeError, ValueError):
        table = {}
    if not table or not all(0 <= price < math.inf for pair in table.values() for price in pair):
        raise ConfigurationError(
            "limit: prices is no table; give {model: (in, out)} per million tokens, or a function of the "
            "model and its Usage"
        )

    def price(model: str | None, usage: Usage) -> float:
        # services name the version, too: gpt-4o-mini-2024-07-18
        named = max((name for name in table if (model or "").startswith(name)), key=len, default=None)
        options = list(table.values()) if named is None else [table[named]]
        return max(
            (usage.prompt_tokens * into + usage.completion_tokens * out) / 1_000_000 for into, out in options
        )

    return price


def _asked(prices: Price, model: str | None, usage: Usage) -> float:
    wanted = f"for the model {model!r}; give a number, 0 or more, for each"
    try:
        price = float(prices(model, usage))
    except Exception as error:
        raise ConfigurationError(f"limit: prices raised {type(error).__name__} {wanted}") from error
    if not 0 <= price < math.inf:
        raise ConfigurationError(f"limit: prices gave {price} {wanted}")
    return price


@dataclass(slots=True)
class Spent:
    """What has been spent.

    Args:
        budget: What may be.
        price: What a usage costs.
    """

    budget: Budget
    price: Price | None = None
    tokens: int = 0
    cost: float = 0.0
    turns: int = 0

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters what is said."""
        return self.budget.tokens is not None or self.budget.cost is not None

    def pay(self, usage: Usage, model: str | None = None, sign: int = 1) -> None:
        """Counts a usage; or takes it back."""
        self.tokens += sign * (usage.total_tokens or usage.prompt_tokens + usage.completion_tokens)
        if self.price is not None:
            self.cost += sign * self.price(model, usage)

    @property
    def over(self) -> tuple[str, float, float] | None:
        """What is used up, what it was, and what was spent."""
        for name in ("turns", "tokens", "cost"):
            budget, spent = getattr(self.budget, name), getattr(self, name)
            if budget is not None and spent > budget:
                return name, budget, spent
        return None


_ESTIMATE = Usage(completion_tokens=1, total_tokens=1)


class Meter(CompositeDisposable):
    """Counts what one message takes: until its model says it, a token for each delta.

    Args:
        stream: The message.
        spent: Where it is counted.
        sink: On whose loop it is read.
        look: Called when something was counted.
        fail: Called when it cannot be counted.
    """

    def __init__(
        self,
        stream: MessageStream,
        spent: Spent,
        sink: Sink[Any],
        look: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        super().__init__()
        self._stream = stream
        self._spent = spent
        self._look = look
        self._fail = fail
        self._calls = 0
        self._guessed = 0
        with demanded_by(sink.demand):  # it looks on for those who read what it counts
            self.add(listen(stream, sink.loop, self._next, self._end, self._end))

    def _next(self, item: Any) -> None:
        try:
            self._count()
            if says_something(item) and not is_restart(item):
                self._spent.pay(_ESTIMATE)
                self._guessed += 1
        except ConfigurationError as error:
            self._fail(error)
        else:
            self._look()

    def _end(self, _: object = None) -> None:
        try:
            self._count()
        except ConfigurationError as error:
            self._fail(error)

    def _count(self) -> None:
        """Puts what the model calls say that they took in the place of what was guessed."""
        completions = self._stream._completions
        said = self._stream.result
        if said is not None and not completions and said.usage:  # it was said before, and is said again
            completions = [Completion(said.usage, model=said.metadata.get("model"))]
        if self._calls == len(completions):
            return
        new, self._calls = completions[self._calls :], len(completions)
        if any(completion.usage for completion in new):
            for _ in range(self._guessed):
                self._spent.pay(_ESTIMATE, sign=-1)
        self._guessed = 0
        for completion in new:
            if completion.usage:
                self._spent.pay(completion.usage, completion.model)
