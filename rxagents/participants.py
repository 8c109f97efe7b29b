"""Participant: what agents, teams and users have in common. Each is an operator on conversations."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reactivex import Observable

from .blocks import Block, Scope, StateUpdate
from .bridges import forward, from_async
from .errors import ConfigurationError
from .llm.around import as_worn
from .llm.requests import LLM, ChatRequest
from .loops import hop, is_on
from .places import raisable, unlocated
from .replays import Replay
from .transcripts import Item, Transcript

__all__ = ["Emit", "Participant", "ask", "check_id", "check_model", "hear", "until_ended"]

Emit = Callable[[Item], None]
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Participant(ABC):
    """Somebody who takes turns in a conversation, and an operator on it.

    When its source completes it is its turn: it emits one Block, named by its id, that holds what
    it does. It emits only what is new. StateUpdates from upstream pass, and the usage of the
    messages it consumed goes on as one StateUpdate, so that a pipe loses no cost.

    ```
    source   -q-|
    out      ---(bot|)
    bot      ---m----|
    m        ---Hello|
    ```

    Args:
        id: Its name in the conversation: `[A-Za-z0-9_-]{1,64}`.
        description: What it is good for; a team's model reads it.
    """

    def __init__(self, id: str, description: str = "") -> None:
        check_id(id, type(self).__name__)
        self.id = id
        self.description = description

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        async def take_turn(emit: Emit) -> None:
            heard = await hear(source, emit)
            if not heard.run_stopped:
                emit(self._block(heard.transcript))

        return from_async(take_turn)

    def _block(self, transcript: Transcript) -> Item:
        return Block(self.id, self.turn(transcript))

    @abstractmethod
    def turn(self, transcript: Transcript) -> Observable[Item]:
        """The items of one turn, cold."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def check_id(id: object, what: str) -> None:
    """Refuses what cannot name a block or a speaker."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise ConfigurationError(
            f"{what}: the id {id!r} is not made of 1 to 64 letters, digits, '_' or '-'; choose another"
        )


def check_model(what: str, llm: LLM) -> LLM:
    """Refuses what cannot be asked."""
    if not callable(llm):
        raise ConfigurationError(
            f"{what}: llm is a {type(llm).__name__}; give a model, such as OpenAILLM(...)"
        )
    return llm


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
            emit(item)
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
        whole, beside = Transcript().fold_all(items), Transcript().fold_all(replays)
        if beside.usage or beside.variables or beside.log:
            # with the values that hold at last: an update between the blocks may have set them again
            variables = {name: whole.variables[name] for name in beside.variables}
            emit(StateUpdate("usage", usage=beside.usage, variables=variables, log=beside.log))
    stops = [
        item if isinstance(item, StateUpdate) else item.escaping_stop
        for item in items
        if isinstance(item, StateUpdate | Scope)
    ]
    run_stops = [stop for stop in stops if stop is not None and stop.stop is not None and stop.scope == "run"]
    for stop in run_stops:
        if stop not in items:
            emit(stop)
    return Heard(items, whole, bool(run_stops))


async def ask(llm: LLM, request: ChatRequest, emit: Callable[[Any], None]) -> None:
    """Asks a model, with all that is worn around it, and emits its answer as it comes.

    Raises:
        ConfigurationError: It is no model: it gave no observable.
        Exception: What the model raises or fails with.
    """
    try:
        answer = as_worn(llm)(request)
        if not isinstance(answer, Observable):
            raise ConfigurationError(
                f"the model of {request.agent} gave {type(answer).__name__}; a model gives an observable "
                "of deltas or strings, such as rx.of('Hello')"
            )
        await forward(answer, emit)
    except Exception as error:
        error = unlocated(raisable(error, f"the model of {request.agent}"))
        raise error


async def until_ended(replay: Replay[Any]) -> None:
    """Waits as a witness: neither starts the replay nor keeps it alive. Raises its error."""
    if not replay.ended:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        replay.on_end(lambda _: settle() if is_on(loop) else hop(loop, settle))
        await ended
    if replay.error is not None:
        raise replay.error
