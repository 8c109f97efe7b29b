"""Histories: a conversation goes on in another workflow, and in another process, wherever it is kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    Conversation,
    History,
    InMemoryHistory,
    MarkdownHistory,
    Message,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    SQLiteHistory,
    StateUpdate,
    Usage,
    UserMessage,
    Workflow,
    WorkflowBusyError,
    on_dropped,
)
from rxagents.engine.emitters import just
from rxagents.llm import Reply
from rxagents.testing import Dropped, Marbles, OpenAIServer
from rxagents.values import ToolCall

from .listening import heard

Kept: TypeAlias = Callable[[], Any]


class Graded(Message):
    grade: float = 0
    page: str = ""


@pytest.fixture(params=["memory", "markdown", "sqlite"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Makes a history; each one is of the same conversation."""
    if request.param == "memory":
        memory = InMemoryHistory()
        return lambda: memory
    if request.param == "markdown":
        return lambda: MarkdownHistory(tmp_path / "chat.md")
    return lambda: SQLiteHistory(tmp_path / "chats.db", "ada")


@pytest.fixture(params=["markdown", "sqlite"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Like `kept`, of those that outlive the program."""
    if request.param == "markdown":
        return lambda: MarkdownHistory(tmp_path / "chat.md")
    return lambda: SQLiteHistory(tmp_path / "chats.db", "ada")


def words(conversation: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation]


def parrot(*answers: Any, **options: Any) -> Workflow:
    return Workflow(Agent("parrot", ScriptedLLM(answers)), **options)


def reloaded(history: Any, make: Kept) -> Any:
    """What a new history of the same conversation holds."""
    history.close()
    other = make()
    transcript = other.load().transcript
    other.close()
    return transcript


# -- a conversation goes on


def test_a_second_workflow_goes_on_with_it(kept: Kept) -> None:
    history = kept()
    assert isinstance(history, History)
    first = parrot(Reply("b", usage=Usage(total_tokens=3)), history=history, system_prompt="S")
    assert first.run("a") == "done"
    first.conversation.update({"x": {"y": [1]}})
    history.close()
    history = kept()
    second = parrot("d", history=history, system_prompt="S")
    assert second.conversation.transcript == first.conversation.transcript
    assert second.run("c") == "done"
    expected = [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    assert words(second.conversation) == expected
    assert dict(second.conversation.variables) == {"x": {"y": [1]}}
    assert reloaded(history, kept) == second.conversation.transcript


def test_a_run_without_an_input_answers_what_was_left_unanswered(kept: Kept) -> None:
    history = kept()
    parrot(history=history).conversation.append(UserMessage("Are you there?"))
    history.close()
    history = kept()
    workflow = parrot("Yes.", history=history)
    assert workflow.run().text == "Yes."
    assert words(workflow.conversation) == [("user", "Are you there?"), ("assistant", "Yes.")]
    history.close()


def test_restart_forgets_what_was_kept(kept: Kept) -> None:
    history = kept()
    workflow = parrot("b", "d", history=history)
    workflow.run("a")
    workflow.restart()
    assert words(workflow.conversation) == []
    workflow.run("c")
    assert words(reloaded(history, kept)) == [("user", "c"), ("assistant", "d")]


def test_another_conversation_can_take_its_place(kept: Kept) -> None:
    history = kept()
    workflow = parrot("d", history=history)
    workflow.conversation.append(UserMessage("old"))
    other = Conversation([UserMessage("a"), AssistantMessage("b", usage=Usage(total_tokens=2))], {"x": 1})
    other.follow(StateUpdate("log", log=(("info", "z"),)))
    workflow.conversation = other
    assert workflow.conversation is other
    workflow.run("c")
    assert reloaded(history, kept) == other.transcript
    assert [message.text for message in other] == ["a", "b", "c", "d"]


def test_a_conversation_is_taken_by_a_history_that_is_empty(kept: Kept) -> None:
    history = kept()
    conversation = Conversation([UserMessage("a")])
    workflow = parrot("b", conversation=conversation, history=history)
    workflow.run()
    assert reloaded(history, kept) == conversation.transcript
    history = kept()
    with pytest.raises(
        ConfigurationError, match="the history holds a conversation already; give the workflow"
    ):
        parrot(conversation=Conversation([UserMessage("x")]), history=history)
    history.close()


def test_its_messages_are_told_and_its_old_ones_are_not(kept: Kept) -> None:
    history = kept()
    parrot("b", history=history).run("a")
    history.close()
    told: list[str] = []
    history = kept()
    workflow = parrot("d", history=history, on_message=lambda message: told.append(message.text))
    workflow.run("c")
    assert told == ["c", "d"]
    history.close()


@pytest.mark.parametrize("history", ["chat.md", 7, Conversation()])
def test_what_is_no_history_is_refused(history: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"history is a {type(history).__name__}; give one, such as"):
        parrot(history=history)


def test_a_run_that_is_going_on_keeps_its_history(stored: Kept, marbles: Marbles) -> None:
    history = stored()
    workflow = Workflow(Agent("a", marbles.llm("--b--|")), history=history)
    marbles.expect_markers(workflow.observe("q"), only=["result"]).to_be([(5, "result", "done")])

    def restart() -> None:
        with pytest.raises(WorkflowBusyError):
            workflow.restart()

    marbles.at(3, restart)
    marbles.flush()
    assert words(reloaded(history, stored)) == [("user", "q"), ("assistant", "b")]


# -- what is kept


def test_interrupted_and_failed_messages_are_kept_as_such(stored: Kept) -> None:
    history = stored()
    with OpenAIServer([Dropped(3, "one two three"), "four"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("bot", llm), history=history)
        assert workflow.run("q") == "agent-error"
        before = workflow.conversation.transcript
        assert (before[-1].text, before[-1].finish_reason) == ("one two", "error")
        assert reloaded(history, stored) == before
        history = stored()
        again = Workflow(Agent("bot", llm), history=history)
        assert again.run().text == "four"
        sent = server.requests[-1].body["messages"]
        assert [message["content"] for message in sent] == ["q", "one two"]
    assert reloaded(history, stored) == again.conversation.transcript


def test_one_that_was_disposed_is_kept_with_what_had_come(stored: Kept, marbles: Marbles) -> None:
    history = stored()
    workflow = Workflow(Agent("a", marbles.llm("--b--c|")), history=history)
    marbles.expect_markers(workflow.observe("q"), only=["delta"], unsubscribe_at=4).to_be([(2, "delta", "b")])
    marbles.flush()
    (question, answer) = reloaded(history, stored)
    assert (question.text, answer.text, answer.finish_reason) == ("q", "b", "interrupted")


def test_messages_that_end_in_another_order_stay_in_theirs(stored: Kept, marbles: Marbles) -> None:
    history = stored()
    conversation = history.load()
    slow, quick = marbles.message("---------s|"), marbles.message("-f|")
    hint = marbles.message("---h|")
    inner = Block("inner", just(slow, StateUpdate("variables", variables={"x": 1})))
    conversation.follow(StateUpdate("variables", variables={"x": 0, "y": 0}))

    def both(source: Any) -> Any:
        return just(Block("b", just(inner, quick)), Block("hint", just(hint), entry="aside"))

    marbles.expect_markers(Workflow(both, history=history).observe(), only=["result"]).to_be(
        [(10, "result", "done")]
    )
    seen: list[Any] = []
    if isinstance(history, SQLiteHistory):
        read = lambda: words(SQLiteHistory.read(history.path, "ada"))  # noqa: E731
        marbles.at(3, lambda: seen.append(read()))
    marbles.flush()
    assert seen in ([], [[("assistant", "f")]])
    assert words(conversation) == [("assistant", "s"), ("assistant", "f")]
    assert dict(conversation.variables) == {"x": 1, "y": 0}
    assert reloaded(history, stored) == conversation.transcript


def test_what_a_turn_replaces_is_replaced_there(stored: Kept) -> None:
    history = stored()
    conversation = history.load()
    for item in (
        MessageStream.of(UserMessage("q")),
        MessageStream.of(AssistantMessage("draft", usage=Usage(total_tokens=5))),
        StateUpdate("variables", variables={"x": 1}),
    ):
        conversation.follow(item)
    better = Block("editor", just(MessageStream.of(AssistantMessage("final"))), entry="replace_last")
    heard(better)
    conversation.follow(better)
    assert words(conversation) == [("user", "q"), ("assistant", "final")]
    conversation.follow(
        StateUpdate("summary", drop=2, messages=(AssistantMessage("in short", usage=Usage(total_tokens=9)),))
    )
    conversation.append(UserMessage("r"))
    assert words(conversation) == [("assistant", "in short"), ("user", "r")]
    assert conversation.metrics["total_tokens"] == 5
    assert reloaded(history, stored) == conversation.transcript


def test_metrics_log_and_steps_are_kept(stored: Kept) -> None:
    history = stored()
    conversation = history.load()
    conversation.append(
        Message(
            role="assistant", content="It is 7.", name="bot", refusal=None, finish_reason="stop",
            usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3),
            tool_calls=(ToolCall(id="c2", function={"name": "f", "arguments": "{}"}),),
            steps=(Message(role="tool", content="7 --> 8", tool_call_id="c1"), Graded(role="tool", grade=1)),
            metadata={"model": "gpt-4o-mini", "reasoning": "…"},
        )
    )  # fmt: skip
    conversation.append(
        UserMessage([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}])
    )
    conversation.append(Graded(role="assistant", content=None, grade=2.5, page="p"))
    conversation.follow(
        StateUpdate("usage", usage=Usage(total_tokens=4), log=(("info", "team/stop", [1, None]),))
    )
    again = reloaded(history, stored)
    assert again == conversation.transcript
    assert [type(message) for message in again] == [Message, Message, Graded]
    assert again.metrics["total_tokens"] == 7


def test_another_conversation_that_is_said_is_kept_and_not_twice(stored: Kept) -> None:
    history = stored()
    other = Conversation([UserMessage("a"), AssistantMessage("b", usage=Usage(total_tokens=2))], {"x": 1})
    workflow = parrot("c", "d", history=history)
    workflow.run([other, "q"])
    workflow.run([other, "r"])
    assert [message.text for message in workflow.conversation] == ["a", "b", "q", "c", "r", "d"]
    assert reloaded(history, stored) == workflow.conversation.transcript


@pytest.mark.drops
def test_what_is_no_json_is_left_out_and_reported(stored: Kept) -> None:
    reports: list[str] = []
    before = on_dropped(lambda error, what: reports.append(f"{type(error).__name__}: {error}"))
    try:
        history = stored()
        conversation = history.load()
        conversation.update({"bad": object(), "good": 1})
        conversation.append(UserMessage("a", metadata={"bad": {1, object()}, "good": 2}))
        again = reloaded(history, stored)
    finally:
        on_dropped(before)
    assert (dict(again.variables), again[0].metadata) == ({"good": 1}, {"good": 2})
    why = "which is no JSON data; a history stores only what is"
    assert reports == [
        f"HistoryError: the variable 'bad' is of the type object, {why}",
        f"HistoryError: the metadata 'bad' of a message is of the type set, {why}",
    ]


# -- whatever it is made of

LINES = [
    "user", "assistant / gpt", "User ", " tool", "bot", "====", "=====", "\\====", "\\\\=====", "   ===",
    "---", "-----", "<!-- rxagents {} -->", "<!-- rxagents also {} -->", "\\<!-- rxagents {", "-->", "", " ",
    "\t", "\r", "a", "a\r", "# user", "```", "\\", "é👋", "\x0b", "\u2028", "\x1c", "\x85x",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(LINES) | st.text(max_size=4), max_size=7).map("\n".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("--> \ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.none() | st.text(max_size=4)
USAGES = st.none() | st.builds(Usage, total_tokens=st.integers(0, 9))
PARTS = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS) | st.just({"type": "image_url"}), max_size=3
)
FIELDS: dict[str, Any] = {
    "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]),
    "content": TEXTS | st.none() | PARTS,
    "name": NAMES,
    "finish_reason": st.sampled_from([None, "stop", "interrupted", "error"]),
    "usage": USAGES,
    "metadata": st.dictionaries(st.text(max_size=3) | st.just("model"), JSON | TEXTS, max_size=2),
}
MESSAGES = st.builds(Message, **FIELDS) | st.builds(
    Graded, **FIELDS, grade=st.floats(0, 9), page=st.text(max_size=3)
)
VARIABLES = st.dictionaries(st.text(max_size=3), JSON, max_size=2)
LEAVES = (
    MESSAGES.map(MessageStream.of)
    | st.builds(
        StateUpdate,
        variables=st.none() | VARIABLES,
        usage=USAGES,
        log=st.lists(st.tuples(st.text(max_size=3), JSON), max_size=2).map(tuple),
        messages=st.lists(MESSAGES, max_size=2).map(tuple),
        drop=st.sampled_from([0, 0, 0, 1, 2]),
    )
    | st.builds(Conversation, st.lists(MESSAGES, max_size=2), VARIABLES).map(lambda said: said.transcript)
)
ENTRIES = st.sampled_from(["append", "append", "replace_last", "aside"])
ITEMS = st.recursive(LEAVES, lambda inner: st.tuples(st.lists(inner, max_size=3), ENTRIES), max_leaves=6)


def item_of(drawn: Any) -> Any:
    if isinstance(drawn, tuple):
        items, entry = drawn
        block = Block("b", just(*map(item_of, items)), entry=entry)
        heard(block)
        return block
    return drawn


@settings(deadline=None, max_examples=60)
@given(st.lists(ITEMS, max_size=5), st.lists(ITEMS, max_size=2), st.sampled_from(["markdown", "sqlite"]))
def test_whatever_is_said_comes_back(
    tmp_path_factory: pytest.TempPathFactory, first: list[Any], then: list[Any], kind: str
) -> None:
    path = tmp_path_factory.mktemp("histories") / "file"

    def make() -> Any:
        return MarkdownHistory(path) if kind == "markdown" else SQLiteHistory(path)

    history = make()
    conversation = history.load()
    for item in map(item_of, first):
        conversation.follow(item)
    assert reloaded(history, make) == conversation.transcript
    history = make()
    restored = history.load()
    for item in map(item_of, then):
        conversation.follow(item)
        restored.follow(item)
    assert restored.transcript == conversation.transcript
    assert reloaded(history, make) == conversation.transcript


# -- over the wire, in two processes

CHILD = """
import sys
from rxagents import Agent, MarkdownHistory, OpenAILLM, SQLiteHistory, Workflow

url, kind, path, said = sys.argv[1:]
llm = OpenAILLM("gpt-test", base_url=url, api_key="any")
with MarkdownHistory(path) if kind == "markdown" else SQLiteHistory(path, "ada") as history:
    print(Workflow(Agent("bot", llm), history=history, system_prompt="S").run(said).text)
"""


@pytest.mark.parametrize("kind", ["markdown", "sqlite"])
def test_it_goes_on_in_another_process_over_the_wire(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    with OpenAIServer(["one", "two", "three"]) as server:

        def child(said: str) -> str:
            ran = subprocess.run(
                [sys.executable, "-W", "error", "-c", CHILD, server.base_url, kind, str(path), said],
                capture_output=True, text=True, timeout=50,
            )  # fmt: skip
            assert ran.stderr == ""
            return ran.stdout.strip()

        assert [child("a"), child("b")] == ["one", "two"]
        history: Any = MarkdownHistory(path) if kind == "markdown" else SQLiteHistory(path, "ada")
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("bot", llm), history=history)
        assert asyncio.run(arun(workflow, "c")) == "three"
        asked = [[message["content"] for message in request.body["messages"]] for request in server.requests]
    assert asked == [["S", "a"], ["S", "a", "one", "b"], ["S", "a", "one", "b", "two", "c"]]
    assert json.dumps(
        reloaded(history, lambda: type(history)(path, *(["ada"] if kind == "sqlite" else []))).metrics
    ) == (json.dumps(workflow.conversation.metrics))


async def arun(workflow: Workflow, said: str) -> str:
    return (await workflow.arun(said)).text


def test_one_in_memory_goes_on_over_the_wire() -> None:
    history = InMemoryHistory(Conversation([UserMessage("a")]))
    with OpenAIServer(["one", "two"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        Workflow(Agent("bot", llm), history=history).run()
        assert Workflow(Agent("bot", llm), history=history).run("b").text == "two"
        assert [message["content"] for message in server.requests[1].body["messages"]] == ["a", "one", "b"]
    assert repr(history) == "<InMemoryHistory of 4 messages>"
