"""limit: a budget of tokens, cost, turns or seconds, and a clear stop when it is used up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import reactivex as rx
from reactivex import Observable
from reactivex.disposable import Disposable

from ..blocks import Block
from ..engine.demands import demanded_by
from ..engine.emitters import Emitter
from ..engine.sinks import Sink
from ..engine.work import afterwards
from ..errors import ConfigurationError
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item
from ..walks import Walk, is_input
from ._budgets import Budget, Meter, Prices, Spent, check_budget, price_of
from ._until import Cut

__all__ = ["limit"]

Reach = Literal["turn", "team", "run"]


def limit(
    *,
    tokens: int | None = None,
    cost: float | None = None,
    turns: int | None = None,
    seconds: float | None = None,
    prices: Prices | None = None,
    scope: Reach = "team",
) -> Callable[[Observable[Item]], Observable[Item]]:
    """Ends a conversation cleanly when it has passed its budget, in mid-message if need be.

    What is open is interrupted as by `until`. Two StateUpdates say why: a shown one of the kind `limit`,
    with `which`, `budget` and `spent`, which is in the log too, and the `result`, which is `limit`. Then
    it completes. Each subscription has a budget of its own. What is ended by the very call that passes
    the budget ends as it would have.

    Tokens are those of all model calls, also of blocks that stand aside and of what StateUpdates bring.
    While a model speaks each delta counts as one, until the model says what the call took; so a reply
    without an end is cut in its midst. A turn is a block in which somebody speaks: one more than the
    budget is cut before its model is asked.

    ```
    m     --Well-let-me-see-|
    cut   --Well-(let|)
    ```

    Args:
        tokens: How many tokens all model calls may take, prompts and answers.
        cost: What they may cost, in the currency of the prices.
        turns: How many turns there may be.
        seconds: How long it may take, on the clock of the event loop; also while a slow reader holds it up.
        prices: For `cost`: `{model: (in, out)}`, what a million tokens cost, where a name stands for all
            that begin with it and an unknown model is as dear as the dearest; or a function of the
            model's name, which may be None, and the Usage; where it gives no number, the run fails.
        scope: What ends besides: `"turn"`: nothing; `"team"`: the nearest team around, as by any stop;
            `"run"`: the whole run.

    Raises:
        ConfigurationError: An argument is of no use, or nothing is limited.
    """
    budget = check_budget(tokens, cost, turns, seconds)
    price = price_of(prices)
    if (cost is None) != (price is None):
        raise ConfigurationError(
            "limit: cost= and prices= go together; give prices={model: (in, out)}, per million tokens"
        )
    if scope not in ("turn", "team", "run"):
        raise ConfigurationError(f"limit: scope is {scope!r}; give 'turn', 'team' or 'run'")

    def operator(source: Observable[Item]) -> Observable[Item]:
        return Emitter(lambda sink: _Limited(sink, source, budget, Spent(budget, price), scope))

    return operator


class _Limited(Cut):
    """The cut; it is also the visitor of a walk through each block that passes."""

    def __init__(
        self, sink: Sink[Item], source: Observable[Item], budget: Budget, spent: Spent, scope: Reach
    ) -> None:
        self._spent = spent
        self._scope: Reach = scope
        self._seen: set[str] = set()
        self._passed: tuple[str, float, float] | None = None
        super().__init__(sink, source, rx.never())
        if budget.seconds is not None and not sink.stopped:
            timer = sink.loop.call_later(budget.seconds, self._time_is_up, budget.seconds)
            self.add(Disposable(timer.cancel))

    def _pass(self, item: Item) -> None:
        if self._is_cut:
            return
        super()._pass(item)
        if not self._is_cut:
            with demanded_by(self._sink.demand):
                self._meet(item)

    def _meet(self, item: Item) -> None:
        if isinstance(item, MessageStream):
            self.message(item, None)
        elif isinstance(item, StateUpdate):
            self.state(item, None)
        elif isinstance(item, Block) and item.id not in self._seen:
            self._seen.add(item.id)
            self.add(Walk(item, self._sink, self, _Turn()))

    def enter(self, block: Block, frame: _Turn | None) -> _Turn | None:
        if block.id in self._seen:
            return None
        self._seen.add(block.id)
        return _Turn()

    def leave(self, frame: _Turn | None, error: Exception | None) -> None:
        pass

    def message(self, stream: MessageStream, frame: _Turn | None) -> None:
        if is_input(stream) or stream.id in self._seen or self._is_cut:
            return
        self._seen.add(stream.id)
        if frame is None or not frame.begun:
            self._spent.turns += 1
        if frame is not None:
            frame.begun = True
        self._look()
        if self._spent.counts_tokens and not self._is_cut:
            self.add(Meter(stream, self._spent, self._sink, self._look, self._fail))
            # its block ends first, and what ends with it
            stream.on_end(lambda _: afterwards(self._look))

    def state(self, update: StateUpdate, frame: _Turn | None) -> None:
        if update.usage and update.id not in self._seen:
            self._seen.add(update.id)
            self._spent.pay(update.usage)
            self._look()

    def _look(self) -> None:
        if not (self._is_cut or self._sink.stopped):
            self._passed = self._spent.over
            if self._passed is not None:
                self._cut()

    def _fail(self, error: Exception) -> None:
        if not (self._is_cut or self._sink.stopped):
            self._cut(error)

    def _time_is_up(self, seconds: float) -> None:
        if not (self._is_cut or self._sink.stopped):
            self._passed = "seconds", seconds, seconds
            self._cut()

    def _cut(self, error: Exception | None = None) -> None:
        self._is_cut = True
        for item in list(self._open):
            item.interrupt()
        # soon: whoever comes to what was cut only now hears of its end before
        self._sink.loop.call_soon(super()._cut, error)

    def _words(self) -> Iterable[StateUpdate]:
        assert self._passed is not None
        which, budget, spent = self._passed
        told = {"which": which, "budget": budget, "spent": getattr(self._spent, which, spent)}
        log = (("warning", "limit", which, budget, told["spent"]),)
        yield StateUpdate("limit", told, log=log, shown=True)
        if self._scope == "turn":
            yield StateUpdate("result", {"result": "limit"})
        else:
            yield StateUpdate("result", {"result": "limit"}, stop=f"limit: {which}", scope=self._scope)


class _Turn:
    """A block, and whether somebody has spoken in it."""

    begun = False
