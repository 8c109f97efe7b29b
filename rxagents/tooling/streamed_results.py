"""Tools that stream: each thing that they give is shown as progress when it comes, the last is the result.

Generators, async generators and observables; a message or a conversation is shown token by token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from reactivex import Observable
from reactivex.disposable import CompositeDisposable

from ..asking.own_turns import asked_so_far
from ..asking.spending import beside
from ..blocks import Block, Scope
from ..engine.bridges import forward
from ..engine.demands import until_wanted
from ..engine.emitters import just
from ..engine.inlets import listen
from ..replays import Replay
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item
from ..walks import is_input, last_message, message_streams
from .contexts import Context
from .tool_results import NOTHING, encoded, parted

__all__ = ["Steps", "drained", "heard", "is_generator"]


class Steps:
    """What a tool has given so far. May be told from any one thread at a time.

    Args:
        context: Where progress and changes go.

    Attributes:
        text: What the last of it says.
    """

    def __init__(self, context: Context) -> None:
        self.text = "null"
        self._context = context
        self._changed_only = True

    def add(self, value: Any) -> None:
        """Takes a step: it is progress, and perhaps the last. Changes by themselves are neither."""
        rest = self._parted(value)
        if rest is not NOTHING:
            text = encoded(rest)
            self._context.progress(text)
            self.text = text

    def end(self, value: Any) -> None:
        """Takes what was known only at the end, which is no progress; None leaves the last step."""
        if value is not None:
            rest = self._parted(value)
            if rest is not NOTHING:
                self.text = encoded(rest)

    def said(self, text: str) -> None:
        """Takes what was shown in pieces already, when all has been heard."""
        self.text = text

    def show(self, piece: str) -> None:
        """Shows a piece that is no step by itself."""
        self._context.progress(piece)

    def pay(self, items: list[Item]) -> None:
        """Counts what the items took, unless a turn around this one does."""
        usage, log = beside(items, asked_so_far(), [self._context.transcript])
        if usage or log:
            self._context.emit(StateUpdate("usage", usage=usage, log=log))

    def _parted(self, value: Any) -> Any:
        rest, changes = parted(value)
        for change in changes:
            self._context.emit(change)
        if rest is not NOTHING:
            self._changed_only = False
        elif self._changed_only:
            self.text = encoded(rest)
        return rest


def is_generator(result: object) -> bool:
    """Whether it works step by step, in a thread; a generator expression is only a list that is late."""
    return isinstance(result, GeneratorType) and result.gi_code.co_name != "<genexpr>"


def drained(generator: Generator[Any, Any, Any], steps: Steps, left: Callable[[], bool]) -> None:
    """Runs a generator to its end, in a thread. Once nobody waits any more, it is closed at its next step."""
    try:
        while not left():
            try:
                value = next(generator)
            except StopIteration as end:
                steps.end(end.value)
                return
            if not left():
                steps.add(value)
    finally:
        generator.close()


async def heard(result: Any, steps: Steps) -> bool:
    """Hears what streams on the loop to its end; False if it is nothing of the kind.

    However it is left, async generators are closed, subscriptions disposed, and conversations interrupted.
    """
    if isinstance(result, AsyncGeneratorType):
        await _iterated(result, steps)
    elif isinstance(result, Observable):
        await _followed(result, steps)
    else:
        return False
    return True


async def _iterated(generator: AsyncGenerator[Any, Any], steps: Steps) -> None:
    async with aclosing(generator) as values:
        async for value in values:
            steps.add(value)
            await until_wanted()


async def _followed(source: Observable[Any], steps: Steps) -> None:
    items = just(source) if isinstance(source, MessageStream) else source
    # a scope drives the messages and blocks among its items, and ends when all of them have
    scope = items if isinstance(items, Scope) else Scope(items)
    loop = asyncio.get_running_loop()
    inner = CompositeDisposable()
    last: Any = None

    def take(item: Any) -> None:
        nonlocal last
        if isinstance(item, MessageStream):
            last = item
            read(item)
        elif isinstance(item, Block):
            last = item
            inner.add(listen(message_streams(item), loop, read, _ignore, _ignore))
        elif scope is not source:
            if not isinstance(item, StateUpdate):
                last = item
            steps.add(item)

    def read(stream: MessageStream) -> None:
        if not is_input(stream):
            # its error comes by way of the scope
            inner.add(listen(stream, loop, show, _ignore, _ignore))

    def show(item: Any) -> None:
        if type(item) is dict and item["content"]:
            steps.show(item["content"])

    error: Exception | None = None
    try:
        await forward(scope, take)
    except Exception as raised:
        error = raised
    finally:
        inner.dispose()
        scope.interrupt()  # one that holds itself would run on
    said = [item for item in scope.items if isinstance(item, Replay)]
    if said:
        steps.pay([scope] if scope is source else said)
    if error is not None:
        raise error
    if isinstance(last, Replay):
        message = last_message(said)
        steps.said("null" if message is None else message.text)


def _ignore(*_: object) -> None:
    pass
