"""Levels: what each further one of nested teams takes. Counted, since a clock would tell of the machine."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import os
from collections.abc import Coroutine
from typing import Any

import pytest
import reactivex as rx

from rxagents import Agent, LateItemError, Loop, Message, RunCancelledError, Sequence, Team, Workflow, say
from rxagents.engine.bridges import from_async
from rxagents.engine.feeds import Feed
from rxagents.engine.loops import on_dropped
from rxagents.ledgers import Fold
from rxagents.operators import markers
from rxagents.participants import Participant, turn_block
from rxagents.streams import new_id
from rxagents.transcripts import Transcript

KINDS = {
    "Sequence": lambda inner, id: Sequence(id, [inner]),
    "Team": lambda inner, id: Team(hi, [inner], id, max_turns=1),
    "Loop": lambda inner, id: Loop(id, inner, max_turns=1),
}


def hi(request: object) -> rx.Observable[str]:
    return rx.of("Hi")


def nested(kind: str, depth: int) -> Participant:
    inner: Participant = Agent("bot", hi)
    for level in range(depth):
        inner = KINDS[kind](inner, f"level{level}")
    return inner


async def run(participant: Participant) -> int:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[Any] = []
    output = say("go").pipe(participant, markers())
    output.subscribe(seen.append, ended.set_exception, lambda: ended.set_result(len(seen)))
    return await ended


def calls(participant: Participant) -> int:
    """How many calls of functions a run takes, those of C included."""

    async def count() -> int:
        await run(participant)  # what is made once
        profile = cProfile.Profile()
        profile.enable()
        await run(participant)
        profile.disable()
        return sum(entry.callcount for entry in profile.getstats())

    return asyncio.run(count())


@pytest.mark.parametrize("kind", KINDS)
def test_each_level_takes_as_much_as_the_one_before_it_and_few_calls(kind: str) -> None:
    few, some, many = (calls(nested(kind, depth)) for depth in (5, 15, 35))
    assert (many - some) / 20 == pytest.approx((some - few) / 10, rel=0.02)
    assert (many - some) / 20 < 405  # once there were 1,600


def test_a_turn_of_a_workflow_takes_few_calls() -> None:
    async def count() -> int:
        workflow = Workflow(Agent("bot", hi))
        await workflow.arun("go")
        profile = cProfile.Profile()
        profile.enable()
        await workflow.arun("go")
        profile.disable()
        return sum(entry.callcount for entry in profile.getstats())

    assert asyncio.run(count()) < 1_260  # once there were 2,543


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_leaves_nothing_to_the_garbage_collector(kind: str) -> None:
    async def garbage() -> int:
        team = nested(kind, 10)
        await run(team)
        gc.collect()
        gc.disable()
        try:
            await run(team)
            await asyncio.sleep(0.01)
            return gc.collect()
        finally:
            gc.enable()

    assert not asyncio.run(garbage())


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_is_one_task(kind: str) -> None:
    def tasks(depth: int) -> int:
        made = 0

        def factory(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any) -> Any:
            nonlocal made
            made += 1
            return asyncio.Task(coro, loop=loop, **options)

        async def count() -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            await run(nested(kind, depth))

        asyncio.run(count())
        return made

    assert tasks(12) - tasks(2) == 10


def test_what_is_said_in_a_level_is_folded_once_whatever_stands_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded = 0
    of_message = Fold.of_message

    def counting(id: str, message: Message) -> Fold:
        nonlocal folded
        folded += 1
        return of_message(id, message)

    monkeypatch.setattr(Fold, "of_message", counting)

    def folds(depth: int) -> int:
        nonlocal folded
        folded = 0
        workflow = Workflow(nested("Sequence", depth))
        assert asyncio.run(workflow.arun("go")).text == "Hi"
        assert [message.text for message in workflow.conversation] == ["go", "Hi"]
        return folded

    assert folds(3) == folds(30)


def test_the_block_of_a_turn_is_made_at_once_where_nobody_listens_in_a_way_of_his_own() -> None:
    agent = Agent("bot", hi)
    assert turn_block(agent, Transcript()).name == "bot"  # type: ignore[union-attr]
    assert turn_block(agent.pipe(lambda source: source), Transcript()) is None
    assert turn_block(lambda source: source, Transcript()) is None


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_ids_differ_also_in_a_process_that_was_forked() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(id) for id in ids} == {32}
    if not hasattr(os, "fork"):
        return
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32).decode() != new_id()
    os.close(reading)
    os.close(writing)


class _Told:
    _accept_many = None

    def __init__(self, told: list[Any]) -> None:
        self._accept = self._fail = told.append
        self._complete = lambda: told.append("end")


def test_a_feed_tells_nothing_after_its_end_and_says_who_cancelled_it() -> None:
    told: list[Any] = []
    late: list[Exception] = []

    async def feed(coroutine: Any) -> Feed:
        return Feed(coroutine, asyncio.get_running_loop(), _Told(told))

    async def emits(sink: Any) -> None:
        sink.on_next(1)
        sink.on_many([2, 3])

    async def waits(sink: Any) -> None:
        await asyncio.sleep(60)

    async def all_of_it() -> None:
        fed = await feed(emits)
        await asyncio.sleep(0.01)
        fed.on_next("late")
        await feed(waits)
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
        (await feed(waits)).dispose()
        await asyncio.sleep(0.01)

    before = on_dropped(lambda error, _: late.append(error))  # type: ignore[arg-type]
    try:
        asyncio.run(all_of_it())
    finally:
        on_dropped(before)
    assert told[:4] == [1, 2, 3, "end"]
    assert [type(error) for error in told[4:]] == [RunCancelledError]
    assert [type(error) for error in late] == [LateItemError]


def test_what_a_coroutine_emits_may_still_be_run_to_its_end_by_rx() -> None:
    async def emits(emit: Any) -> None:
        emit("a")

    assert from_async(emits).run() == "a"
