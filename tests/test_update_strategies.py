"""Update strategies: how what was said enters the conversation, however a turn ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st

from rxagents import (
    Agent,
    AppendMessagesUpdateStrategy,
    AssistantMessage,
    Block,
    ConfigurationError,
    Conversation,
    InputError,
    Message,
    MessageStream,
    NoopUpdateStrategy,
    OpenAILLM,
    ReplaceLastMessageUpdateStrategy,
    StateUpdate,
    Team,
    Transcript,
    Usage,
    UserMessage,
    Workflow,
    say,
)
from rxagents.engine.emitters import just
from rxagents.operators import last_n, map_tokens
from rxagents.strategies.updates import check_update, entered
from rxagents.testing import Lane, Marbles, OpenAIServer, read_recording
from rxagents.values import message_from

BEFORE = Transcript().with_message(UserMessage("q1")).with_message(AssistantMessage("a1"))


def texts(messages: Any) -> list[str]:
    return [message.text for message in messages]


def said(text: str, **options: Any) -> MessageStream:
    return MessageStream.of(AssistantMessage(text, **options))


def took(strategy: Any, *items: Any, heard: Transcript = BEFORE) -> Block:
    """A turn of these items, at its end."""
    block = entered(check_update("x", strategy), "x", just(*items), heard)
    with Marbles() as marbles:
        marbles.at(0, lambda: block.subscribe(None, lambda error: None))
    assert block.ended
    return block


def after(strategy: Any, *items: Any, heard: Transcript = BEFORE) -> list[str]:
    return texts(heard.fold(took(strategy, *items, heard=heard)))


def backwards(before: tuple[Message, ...], said: tuple[Message, ...]) -> list[Message]:
    return [*said[::-1], *before]


# -- what becomes of the conversation


@pytest.mark.parametrize(
    ("strategy", "one", "two", "nothing"),
    [
        ("append", "q1 a1 x", "q1 a1 x y", "q1 a1"),
        (AppendMessagesUpdateStrategy(), "q1 a1 x", "q1 a1 x y", "q1 a1"),
        (None, "q1 a1 x", "q1 a1 x y", "q1 a1"),
        ("replace_last", "q1 x", "q1 x y", "q1 a1"),
        (ReplaceLastMessageUpdateStrategy(), "q1 x", "q1 x y", "q1 a1"),
        ("none", "q1 a1", "q1 a1", "q1 a1"),
        (NoopUpdateStrategy(), "q1 a1", "q1 a1", "q1 a1"),
        (backwards, "x q1 a1", "y x q1 a1", "q1 a1"),
        (lambda before, said: said[-1:], "x", "y", ""),
        (lambda before, said: (m for m in (*before[:1], *said)), "q1 x", "q1 x y", "q1"),
        (lambda before, said: [], "", "", ""),
    ],
)
def test_what_was_said_enters_as_the_strategy_says(strategy: Any, one: str, two: str, nothing: str) -> None:
    assert after(strategy, said("x")) == one.split()
    assert after(strategy, said("x"), said("y")) == two.split()
    assert after(strategy) == nothing.split()


def test_a_class_of_a_strategy_and_its_name_come_to_the_same() -> None:
    classes: list[tuple[str, Callable[..., Any]]] = [
        ("append", AppendMessagesUpdateStrategy()),
        ("replace_last", ReplaceLastMessageUpdateStrategy()),
        ("none", NoopUpdateStrategy()),
    ]
    for name, strategy in classes:
        for items in ([], [said("x")], [said("x"), said("y")]):
            # as a function of ours and as anybody's
            plain = lambda before, said, strategy=strategy: strategy(before, said)  # noqa: E731
            assert after(name, *items) == after(strategy, *items) == after(plain, *items)


def test_to_append_or_to_replace_is_a_plain_block() -> None:
    for strategy, entry in (("append", "append"), ("replace_last", "replace_last")):
        block = took(strategy, said("x"))
        assert (type(block), block.entry, len(block.items)) == (Block, entry, 1)


def test_what_stays_in_front_is_not_dropped_and_what_changes_nothing_is_not_said() -> None:
    (_, update) = took(lambda before, said: (before[0], *said, before[1]), said("x")).items
    assert (update.kind, update.drop, texts(update.messages)) == ("update", 2, ["x", "a1"])
    assert update.to_dict() == {
        "kind": "update",
        "drop": 2,
        "messages": [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": "a1"}],
    }
    (_, dropped) = took("none", said("x")).items
    assert dropped.to_dict() == {"kind": "update", "drop": 1}
    assert len(took(lambda before, said: (*before, *said), said("x")).items) == 1
    assert took("none").items == ()


def test_variables_usage_and_log_stay_whatever_becomes_of_the_words() -> None:
    state = StateUpdate("x", variables={"a": 1}, usage=Usage(total_tokens=2), log=(("info", "x"),))
    for strategy in ("none", backwards, lambda before, said: []):
        whole = BEFORE.fold(took(strategy, state, said("x", usage=Usage(total_tokens=3))))
        assert (dict(whole.variables), whole.usage.total_tokens) == ({"a": 1}, 5)
        assert whole.log == (("info", "x"),)


def test_blocks_inside_count_with_what_they_came_to() -> None:
    inner = Block("inner", just(said("draft"), Block("again", just(said("better")), entry="replace_last")))
    note = Block("note", just(said("note")), entry="aside")
    assert after(backwards, inner, note, said("x")) == ["x", "better", "q1", "a1"]
    reaching_back = Block("back", just(said("a2")), entry="replace_last")
    assert after("none", reaching_back) == ["q1", "a1"]
    nested = entered(check_update("x", "none"), "inner", just(said("inner")), BEFORE)
    assert after(backwards, said("x"), nested) == ["x", "q1", "a1"]


WORDS = st.lists(st.sampled_from("abc"), max_size=4)
POSITIONS = st.lists(st.integers(0, 7), max_size=8)


@settings(deadline=None)
@given(WORDS, WORDS, POSITIONS)
def test_any_function_gets_the_conversation_that_it_gives(
    before: list[str], words: list[str], positions: list[int]
) -> None:
    heard = Transcript()
    for word in before:
        heard = heard.with_message(UserMessage(word))

    def strategy(there: tuple[Message, ...], new: tuple[Message, ...]) -> list[Message]:
        assert (texts(there), texts(new)) == (before, words)
        return [(*there, *new)[at] for at in positions if at < len(there) + len(new)]

    block = took(strategy, *map(said, words), heard=heard)
    both = [*before, *words]
    assert texts(heard.fold(block)) == [both[at] for at in positions if at < len(both)]
    assert heard.fold_all([*block.items, *block.items, block]) == heard.fold(block)


# -- however it ends


@pytest.mark.parametrize("strategy", ["none", lambda before, said: before])
def test_words_that_were_cut_by_an_error_do_not_enter_either(strategy: Any) -> None:
    failing = lambda _: rx.concat(rx.of("Hel"), rx.throw(ValueError("no")))  # noqa: E731
    workflow = Workflow(Agent("a", failing, update_strategy=strategy))
    result = workflow.run("q")
    assert (result, result.message and result.message.text) == ("agent-error", "Hel")
    assert texts(workflow.conversation) == ["q"]


def test_words_that_were_cut_by_leaving_do_not_enter_either(marbles: Marbles) -> None:
    workflow = Workflow(Agent("a", marbles.llm("Hello-there|"), update_strategy="none"))
    runs: list[Any] = []
    marbles.at(0, lambda: runs.append(workflow.start("q")))
    marbles.at(3, lambda: runs[0].dispose())
    marbles.flush()
    assert runs[0].result == "interrupted"
    assert runs[0].result.text == "Hello"
    assert texts(workflow.conversation) == ["q"]


def test_the_update_comes_when_all_inside_has_ended(marbles: Marbles) -> None:
    block = entered(check_update("x", "none"), "x", marbles.cold("--(m|)\nm  --Hi---|"), BEFORE)
    marbles.expect(rx.of(block), state=True).to_be("""
        (x|)
        x  --m----(<update>|)
        m  --Hi---|
    """)


@pytest.mark.parametrize(
    ("strategy", "error", "told"),
    [
        (lambda before, said: 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda before, said: 5, InputError, "gives the messages that are to be, but it gave int"),
        (lambda before, said: said[0], InputError, "but it gave Message"),
        (lambda before, said: ["x"], InputError, "among them was str; make a Message"),
        (lambda before, said: next(iter([])), RuntimeError, "update_strategy raised StopIteration"),
    ],
)
def test_a_strategy_that_fails_fails_its_block_and_the_words_stay(
    strategy: Any, error: type[Exception], told: str
) -> None:
    answers = lambda _: rx.of("Hi")  # noqa: E731
    workflow = Workflow(Team(answers, [Agent("a", answers, update_strategy=strategy)], "team"))
    result = workflow.run("q")
    assert result == "agent-error"
    assert isinstance(result.error, error)
    assert told in str(result.error)
    assert result.error.__notes__ == ["in team > a > update_strategy"]
    assert texts(workflow.conversation) == ["q", "Hi"]


def test_a_strategy_that_fails_when_its_turn_was_cut_is_told_of(marbles: Marbles) -> None:
    agent = Agent("a", marbles.llm("Hello-|"), update_strategy=lambda before, said: 1 / 0)  # type: ignore[arg-type, return-value]
    runs: list[Any] = []
    marbles.at(0, lambda: runs.append(Workflow(agent).start("q")))
    marbles.at(2, lambda: runs[0].dispose())
    marbles.allow("errors")
    marbles.flush()
    assert [type(error) for error in marbles.errors] == [ZeroDivisionError]
    assert (runs[0].result, runs[0].result.error) == ("interrupted", None)


@pytest.mark.parametrize("strategy", ["appended", 5, NoopUpdateStrategy, ["append"]])
def test_what_is_no_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"agent a: update_strategy is .*; give 'append', 'replace_last'"
    ):
        Agent("a", lambda _: rx.of("x"), update_strategy=strategy)


def test_a_strategy_that_has_to_be_awaited_is_refused() -> None:
    async def later(before: Any, said: Any) -> Any:
        return before

    with pytest.raises(
        ConfigurationError, match=r"update_strategy is <function .*later.*; give .* a plain function"
    ):
        check_update("agent a", later)  # type: ignore[arg-type]


# -- in company


def test_the_words_are_shown_and_the_next_one_does_not_hear_them() -> None:
    heard: list[Any] = []

    def answer(request: Any) -> Any:
        heard.append([message["content"] for message in request.messages])
        return rx.of(f"I am {request.agent}")

    quiet = Agent("quiet", answer, update_strategy="none")
    loud = Agent("loud", answer)
    team = Team(answer, [quiet, loud], "team", allowed_transitions={quiet: [loud]}, max_turns=2)
    team.llm = lambda _: rx.of(json.dumps({"agent_id": "quiet", "reason": ""}))
    workflow = Workflow(team)
    shown = [str(mark) for mark, _ in workflow.run_stream("q")]
    assert shown.count("response") == 2
    assert heard == [["q"], ["q"]]
    assert texts(workflow.conversation) == ["q", "I am loud"]


@pytest.mark.parametrize("strategy", ["none", "replace_last", backwards])
def test_replaying_the_items_of_a_run_gives_its_conversation_again(marbles: Marbles, strategy: Any) -> None:
    conversation = Conversation([UserMessage("zero"), AssistantMessage("none")])
    workflow = Workflow(Agent("a", marbles.llm("Hi-|"), update_strategy=strategy), conversation)
    runs: list[Any] = []
    marbles.at(0, lambda: runs.append(workflow.start("one")))
    marbles.flush()
    again = Conversation()
    for item in runs[0].items:
        again.follow(item)
    assert again.transcript == conversation.transcript == Transcript().fold_all(runs[0].items)


def test_a_transform_behind_an_agent_keeps_its_strategy() -> None:
    agent = Agent("a", lambda _: rx.of("Hi"), update_strategy="none")
    workflow = Workflow(lambda source: source.pipe(agent, map_tokens(str.upper)))
    assert workflow.run("q").text == "HI"
    assert texts(workflow.conversation) == ["q"]


def test_a_transform_behind_an_agent_changes_what_its_strategy_lets_enter() -> None:
    agent = Agent("a", lambda _: rx.of("Hi"), update_strategy=lambda before, said: (*said, *before))
    workflow = Workflow(lambda source: source.pipe(agent, map_tokens(str.upper)))
    workflow.run("q")
    assert texts(workflow.conversation) == ["HI", "q"]


def test_what_was_consumed_is_not_passed_on_with_its_drop() -> None:
    change = StateUpdate("update", variables={"a": 1}, messages=(UserMessage("new"),), drop=1)
    seen: list[Any] = []
    agent = Agent("a", lambda _: rx.of("ok"))
    with Marbles() as marbles:
        marbles.at(0, lambda: say("one", change).pipe(agent).subscribe(seen.append))
    state, block = seen
    assert (state.variables, state.messages, state.drop) == ({"a": 1}, (), 0)
    assert isinstance(block, Block)
    workflow = Workflow(Agent("a", lambda _: rx.of("ok")), Conversation([UserMessage("zero")]))
    workflow.run(["one", change])
    assert texts(workflow.conversation) == ["zero", "new", "ok"]


def test_a_strategy_of_an_agent_that_read_a_part_leaves_the_rest() -> None:
    agent = Agent("a", lambda _: rx.of("Hi"), update_strategy=lambda before, said: [*before[:-1], *said])
    conversation = Conversation([UserMessage(t) for t in ("one", "two")])
    workflow = Workflow(lambda source: source.pipe(last_n(2), agent), conversation)
    workflow.run("three")
    assert texts(workflow.conversation) == ["one", "two", "Hi"]


def test_markers_show_the_update_among_the_state_only() -> None:
    workflow = Workflow(Agent("a", lambda _: rx.of("Hi"), update_strategy="none"))
    shown = [(str(mark), content) for mark, content in workflow.run_stream("q", state=True)]
    assert ("state", {"kind": "update", "drop": 1}) in shown
    assert "state" not in [mark for mark, _ in workflow.run_stream("q")]


# -- recorded


def conversation_of(lane: Lane) -> list[str]:
    """What a recorded run came to, folded from its lanes alone."""
    transcript = Transcript()
    for event in lane.events:
        if event.kind == "open":
            transcript = transcript.fold(item_of(event.value))
        elif event.kind == "state":
            transcript = transcript.fold(state_of(event.detail))
    return texts(transcript)


def state_of(detail: Any) -> StateUpdate:
    entering = tuple(message_from(message) for message in detail.get("messages", ()))
    return StateUpdate(detail["kind"], messages=entering, drop=detail.get("drop", 0))


def item_of(lane: Lane) -> Any:
    if not lane.name:
        assert lane.end is not None
        return MessageStream.of(message_from(lane.end.detail))
    block = Block(lane.name, None, entry=lane.detail["entry"])
    for event in lane.events:
        if event.kind == "open":
            block._items.append(item_of(event.value))
        elif event.kind == "state":
            block._items.append(state_of(event.detail))
    block.ended = True
    return block


@pytest.mark.parametrize("strategy", ["append", "replace_last", "none", backwards])
def test_a_recording_has_what_it_takes_to_fold_it_again(tmp_path: Path, strategy: Any) -> None:
    workflow = Workflow(Agent("a", lambda _: rx.of("Hi"), update_strategy=strategy))
    path = tmp_path / "run.jsonl"
    with workflow.record(path):
        assert workflow.run("q") == "done"
    (run,) = read_recording(path).lane.lanes
    assert conversation_of(run) == texts(workflow.conversation)


def test_the_hook_of_a_recording_sees_the_messages_that_enter(tmp_path: Path) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "messages": [{**m, "content": "(left out)"} for m in body["messages"]]}

    workflow = Workflow(Agent("a", lambda _: rx.of("Hi"), update_strategy=backwards))
    path = tmp_path / "run.jsonl"
    with workflow.record(path, redact=redact):
        workflow.run("secret plan")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (state,) = [line for line in lines if line.get("is") == "state"]
    assert [message["content"] for message in state["data"]["messages"]] == ["(left out)"] * 2
    assert "secret plan" not in path.read_text()


# -- over the wire


def test_drafts_that_replace_one_another_over_the_wire() -> None:
    with OpenAIServer(["draft", "better", "seen"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        writer = Agent("writer", llm)
        editor = Agent("editor", llm, update_strategy="replace_last")
        silent = Agent("silent", llm, update_strategy="none")
        conversation = Conversation()
        for agent in (writer, editor, silent):
            workflow = Workflow(agent, conversation)
            workflow.run("go on" if agent is writer else [])
        assert texts(conversation) == ["go on", "better"]
        sent = [[m["content"] for m in request.body["messages"]] for request in server.requests]
        assert sent == [["go on"], ["go on", "draft"], ["go on", "better"]]
        assert conversation.metrics["total_tokens"] > 0
