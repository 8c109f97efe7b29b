"""One turn of a member, and how a team says that it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from ..blocks import Scope
from ..engine.bridges import forward
from ..engine.emitters import just
from ..engine.loops import is_on
from ..errors import ConfigurationError
from ..participants import Emit, Participant, turn_block, until_ended
from ..places import located_as
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript

__all__ = ["Condition", "answer_of", "check_condition", "result", "take_turn"]

Condition = Callable[[Transcript], Any]
"""A function of the conversation so far, plain or async."""


async def take_turn(
    member: Participant,
    transcript: Transcript,
    emit: Emit,
    on_end: Callable[[Transcript], object] | None = None,
) -> tuple[StateUpdate | None, Transcript]:
    """Lets a member speak, to the end of all it says; gives its stop, if it asked for one.

    Args:
        member: Who speaks.
        transcript: What was said before.
        emit: Takes what it says.
        on_end: Called when it has said all, was not cut and asked for no stop, with what was said till then:
            before any reader hears that it has ended.
    """
    block = turn_block(member, transcript)
    if on_end is None and isinstance(block, Scope):
        # nearly always; its frame is kept at each level of each conversation, and so has no closures
        emit(block)
        await until_ended(block)
        return block.escaping_stop, _folded(transcript, [block])
    return await _all_said(member, block, transcript, emit, on_end)


async def _all_said(
    member: Participant,
    block: Item | None,
    transcript: Transcript,
    emit: Emit,
    on_end: Callable[[Transcript], object] | None,
) -> tuple[StateUpdate | None, Transcript]:
    said: list[Item] = []
    stop: StateUpdate | None = None

    def pass_on(item: Item) -> None:
        nonlocal stop
        said.append(item)
        if isinstance(item, StateUpdate) and item.stop is not None:
            stop = item
            if item.scope == "team":  # consumed here; what it brings beside the stop stays
                item = said[-1] = replace(item, stop=None)
        emit(item)

    loop = asyncio.get_running_loop()

    def look(_: object = None) -> None:
        nonlocal on_end
        # what ends on another loop is looked at when this one has heard of it
        if on_end is not None and is_on(loop) and stop is None and all(map(_has_ended_well, said)):
            told, on_end = on_end, None
            told(transcript.fold_all(said))

    if block is None:
        await forward(member(just(transcript)), pass_on)
    else:
        pass_on(block)
    if on_end is not None:
        for item in said:
            if isinstance(item, Replay):
                item.on_end(look)
    for item in said:
        if isinstance(item, Replay):
            await until_ended(item)
        if isinstance(item, Scope) and item.escaping_stop is not None:
            stop = item.escaping_stop
    if on_end is not None:
        look()
    return stop, _folded(transcript, said)


def _folded(transcript: Transcript, said: list[Item]) -> Transcript:
    """The transcript with what was said; noted down, so that no team walks through the teams in it."""
    for item in said:
        ledger, folds = transcript._ledger, transcript._folds
        transcript = transcript.fold(item)
        if isinstance(item, Scope):
            item.came = ledger, folds, transcript
    return transcript


def _has_ended_well(item: Item) -> bool:
    if isinstance(item, Scope) and item.escaping_stop is not None:
        return False
    return not isinstance(item, Replay) or (item.ended and item.error is None and not item.interrupted)


def check_condition(what: str, name: str, condition: Condition | None) -> Condition | None:
    """Refuses what is no function of the conversation."""
    if condition is not None and not callable(condition):
        raise ConfigurationError(
            f"{what}: {name} is a {type(condition).__name__}; give a function of the Transcript"
        )
    return condition


async def answer_of(condition: Condition, transcript: Transcript, place: str) -> Any:
    """What a condition answers; what goes wrong in it is located at that place.

    Raises:
        Exception: What the condition raises.
    """
    try:
        answer = condition(transcript)
        if isawaitable(answer):
            answer = await answer
        # here and not where it is used: what an object raises when it is asked for its truth is its own
        return answer if isinstance(answer, StateUpdate) else bool(answer)
    except Exception as error:
        error = located_as(error, place)
        raise error


def result(code: str, *log: tuple[Any, ...]) -> StateUpdate:
    """Says how a team has ended."""
    return StateUpdate("result", {"result": code}, log=log)
