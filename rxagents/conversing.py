"""How a run goes: the inputs are put in, heard to their end, and then somebody is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from reactivex import Observable

from .engine.bridges import forward
from .engine.emitters import just
from .errors import ConfigurationError
from .participants import Emit, turn_block, until_ended
from .replays import Replay
from .saying.flatten import Said
from .transcripts import Item, Transcript

__all__ = ["Askable", "checked", "converse"]

Askable: TypeAlias = Callable[[Observable[Item]], Observable[Item]]
"""Whom a workflow can ask: an agent, a team, an operator."""


class Going(Protocol):
    """A run, or a turn, that is going on."""

    @property
    def transcript(self) -> Transcript: ...
    def asked(self) -> None: ...
    async def told(self) -> None: ...


def checked(askable: Askable) -> Askable:
    """Refuses what cannot be asked."""
    if not callable(askable):
        raise ConfigurationError(
            f"a workflow asks an agent, a team or an operator, not {type(askable).__name__}"
        )
    return askable


async def converse(askable: Callable[..., Any], said: Observable[Item], run: Going, emit: Emit) -> None:
    """Runs a run.

    Args:
        askable: Whom to ask.
        said: The inputs.
        run: Has what was said before.
        emit: Takes the inputs and what comes of them.

    Raises:
        ConfigurationError: Who is asked gives no observable.
        Exception: What the inputs or the answer fail with.
    """
    inputs: list[Item] = []

    def put_in(item: Item) -> None:
        inputs.append(item)
        emit(item)

    items = said.items() if type(said) is Said else said
    if isinstance(items, list):  # as mostly: nothing of it is to be waited for
        for each in items:
            put_in(each)
    else:
        await forward(items, put_in)
    for item in inputs:
        if isinstance(item, Replay):
            await until_ended(item)
    run.asked()
    block = turn_block(askable, run.transcript)
    if block is None:
        await forward(_operated(askable, run.transcript), emit)
    else:
        emit(block)
    await run.told()


def _operated(askable: Callable[[Observable[Item]], Any], transcript: Transcript) -> Observable[Item]:
    output = askable(just(transcript))
    if not isinstance(output, Observable):
        raise ConfigurationError(
            f"{askable!r} gave {type(output).__name__} and no observable; a workflow asks an agent, a team, "
            "or an operator such as `lambda source: source.pipe(a, b)`"
        )
    return output
