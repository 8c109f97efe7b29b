"""The laws, for every composition of the kind "what an agent library could not do before".

Teams, handoffs and agents as tools are drawn at random into the trees of `test_laws`; these stand alone.
More examples: RXAGENTS_LAW_EXAMPLES=500 python -m pytest tests/test_laws_of_compositions.py
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    ModelConnectionError,
    Parallel,
    Race,
    ScriptedLLM,
    Switch,
    Tool,
    guard_input,
    guard_output,
    turns,
)
from rxagents.llm import Call, best_of, cached, fallback, gated, hedge, rate_limited, retry, timeouts
from rxagents.operators import coalesced, gate, latest, limit, markers, sampled, text, until
from rxagents.testing.laws import check_laws

EXAMPLES = int(os.environ.get("RXAGENTS_LAW_EXAMPLES", "12"))
pytestmark = pytest.mark.timeout(60 if EXAMPLES < 100 else 3_600)

# what is cut, and what is lost with it, is a matter of time
UNTIMED = ("contract", "release", "replay", "balance", "folding", "wrapping")
SIDE_BY_SIDE = (*UNTIMED, "loss")


async def digs(depth: int) -> AsyncIterator[str]:
    """Digs."""
    for metre in range(depth):
        yield f"{metre} m"


def talker(id: str = "bot", words: str = "Yes, I do.", **options: Any) -> Agent:
    return Agent(id, ScriptedLLM(lambda _: words, delay=0.25), **options)


def digger(**options: Any) -> Agent:
    def answer(body: dict[str, Any]) -> Any:
        done = body["messages"][-1]["role"] == "tool"
        return "Found it." if done else [Call("digs", {"depth": 2}), Call("digs", {"depth": 1})]

    return Agent("digger", ScriptedLLM(answer, delay=0.25), tools=[digs], **options)


def shaky() -> Any:
    lost = ModelConnectionError("lost")
    return lambda _: rx.concat(rx.of("No"), rx.throw(lost))


def live(policy: Any) -> Any:
    return lambda: turns(talker(), policy)


COMPOSITIONS: dict[str, tuple[Callable[[], Any], tuple[str, ...] | None]] = {
    "switch": (live("switch"), UNTIMED[:-1]),
    "exhaust": (live("exhaust"), UNTIMED[:-1]),
    "concat": (live("concat"), (*UNTIMED[:-1], "loss")),
    "merge": (live("merge"), UNTIMED[:-1]),  # what a turn hears, and pays for, depends on what had ended
    "turns of a team": (lambda: turns(Parallel("both", [talker("a"), digger()]), "switch"), UNTIMED[:-1]),
    "turns as text": (
        lambda: lambda source: source.pipe(turns(talker(), "merge"), text()),
        ("contract", "release"),
    ),
    "early calls": (lambda: digger(early_calls=True), None),
    "limited tools": (lambda: digger(max_concurrent_tools=1, max_tool_result=2, tool_timeout=9), None),
    "agent as a tool": (lambda: Agent("boss", ScriptedLLM(_asks), tools=[talker("helper").as_tool()]), None),
    "handoff": (lambda: Agent("boss", ScriptedLLM(_hands), handoffs=[talker("helper")]), None),
    "approval": (
        lambda: Agent(
            "bot", ScriptedLLM(_asks), tools=[Tool(helper, approval=True)], approvals=lambda _: True
        ),
        None,
    ),
    "gate": (lambda: talker().pipe(gate(lambda _: True, window=2)), None),
    "gate that cuts": (lambda: talker().pipe(gate(lambda words: len(words) < 5, window=1)), UNTIMED),
    "guards": (lambda: guard_output(guard_input(talker(), lambda _: True), lambda _: True), None),
    "limit": (lambda: talker().pipe(limit(turns=99, seconds=10_000)), None),
    "limit that cuts": (lambda: talker().pipe(limit(tokens=2)), UNTIMED),
    "stop button": (lambda: talker().pipe(until(rx.timer(2.0))), UNTIMED),
    "retry and fallback": (
        lambda: Agent(
            "bot",
            fallback(
                retry(shaky(), 1, delay=0.5, jitter=None, restart=True),
                timeouts(ScriptedLLM(lambda _: "Yes.", delay=0.25), total=9),
                restart=True,
            ),
        ),
        None,
    ),
    "hedge, limits, cache": (
        lambda: Agent(
            "bot", cached(rate_limited(hedge(_slow(), _slow(), after=1), concurrent=3), {}, key=lambda _: "k")
        ),
        UNTIMED,
    ),
    "best of, gated": (
        lambda: Agent("bot", best_of(gated(_slow(), lambda _: True), 2, lambda all: all[0])),
        None,
    ),
    "a race of races": (
        lambda: Race("outer", [Race("inner", [talker("a"), digger()]), talker("b", "Me!")]),
        SIDE_BY_SIDE,
    ),
    "a switch of parallels": (
        lambda: Switch(
            "s", [Parallel("p", [talker("a"), talker("b")], order="member"), talker("c")], lambda _: "p"
        ),
        SIDE_BY_SIDE,
    ),
    "latest": (lambda: lambda source: source.pipe(talker(), markers(), latest()), ("contract", "release")),
    "sampled": (lambda: lambda source: source.pipe(talker(), text(), sampled(0.5)), ("contract", "release")),
    "coalesced": (lambda: lambda source: source.pipe(talker(), text(), coalesced()), ("contract", "release")),
}


def helper(input: str = "") -> str:
    """Helps."""
    return f"helped with {input}"


def _asks(body: dict[str, Any]) -> Any:
    return "So." if body["messages"][-1]["role"] == "tool" else Call("helper", {"input": "x"})


def _hands(body: dict[str, Any]) -> Any:
    return Call("transfer_to_helper", {})


def _slow() -> Any:
    return ScriptedLLM(lambda _: "Yes, I do.", delay=0.25)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_it_keeps_the_laws(name: str) -> None:
    make, laws = COMPOSITIONS[name]
    if laws is None:
        check_laws(make, max_examples=EXAMPLES)
    else:
        check_laws(make, laws=laws, max_examples=EXAMPLES)
