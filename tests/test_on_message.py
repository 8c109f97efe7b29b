"""on_message: called once with each message that is complete."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
import reactivex as rx

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    Conversation,
    Message,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    StateUpdate,
    UserMessage,
    Workflow,
    agent,
    on_dropped,
    stream,
)
from rxagents.engine.emitters import just
from rxagents.engine.loops import shared_loop
from rxagents.places import where
from rxagents.testing import Dropped, Marbles, OpenAIServer

from .listening import heard


def parrot(*answers: Any, **options: Any) -> Workflow:
    return Workflow(Agent("parrot", ScriptedLLM(answers)), **options)


def test_each_message_of_a_run_is_told_once_in_the_order_in_which_it_is_complete(marbles: Marbles) -> None:
    slow, quick = marbles.message("---------s|"), marbles.message("-f|")
    told: list[tuple[float, str]] = []
    conversation = Conversation()
    conversation.on_message(lambda message: told.append((asyncio.get_running_loop().time(), message.text)))

    def both(source: Any) -> Any:
        inner = Block("inner", just(slow, StateUpdate("x", messages=(UserMessage("from a state"),))))
        return just(Block("b", just(inner, quick, slow)), Block("hint", just(hint), entry="aside"))

    hint = marbles.message("-----h|")
    workflow = Workflow(both, conversation)
    marbles.expect_markers(workflow.observe("q"), only=["result"]).to_be([(10, "result", "done")])
    marbles.flush()
    assert told == [(0, "q"), (0, "from a state"), (2, "f"), (6, "h"), (10, "s")]
    assert [message.text for message in conversation] == ["q", "s", "from a state", "f"]


def test_a_workflow_tells_of_its_inputs_its_prompt_and_its_answers() -> None:
    told: list[Message] = []
    workflow = parrot("a", "b", system_prompt="S", on_message=told.append)
    workflow.run("q")
    assert [message.text for message in told] == ["S", "q", "a"]
    workflow.conversation.append(UserMessage("by hand"))
    workflow.restart()
    workflow.run(["x", "y"])
    assert [message.text for message in told[3:]] == ["by hand", "S", "x", "y", "b"]
    assert list(workflow.conversation) == told[4:]


def test_it_is_told_on_the_loop_before_any_reader_hears_the_end() -> None:
    order: list[Any] = []
    workflow = parrot(
        "a", on_message=lambda message: order.append((message.text, threading.current_thread()))
    )
    for mark, _ in workflow.run_stream("q"):
        order.append(str(mark))
    loop_thread = next(thread for thread in threading.enumerate() if thread.name == "rxagents-loop")
    assert shared_loop().is_running()
    said = order.index(("a", loop_thread))
    assert said < order.index("response")
    assert ("q", loop_thread) in order


def test_one_that_was_cut_is_told_with_what_had_come_and_one_without_is_none(marbles: Marbles) -> None:
    told: list[tuple[str, str | None]] = []
    conversation = Conversation()
    conversation.on_message(lambda message: told.append((message.text, message.finish_reason)))
    block = Block("b", just(marbles.message("-a----------b|"), marbles.message("------------b|")))
    conversation.follow(block, driven=True)
    marbles.expect(block).to_be(
        """
           (m1 m2)-~
        m1 -a------~
        m2 --------~
        """
    )
    marbles.at(8, block.interrupt)
    marbles.flush()
    assert told == [("a", "interrupted")]


def test_one_that_failed_on_the_wire_is_told_too() -> None:
    told: list[tuple[str, str | None]] = []
    with OpenAIServer([Dropped(3, "one two three")]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(
            Agent("bot", llm), on_message=lambda message: told.append((message.text, message.finish_reason))
        )
        assert workflow.run("q") == "agent-error"
    assert told == [("q", None), ("one two", "error")]
    assert [(message.text, message.finish_reason) for message in workflow.conversation] == told


def test_a_block_that_nobody_is_known_to_hold_is_not_kept_alive(marbles: Marbles) -> None:
    told: list[str] = []
    conversation = Conversation()
    conversation.on_message(lambda message: told.append(message.text))
    block = Block("b", just(marbles.message("-a--b|")))
    conversation.follow(block)
    marbles.expect(block, unsubscribe_at="--!").to_be(
        """
           m--
        m  -a-
        """
    )
    marbles.flush()
    assert block.interrupted
    assert told == ["a"]


def test_what_was_complete_before_is_not_told_and_what_is_open_is(marbles: Marbles) -> None:
    told: list[str] = []
    conversation = Conversation([UserMessage("before")])
    ended, running = MessageStream.of(UserMessage("ended")), marbles.message("---------a|")
    block = Block("b", just(ended, running))
    conversation.follow(block, driven=True)
    marbles.expect(block).to_be(
        """
           (m1 m2)---|
        m1 (ended|)
        m2 ---------a|
        """
    )
    marbles.at(2, lambda: conversation.on_message(lambda message: told.append(message.text)))
    marbles.flush()
    assert told == ["a"]


def test_it_can_be_left_and_there_may_be_several() -> None:
    conversation = Conversation()
    one: list[Message] = []
    other: list[Message] = []
    left = conversation.on_message(one.append)
    conversation.on_message(other.append)
    conversation.append(UserMessage("a"))
    left.dispose()
    left.dispose()
    conversation.append(UserMessage("b"))
    assert [len(one), len(other)] == [1, 2]
    assert conversation.fork().tells is False


def test_a_conversation_that_is_said_in_another_is_told_there() -> None:
    told: list[str] = []
    before = Conversation([UserMessage("a"), AssistantMessage("b")])
    workflow = parrot("c", on_message=lambda message: told.append(message.text))
    workflow.run([before, "q"])
    assert told == ["a", "b", "q", "c"]


# -- coroutines


def test_coroutines_are_awaited_in_order_and_the_run_ends_after_them() -> None:
    told: list[str] = []

    async def on_message(message: Message) -> None:
        for _ in range(5 - 2 * len(told)):
            await asyncio.sleep(0)
        told.append(message.text)

    assert parrot("a", on_message=on_message).run("q") == "done"
    assert told == ["q", "a"]

    async def main() -> None:
        await parrot("b", on_message=on_message).arun("r")

    told.clear()
    asyncio.run(main())
    assert told == ["q", "a"] or told == ["r", "b"]
    assert told == ["r", "b"]


def test_a_program_does_not_end_before_them() -> None:
    program = """
