"""Replay: whoever reads what, whenever, in whole or in part, by tokens or whole: one model call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rxagents import Agent, Block, Transcript, Workflow, agent
from rxagents.engine.bridges import forward, from_async
from rxagents.engine.emitters import just
from rxagents.operators import map_tokens, markers, messages, responses, text, transcript
from rxagents.testing import Marbles

TOKENS = ("Hel", "lo", " you")
WHOLE = "".join(TOKENS)
LEVELS = ("whole", "block", "message")
MODES = ("tokens", "part", "left", "markers", "responses", "transcript", "await", "twin")


class Reader(NamedTuple):
    at: int
    level: str
    mode: str
    part: int


readers = st.lists(
    st.builds(Reader, st.integers(0, 8), st.sampled_from(LEVELS), st.sampled_from(MODES), st.integers(1, 4)),
    min_size=1,
    max_size=6,
)


def spoken(calls: list[float], pauses: list[int], fails: bool) -> Callable[[Any], Observable[Any]]:
    def llm(request: Any) -> Observable[Any]:
        async def speak(emit: Callable[[Any], None]) -> None:
            calls.append(asyncio.get_running_loop().time())
            for token, pause in zip(TOKENS, pauses, strict=True):
                await asyncio.sleep(pause)
                emit(token)
            if fails:
                raise ValueError("no")

        return from_async(speak)

    return llm


async def found(of: Any, level: str) -> Any:
    """What is to be read: all of it, the block in it, or the message in that."""
    if level == "whole":
        return of
    if level == "message":
        async for message in of.pipe(messages()):
            return message
    async for item in of:
        if getattr(item, "name", None) == "bot":
            return item
    raise AssertionError(f"there is no {level}")


async def read(reader: Reader, of: Any) -> tuple[str, bool]:
    """What this one reads, and whether that is all of it."""
    await asyncio.sleep(reader.at)
    thing = await found(of, reader.level)
    if reader.mode == "await" and not isinstance(thing, Block):
        return (await thing).text, True
    source = just(thing) if reader.level == "message" else thing
    if reader.mode == "left":
        got = ""
        async for marker in source.pipe(markers()):
            got += marker[1]["content"] if marker[0] == "delta" else ""
            if len(got) > reader.part:
                break
        return got, False
    way, is_all = WAYS[reader.mode](reader)
    return await joined(source.pipe(*way)), is_all


def token_of(marker: Any) -> str:
    return str(marker[1]["content"])


def said(heard: Transcript) -> str:
    return "".join(message.text for message in heard if message.role == "assistant")


WAYS: dict[str, Callable[[Reader], tuple[tuple[Any, ...], bool]]] = {
    "tokens": lambda reader: ((text(""),), True),
    "await": lambda reader: ((text(""),), True),
    "part": lambda reader: ((text(""), ops.take(reader.part)), reader.part > len(TOKENS)),
    "markers": lambda reader: ((markers(), ops.filter(lambda m: m[0] == "delta"), ops.map(token_of)), True),
    "responses": lambda reader: ((responses(), ops.map(str)), True),
    "transcript": lambda reader: ((transcript(), ops.map(said)), True),
    "twin": lambda reader: ((map_tokens(str.swapcase), text(""), ops.map(str.swapcase)), True),
}


async def joined(source: Observable[str]) -> str:
    got: list[str] = []
    await forward(source, got.append)
    return "".join(got)


async def all_read(start: Callable[[], Any], plan: list[Reader]) -> list[Any]:
    of = start()
    return await asyncio.gather(*(read(reader, of) for reader in plan), return_exceptions=True)


def check(results: list[Any], plan: list[Reader]) -> None:
    for reader, result in zip(plan, results, strict=True):
        assert not isinstance(result, BaseException), (reader, result)
        got, is_all = result
        assert WHOLE.startswith(got), reader
        assert not is_all or got == WHOLE, reader


examples = settings(max_examples=100, deadline=None, derandomize=True)


@examples
@given(readers, st.lists(st.integers(0, 3), min_size=3, max_size=3), st.booleans(), st.booleans())
def test_an_ask_is_read_in_any_way_with_one_model_call(
    plan: list[Reader], pauses: list[int], eager: bool, through_another: bool
) -> None:
    calls: list[float] = []
    bot = Agent("bot", spoken(calls, pauses, False))
    host = agent(lambda _: bot.ask("q", eager=eager), id="host")
    with Marbles() as marbles:
        if through_another:
            results = marbles.run(all_read(lambda: host.ask("q", eager=eager), flat(plan)))
        else:
            results = marbles.run(all_read(lambda: bot.ask("q", eager=eager), plan))
    check(results, flat(plan) if through_another else plan)
    assert calls == [0 if eager else min(reader.at for reader in plan)]


def flat(plan: list[Reader]) -> list[Reader]:
    """The block of the one that was asked stands in another's: it is read with the whole."""
    return [reader._replace(level="whole") if reader.level == "block" else reader for reader in plan]


@examples
@given(readers, st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_a_run_is_read_in_any_way_with_one_model_call(plan: list[Reader], pauses: list[int]) -> None:
    calls: list[float] = []
    workflow = Workflow(Agent("bot", spoken(calls, pauses, False)))
    with Marbles() as marbles:
        results = marbles.run(all_read(lambda: workflow.start("q"), plan))
    check(results, plan)
    assert calls == [0]
    assert [message.text for message in workflow.conversation] == ["q", WHOLE]


@examples
@given(readers, st.lists(st.integers(0, 3), min_size=3, max_size=3), st.booleans())
def test_what_fails_fails_for_all_who_read_to_its_end(
    plan: list[Reader], pauses: list[int], eager: bool
) -> None:
    calls: list[float] = []
    bot = Agent("bot", spoken(calls, pauses, True))
    with Marbles() as marbles:
        marbles.allow("errors")  # nobody may read to the end
        results = marbles.run(all_read(lambda: bot.ask("q", eager=eager), plan))
    for reader, result in zip(plan, results, strict=True):
        if isinstance(result, ValueError):
            assert str(result) == "no"
            assert reader.mode != "markers"
        else:
            assert reader.mode in ("part", "left", "markers"), (reader, result)
            assert WHOLE.startswith(result[0])
    assert len(calls) == 1
