"""One turn over live input: what was put in, and what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context
from itertools import takewhile
from typing import Any

from reactivex import Observable

from ..blocks import Block, Scope
from ..conversations import Conversation
from ..conversing import Askable, converse
from ..engine.bridges import from_async
from ..engine.emitters import just
from ..errors import RunCancelledError
from ..mended_blocks import SHOWN, mended
from ..mended_messages import Mended
from ..participants import Emit, until_ended
from ..replays import Replay
from ..saying.flatten import items_of
from ..saying.speakers import Speaker
from ..saying.thing_sources import failing
from ..streams import MessageStream
from ..transcripts import Item, Transcript

__all__ = ["LiveTurn", "put_in"]


class LiveTurn(Scope):
    """What was put in, and what came of it. It drives all of that, and is one item of its conversation.

    Args:
        thing: What is put in. What of it is at hand is in the turn at once, before it has begun.
        askable: Who is asked.
        conversation: The conversation whose turn it is.
        heard: Gives what was said before it, and in it.
        context: The context variables in which it runs.
        fails: Whether an error fails it; else it is shown, and the turn ends.
    """

    def __init__(
        self,
        thing: Any,
        askable: Askable,
        conversation: Conversation,
        heard: Callable[[LiveTurn], Transcript],
        context: Context,
        fails: bool,
    ) -> None:
        at_hand, later = put_in(thing)

        async def take_turn(emit: Emit) -> None:
            for item in at_hand:
                if isinstance(item, Replay):
                    await until_ended(item)
            await converse(askable, later, self, emit)

        source: Observable[Item] = from_async(take_turn)
        super().__init__(source if fails else mended(source, self._described))
        self._conversation = conversation
        self._heard = heard
        self._context = context
        self.cancelled: Exception | None = None
        for item in at_hand:
            is_open = isinstance(item, MessageStream) and not (item.ended and item.error is None)
            self._append(Mended(item, in_block=False) if is_open and not fails else item)

    @property
    def transcript(self) -> Transcript:
        """What was said before it, and in it."""
        return self._heard(self)

    @property
    def was_cut(self) -> bool:
        """Whether something in it was interrupted."""
        return any(isinstance(item, Replay) and item.interrupted for item in self._items)

    def asked(self) -> None:
        """The inputs are in: as a run has it."""

    async def told(self) -> None:
        """Waits until all coroutines have ended that `on_message` has called with its messages."""
        if self._conversation.tells:
            for item in self.items:
                if isinstance(item, Replay):
                    await _quietly(until_ended(item))
            await self._conversation.told()

    def _run(self) -> None:
        # each in a context of its own, and none in that of whoever happened to push the input
        self._context.copy().run(super()._run)

    def _described(self, error: Exception) -> Any:
        if isinstance(error, RunCancelledError):
            self.cancelled = error  # its loop is being closed: there is no next turn to go on with
        return SHOWN


def put_in(thing: Any) -> tuple[list[Item], Observable[Item]]:
    """What of an input is at hand, and what comes after that."""
    try:
        items = items_of(thing, Speaker())
    except Exception as error:
        return [], failing(error)
    if not isinstance(items, list):
        return [], items
    at_hand = list(takewhile(_is_at_hand, items))
    return at_hand, just(*items[len(at_hand) :])


def _is_at_hand(item: Item) -> bool:
    return not isinstance(item, Block)  # what fails in it is mended with it


async def _quietly(ending: Awaitable[None]) -> None:
    with contextlib.suppress(Exception):  # the turn fails with it by itself
        await ending
