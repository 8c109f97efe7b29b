"""Operators with a name: `as_agent` makes an agent of any operator on conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from .blocks import Block
from .engine.emitters import just
from .errors import ConfigurationError
from .participants import Participant
from .replays import Replay
from .transcripts import Item, Transcript

__all__ = ["as_agent"]

Operator = Callable[[Observable[Item]], Observable[Item]]


class _NamedOperator(Participant):
    """An operator with a name: what it emits stands in a block."""

    def __init__(self, id: str, operator: Operator, description: str) -> None:
        super().__init__(id, description)
        self._operator = operator

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        # deferred: each subscription is a run of its own, and what the operator raises is the block's
        return rx.defer(lambda _: just(_OperatorBlock(self.id, self._operator, source)))

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return self._operator(just(transcript))


class _OperatorBlock(Block):
    """What an operator makes of a conversation; the transcripts that it heard, it may hand on."""

    def __init__(self, name: str, operator: Operator, source: Observable[Item]) -> None:
        self._passing: list[Item] = []
        heard = source if isinstance(source, Replay) else source.pipe(ops.do_action(self._remember))
        super().__init__(name, rx.defer(lambda _: operator(heard)))

    def _remember(self, item: Item) -> None:
        if isinstance(item, Transcript | _OperatorBlock):
            self._passing.append(item)

    @property
    def heard(self) -> Iterator[Transcript]:
        """The transcripts, also those that another one handed on to it."""
        for item in self._passing:
            if isinstance(item, _OperatorBlock):
                yield from item.heard
            else:
                yield item


def as_agent(id: str, operator: Operator, description: str = "") -> Participant:
    """Names an operator on conversations, so that it can be a member of a team.

    ```
    source   -q-|
    out      (loud|)
    loud     ---m--|
    m        ---HI-|
    ```
    """
    if not callable(operator):
        raise ConfigurationError(f"as_agent {id}: {type(operator).__name__} is no operator on conversations")
    return _NamedOperator(id, operator, description)
