"""Hearing a conversation to its end, as whoever takes a turn does before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reactivex import Observable

from ..blocks import Scope
from ..engine.bridges import forward
from ..engine.loops import hop, is_on
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from .own_turns import asked_so_far, current_turn
from .spending import beside

__all__ = ["Emit", "Heard", "hear", "until_ended"]

Emit = Callable[[Item], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard: the items, what they came to, and whether one of them stopped the whole run."""

    items: list[Item]
    transcript: Transcript
    run_stopped: bool


async def hear(source: Observable[Item], emit: Emit) -> Heard:
    """Hears a conversation to its end, and gives what it came to.

    What has begun is held until then, so that it runs at once. StateUpdates are emitted again as
    they come, and at the end, be it a failure, one with what the messages and blocks brought beside
    their words: usage, variables, log. A stop of the whole run that was asked for inside a block is
    passed on too.

    Raises:
        Exception: What the source, or the first of its items, failed with.
    """
    items: list[Item] = []
    replays: list[Replay[Any]] = []
    holds: list[Any] = []

    def note(item: Item) -> None:
        items.append(item)
        if isinstance(item, StateUpdate):
            emit(item.beside)
        elif isinstance(item, Replay):
            replays.append(item)
            holds.append(item.hold())

    try:
        await forward(source, note)
        for replay in replays:
            await until_ended(replay)
    finally:
        for hold in holds:
            hold.dispose()
        whole, came = Transcript().fold_all(items), Transcript().fold_all(replays)
        usage, log = came.usage, came.log
        if usage or log:
            # What was asked in a turn is paid by that turn, whoever hears it; and what an operator with a
            # name heard and handed on, or a turn heard and says in an ask, by whoever said it.
            turn = current_turn()
            handed_on = [each for replay in replays for each in getattr(replay, "heard", ())]
            if turn is not None:
                usage, log = beside(replays, asked_so_far(turn), handed_on, turn.is_paid)
            elif handed_on:
                usage, log = beside(replays, (), handed_on)
        if usage or came.variables or log:
            # with the values that hold at last: an update between the blocks may have set them again
            variables = {name: whole.variables[name] for name in came.variables}
            emit(StateUpdate("usage", usage=usage, variables=variables, log=log))
    stops = [
        item if isinstance(item, StateUpdate) else item.escaping_stop
        for item in items
        if isinstance(item, StateUpdate | Scope)
    ]
    run_stops = [stop for stop in stops if stop is not None and stop.stop is not None and stop.scope == "run"]
    for stop in run_stops:
        if stop not in items:
            emit(stop.beside)
    return Heard(items, whole, bool(run_stops))


async def until_ended(replay: Replay[Any]) -> None:
    """Waits as a witness: neither starts the replay nor keeps it alive. Raises its error."""
    if not replay.ended:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        replay.on_end(_Settling(ended), subscribes=False)
        await ended
    if replay.error is not None:
        raise replay.error


class _Settling:
    """Tells a future that something has ended; no closure, since thousands wait, and those are larger."""

    __slots__ = ("_ended",)

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def __call__(self, _: object = None) -> None:
        loop = self._ended.get_loop()
        if not is_on(loop):
            hop(loop, self)
        elif not self._ended.done():
            self._ended.set_result(None)
