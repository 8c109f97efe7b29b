"""What a turn does for each message that was said before: nothing, but to send it. Counted in calls."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable

from rxagents import (
    Agent,
    AssistantMessage,
    ChatRequest,
    Conversation,
    LastNMessagesStrategy,
    Parallel,
    Race,
    Sequence,
    SystemMessage,
    TokenBudgetStrategy,
    UserMessage,
    Workflow,
)
from rxagents.llm.chat_completions import CHAT
from rxagents.llm.json_bodies import encoded
from rxagents.llm.requests import LLMConstraints
from rxagents.strategies import cuts
from rxagents.values import Message, ToolCall, delta

SHORT, LONG = 60, 560


def encoding(request: ChatRequest) -> Observable[Any]:
    """A model that does all that is done for a request but to send it, and says how long it is."""
    return rx.of(str(len(encoded(CHAT.body(request, {"model": "m"}, LLMConstraints())))))


def calling(request: ChatRequest) -> Observable[Any]:
    if request.messages[-1]["role"] == "tool":
        return encoding(request)
    return rx.of(delta(tool_calls=[{"index": 0, "id": "1", "function": {"name": "look", "arguments": "{}"}}]))


def look() -> str:
    """Looks."""
    return "nothing"


LAST = LastNMessagesStrategy(4)


def trio(**options: Any) -> list[Agent]:
    return [Agent(id, encoding, **options) for id in ("a", "b", "c")]


ASKABLES: dict[str, Callable[[], Any]] = {
    "agent": lambda: Agent("a", encoding),
    "system prompt": lambda: Agent("a", encoding, system_message="Be brief. __context__", others_as="user"),
    "tools": lambda: Agent("a", calling, tools=[look]),
    "last": lambda: Agent("a", encoding, reading_strategy=LAST),
    "budget": lambda: Agent("a", encoding, reading_strategy=TokenBudgetStrategy(100)),
    "replacing": lambda: Agent("a", encoding, update_strategy="replace_last", reading_strategy=LAST),
    "handing over": lambda: Agent("a", encoding, handoffs=trio()[1:]),
    "sequence": lambda: Sequence("s", trio()),
    "parallel": lambda: Parallel("p", trio()),
    "race": lambda: Race("r", trio(reading_strategy=LAST)),
}


def said(count: int) -> Iterator[Message]:
    yield SystemMessage("Be kind.")
    for number in range(count // 2):
        yield UserMessage(f"question {number}")
        yield AssistantMessage(f"answer {number}", name="a")


def calls_of_a_turn(askable: Callable[[], Any], before: int) -> int:
    async def run() -> int:
        workflow = Workflow(askable(), Conversation(said(before)))
        for _ in range(2):  # what is done once is done then
            assert await workflow.arun("And?") == "done"
        return await calls_of_a_run(workflow)

    return asyncio.run(run())


async def calls_of_a_run(workflow: Workflow) -> int:
    counted = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        result = await workflow.arun("And?")
    finally:
        sys.setprofile(None)
    assert result == "done"
    assert result.text
    return counted


@pytest.mark.parametrize("name", ASKABLES)
def test_no_function_of_python_is_called_for_each_message_of_the_history(name: str) -> None:
    short, long = (min(calls_of_a_turn(ASKABLES[name], count) for _ in range(2)) for count in (SHORT, LONG))
    assert long - short < (LONG - SHORT) / 10


def test_the_turns_of_an_agent_with_tools_cost_the_same_each() -> None:
    async def run() -> list[int]:
        workflow = Workflow(Agent("a", calling, tools=[look], reading_strategy=LAST))
        return [await calls_of_a_run(workflow) for _ in range(40)]

    counts = asyncio.run(run())
    assert min(counts[-10:]) < min(counts[5:15]) * 1.1


def in_groups(groups: int) -> Iterator[Message]:
    """Questions, answers, calls with results, instructions between them, a result without a call."""
    for number in range(groups):
        yield UserMessage("word " * (number % 5))
        if number % 3 == 0:
            yield SystemMessage("Be kind.")
        if number % 2:
            ids = [f"{number}-{at}" for at in range(number % 4)]
            calls = tuple(ToolCall(id=id, function={"name": "look", "arguments": "{}"}) for id in ids)
            yield AssistantMessage(None, name="a", tool_calls=calls)
            for id in ids:
                yield Message(role="tool", content=id, tool_call_id=id)
        if number % 7 == 0:
            yield Message(role="tool", content="lost", tool_call_id="nowhere")
        yield AssistantMessage("answer", name="a")


@pytest.mark.parametrize("budget", [1, 10, 37, 80, 200, 10_000])
def test_a_budget_is_the_same_however_far_back_one_looks_first(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = TokenBudgetStrategy(budget)
    for groups in (0, 1, 8, 21):
        transcript = Conversation(in_groups(groups)).transcript
        monkeypatch.setattr(cuts, "_LOOKED_AT", 10_000)
        whole = tuple(strategy(transcript))
        for looked_at in (1, 2, 3, 7, 20):
            monkeypatch.setattr(cuts, "_LOOKED_AT", looked_at)
            assert tuple(strategy(transcript)) == whole
