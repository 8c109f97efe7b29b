"""hedge: where a model is slow to begin, another one is asked as well, and the first to speak wins."""

from __future__ import annotations

from collections import deque
from typing import Any

from reactivex import Observable, abc

from ..checks import check_seconds
from ..engine.demanded_time import DemandedTime
from ..values import Completion
from .attempts import matcher, says, with_others
from .compositions import Asking, ComposedLLM, Inquiry, answered
from .requests import LLM, ChatRequest

__all__ = ["hedge"]


def hedge(*llms: LLM, after: float) -> ComposedLLM:
    """A model that asks a further one when those it has asked say nothing in time; the first to speak wins.

    The others are cancelled on the wire before the first token is told. Where one fails before it has said
    anything, the next is asked at once; when all have failed, it fails with the last error, which has a
    note of the others. What a cancelled model took it does not say, so it is not counted.

    ```
    a     --------Late|
    b     --Hi-|
    out   -----Hi-|
    ```

    (With `after=3`.) While a reader pauses, the time until the next is asked stands still.

    Args:
        llms: The models, the one to ask first in front.
        after: Seconds without a token after which the next is asked; 0 asks all at once.

    Raises:
        ConfigurationError: There is no model, or an argument is of no use.
    """
    return _HedgedLLM(llms, after)


class _HedgedLLM(ComposedLLM):
    def __init__(self, llms: tuple[LLM, ...], after: float) -> None:
        super().__init__("hedge", llms, after=after)
        self.after = check_seconds("hedge", "after", after, zero=True)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return answered(request, lambda asking: _Race(self, asking))


class _Race(abc.DisposableBase):
    """One answer, for which models race until one of them speaks."""

    def __init__(self, made_of: _HedgedLLM, asking: Asking) -> None:
        self._made_of = made_of
        self._asking = asking
        self._waiting = deque(made_of.llms)
        self._racing: list[_Runner] = []
        self._failures: list[tuple[str, Exception]] = []
        self._time = DemandedTime(asking.sink.loop)
        self._send_next()

    def _send_next(self) -> None:
        runner = _Runner(self._waiting.popleft(), self._asking, self)
        self._racing.append(runner)
        if self._waiting:
            self._time.alarm(self._time.time() + self._made_of.after, self._send_next)
        else:
            self._time.silence()
        runner.begin()

    def won(self, winner: Inquiry) -> None:
        """One speaks: the others are let go of first."""
        others = [runner for runner in self._racing if runner is not winner]
        self._racing = [runner for runner in self._racing if runner is winner]
        self._waiting.clear()
        self._time.dispose()
        for other in others:
            other.dispose()

    def lost(self, runner: _Runner, error: Exception) -> None:
        """One has failed without a word."""
        before = [*self._failures]
        self._failures.append((repr(runner.llm), error))
        self._racing.remove(runner)
        if not _meant(error):
            self.won(runner)  # nobody has, but all is over
        elif self._waiting:
            self._send_next()
            return
        elif self._racing:
            return
        self._asking.sink.on_error(with_others(self._made_of, error, before))

    def dispose(self) -> None:
        self._time.dispose()
        self._waiting.clear()
        for runner in self._racing:
            runner.dispose()


class _Runner(Inquiry):
    """One model in the race: what it gives before its first token is kept until then."""

    def __init__(self, llm: LLM, asking: Asking, race: _Race) -> None:
        super().__init__(llm, asking)
        self._race = race
        self._early: list[Any] | None = []

    def next(self, item: Any) -> None:
        if self._early is None:
            self.sink.on_next(item)
            return
        self._early.append(item)
        if says(item):
            self._win()

    def _win(self) -> None:
        if self._early is not None:
            early, self._early = self._early, None
            self._race.won(self)
            for item in early:
                self.sink.on_next(item)

    def failed(self, error: Exception) -> None:
        if self._early is None:
            self.sink.on_error(error)
            return
        for item in self._early:
            if isinstance(item, Completion) and item.usage:
                self.sink.on_next(Completion(usage=item.usage))
        self._race.lost(self, error)

    def completed(self) -> None:
        self._win()  # an answer without a word is one, too
        self.sink.on_completed()


_meant = matcher("hedge", Exception)