import asyncio
from rxagents import Conversation, UserMessage

async def tell(message):
    await asyncio.sleep(0.05)
    print("told", message)

conversation = Conversation()
conversation.on_message(tell)
conversation.append(UserMessage("a"))
conversation.append(UserMessage("b"))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=50
    )
    assert (ran.stdout, ran.stderr) == ("told a\ntold b\n", "")


# -- errors


@pytest.fixture
def reported() -> Any:
    heard: list[tuple[BaseException, str]] = []
    before = on_dropped(lambda error, what: heard.append((error, what)))
    yield heard
    on_dropped(before)


@pytest.mark.drops
@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_it_raises_is_reported_and_the_run_goes_on(asynchronous: bool, reported: Any) -> None:
    def fail(message: Message) -> None:
        raise ZeroDivisionError(message.text)

    async def fail_later(message: Message) -> None:
        await asyncio.sleep(0)
        fail(message)

    workflow = parrot("a", on_message=fail_later if asynchronous else fail)
    assert workflow.run("q") == "done"
    assert [message.text for message in workflow.conversation] == ["q", "a"]
    assert [(type(error), str(error), where(error), what) for error, what in reported] == [
        (ZeroDivisionError, text, ("on_message",), "`on_message` raised, and the run goes on")
        for text in ("q", "a")
    ]


@pytest.mark.drops
def test_a_loop_that_ends_in_the_midst_of_it_is_reported(reported: Any) -> None:
    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        conversation = Conversation()
        conversation.on_message(never)
        conversation.append(UserMessage("a"))
        conversation.append(UserMessage("b"))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert [type(error).__name__ for error, _ in reported] == ["RunCancelledError"]


@pytest.mark.parametrize("callback", ["text", 7])
def test_what_cannot_be_called_is_refused(callback: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=f"on_message is a {type(callback).__name__}; give a function"
    ):
        Conversation().on_message(callback)
    with pytest.raises(ConfigurationError, match="on_message"):
        parrot(on_message=callback)


# -- depth, and a long conversation


def test_blocks_nested_a_thousand_deep_are_looked_into() -> None:
    told: list[str] = []
    block = Block("b0", just(stream("deep")))
    for n in range(1, 1000):
        block = Block(f"b{n}", just(block))
    heard(block)
    conversation = Conversation()
    conversation.on_message(lambda message: told.append(message.text))
    conversation.follow(block)
    assert told == ["deep"]

    live = Block("b0", just(stream("live")))
    for n in range(1, 1000):
        live = Block(f"b{n}", just(live))
    assert Workflow(lambda source: rx.of(live), conversation).run() == "done"
    assert told == ["deep", "live"]


def test_an_agent_that_begins_needs_no_input() -> None:
    @agent
    def greeter(transcript: Any) -> Any:
        return "Welcome!"

    told: list[str] = []
    workflow = Workflow(greeter, on_message=lambda message: told.append(message.text))
    assert (workflow.run(), told) == ("done", ["Welcome!"])
