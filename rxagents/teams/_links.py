"""Links of a chain: who hears the one before as it speaks, and what each of them adds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Set
from functools import partial

from reactivex import Observable, abc
from reactivex import operators as ops

from ..asking.own_turns import Turn, within
from ..asking.spending import keys_of
from ..blocks import Block, Scope
from ..engine.inlets import listen
from ..participants import Emit, Participant, until_ended
from ..replays import Replay
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ..walks import message_streams

__all__ = ["ChainTurn", "Link", "all_said", "hears_live"]


def hears_live(step: Participant) -> bool:
    """Whether a step is an operator on what comes, as it comes; else it waits for its turn."""
    step = vars(step).get("_participant", step)  # it may have operators behind it
    live: bool | None = getattr(step, "hears_live", None)  # a chain hears as its first step does
    if live is not None:
        return live
    return not isinstance(step, Participant) or type(step).__call__ is not Participant.__call__


class ChainTurn(Turn):
    """The turn of a chain, in which all its steps run: what they hear there has been paid for there.

    Args:
        source: What the chain hears; if it hears live, that is paid for by whoever hears it for the chain.
    """

    def __init__(self, source: Observable[Item]) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self._shown: list[Item] = []
        self._said: set[str] = set()
        self._followed: list[abc.DisposableBase] = []
        self._source = source if isinstance(source, Replay) else None
        if self._source is not None:
            self.follows(self._source)

    def known(self) -> Set[object]:
        heard = () if self._source is None else self._source.items
        return {*super().known(), *keys_of((*self._shown, *heard))}

    def shows(self, item: Item) -> None:
        """Says that this stands in the chain, so that nobody who hears it counts it again."""
        self._shown.append(item)

    def follows(self, out: Replay[Item]) -> None:
        """Takes note of each message, so that no twin that a later step makes of it counts again."""
        spoken = message_streams(out, inputs=True, aside=True)
        self._followed.append(listen(spoken, asyncio.get_running_loop(), self._notice, _ignore, _ignore))

    def _notice(self, stream: MessageStream) -> None:
        self._said.add(stream.id)
        original = getattr(stream, "original", None)
        while original is not None and original.id not in self._said:
            original = getattr(original, "original", None)
        if original is not None:
            stream.on_end(_paid_for)

    def end(self, emitted: Iterable[Item]) -> StateUpdate | None:
        for following in self._followed:
            following.dispose()
        return super().end(emitted)


def _paid_for(stream: MessageStream) -> None:
    # a witness: before anybody else hears that it has ended
    if stream.result is not None:
        stream.result = stream.result.model_copy(update={"usage": None})


class Link:
    """One step of one run of a chain, from its subscription on.

    Args:
        step: The step.
        heard: What it hears.
        emit: Takes what it adds to the chain.
        turn: In which it runs.
        aside: Whether its blocks are shown only.

    Attributes:
        out: What it adds: all it emits but what it merely passes on.
    """

    def __init__(
        self, step: Participant, heard: Observable[Item], emit: Emit, turn: ChainTurn, *, aside: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[Exception | None] = loop.create_future()
        self._emit = emit
        self._aside = aside
        self._turn = turn
        with within(turn):
            source = step(heard)
            if isinstance(heard, Replay):
                source = source.pipe(ops.filter(partial(_is_new, heard)))
            self.out: Replay[Item] = Replay(source)
            self._subscription = listen(self.out, loop, self._pass, self._end, self._end)
        turn.follows(self.out)

    def _pass(self, item: Item) -> None:
        if isinstance(item, Block) and item.entry == "append" and self._aside:
            item.entry = "aside"
        self._turn.shows(item)
        self._emit(item)
        if isinstance(item, Replay) or (isinstance(item, StateUpdate) and item.stop is not None):
            self._begin()

    def _begin(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)

    def _end(self, error: Exception | None = None) -> None:
        if not self._ended.done():
            self._ended.set_result(error)
        self._begin()

    async def begun(self) -> None:
        """Waits until it has begun to speak, or has ended without a word; so the order is the steps'."""
        await self._begun

    async def ended(self) -> None:
        """Waits until all of it has ended.

        Raises:
            Exception: What it fails with.
        """
        error = await self._ended
        if error is not None:
            raise error
        for item in self.out.items:
            if isinstance(item, Replay):
                await until_ended(item)

    @property
    def stopped(self) -> bool:
        """Whether somebody in it has asked for a stop."""
        stops = [
            item.stop if isinstance(item, StateUpdate) else item.escaping_stop
            for item in self.out.items
            if isinstance(item, StateUpdate | Scope)
        ]
        return any(stop is not None for stop in stops)

    def live(self) -> Replay[Item]:
        """What it adds, as it comes, for the next step to hear."""
        return Replay(self.out.pipe(ops.map(_heard)))

    def said(self, variables: Mapping[str, object]) -> Transcript:
        """What it has added, for the next step, with the variables that were set before."""
        before = Transcript().with_variables(variables) if variables else Transcript()
        return before.fold_all(all_said(self.out.items))

    def dispose(self) -> None:
        """Lets go of it."""
        self._subscription.dispose()


def _ignore(_: object = None) -> None:
    """Somebody else hears of it."""


def all_said(items: Iterable[Item]) -> Iterable[Item]:
    """The items, with what was said in blocks, however those enter the conversation."""
    for item in items:
        if isinstance(item, Block):
            yield from item.items
        else:
            yield item


def _heard(item: Item) -> Item:
    # how a block enters the conversation is no matter for the next step, which hears what was said
    return Block(item.name, item) if isinstance(item, Block) and item.entry != "append" else item


def _is_new(heard: Replay[Item], item: Item) -> bool:
    """Whether a step says this itself. What it heard and passes on stands in the chain already."""
    if not isinstance(item, StateUpdate):
        return True
    if item.kind == "usage" and not (item.data or item.usage or item.log):  # the variables of what it heard
        return False
    return not Transcript().fold_all(all_said(heard.items)).has(item.id)
