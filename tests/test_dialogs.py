"""dialog: a user and an assistant by turns, over a history, until the user leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Block,
    ConfigurationError,
    Conversation,
    MessageStream,
    ModelError,
    OpenAILLM,
    ScriptedLLM,
    StateUpdate,
    User,
    UserMessage,
    as_agent,
)
from rxagents.dialogs import dialog
from rxagents.histories import History, InMemoryHistory
from rxagents.llm.wire import CUT_OFF
from rxagents.testing import HTTPFault, Marbles, OpenAIServer, VirtualClock, virtual
from rxagents.transcripts import Item


class Typing(User):
    """A user that types these lines, one in each second, hears what is said, and then leaves."""

    def __init__(self, *lines: str, pause: float = 1) -> None:
        self.lines = iter(lines)
        self.pause = pause
        self.heard: list[Item] = []
        super().__init__("ann", interaction_function=self._type)

    async def _type(self, prompt: str) -> str:
        await asyncio.sleep(self.pause)
        for line in self.lines:
            return line
        raise EOFError

    def hears(self, item: Item) -> None:
        self.heard.append(item)


def said(conversation: Iterable[Any]) -> list[tuple[str | None, str]]:
    return [(message.name or message.role, message.text) for message in conversation]


def test_they_speak_by_turns_until_the_user_leaves() -> None:
    talk = dialog(Typing("One?", "Two?"), Agent("bot", ScriptedLLM(["One.", "Two."])))
    with VirtualClock() as clock:
        result = clock.run(talk.arun())
    assert result == "agent-stop"
    assert result.text == "Two."
    assert said(talk.conversation) == [("ann", "One?"), ("bot", "One."), ("ann", "Two?"), ("bot", "Two.")]


def test_it_blocks_a_thread_as_well_and_goes_on_from_run_to_run() -> None:
    llm = ScriptedLLM(["One.", "Two."])
    first = iter(["One?"])
    second = iter(["Two?"])
    lines = [first, second]

    def types(prompt: str) -> str:
        for line in lines[0]:
            return line
        raise EOFError

    talk = dialog(User("ann", interaction_function=types), Agent("bot", llm))
    assert talk.run() == "agent-stop"
    lines.pop(0)
    assert talk.run() == "agent-stop"
    assert [text for _, text in said(talk.conversation)] == ["One?", "One.", "Two?", "Two."]
    assert [message["content"] for message in llm.requests[1].messages] == ["One?", "One.", "Two?"]


def test_its_markers_are_those_of_a_loop() -> None:
    seen: list[Any] = []

    async def main() -> None:
        talk = dialog(Typing("Hi"), Agent("bot", ScriptedLLM(["Yes."])))
        async for mark, content in talk.arun_stream():
            if mark in ("start", "end", "response", "result"):
                seen.append((str(mark), content if mark != "response" else content[0]["content"]))

    with VirtualClock() as clock:
        clock.run(main())
    assert seen == [
        ("start", "dialog"), ("start", "ann"), ("response", "Hi"), ("end", "ann"), ("start", "bot"),
        ("response", "Yes."), ("end", "bot"), ("start", "ann"), ("end", "ann"), ("end", "dialog"),
        ("result", "agent-stop"),
    ]  # fmt: skip


@pytest.mark.parametrize("given", [[UserMessage("One?")], [UserMessage("One?", name="ann")]])
def test_who_was_left_without_an_answer_gets_it_first(given: list[Any]) -> None:
    talk = dialog(Typing("Two?"), Agent("bot", ScriptedLLM(["One.", "Two."])), Conversation(given))
    with VirtualClock() as clock:
        clock.run(talk.arun())
    assert [text for _, text in said(talk.conversation)] == ["One?", "One.", "Two?", "Two."]


def test_what_is_put_in_is_answered_first() -> None:
    talk = dialog(Typing("Two?"), Agent("bot", ScriptedLLM(["One.", "Two."])))
    with VirtualClock() as clock:
        clock.run(talk.arun("One?"))
    assert [text for _, text in said(talk.conversation)] == ["One?", "One.", "Two?", "Two."]


def test_after_the_assistants_last_word_the_user_begins() -> None:
    before = Conversation([UserMessage("One?"), AssistantMessage("One.", name="bot")])
    talk = dialog(Typing("Two?"), Agent("bot", ScriptedLLM(["Two."])), before)
    with VirtualClock() as clock:
        clock.run(talk.arun())
    assert talk.conversation is before
    assert [text for _, text in said(before)] == ["One?", "One.", "Two?", "Two."]


def test_a_new_conversation_begins_with_the_system_prompt_and_the_user() -> None:
    llm = ScriptedLLM(["One."])
    talk = dialog(Typing("One?"), Agent("bot", llm), system_prompt="Be brief.")
    with VirtualClock() as clock:
        clock.run(talk.arun())
    assert [m["role"] for m in llm.requests[0].messages] == ["system", "user"]


def test_an_agent_may_be_the_user() -> None:
    asker = Agent("asker", ScriptedLLM(["One?", "Two?"]))
    talk = dialog(asker, Agent("bot", ScriptedLLM(["One.", "Two."])), max_turns=2)
    assert talk.run() == "max-turns"
    assert said(talk.conversation) == [("asker", "One?"), ("bot", "One."), ("asker", "Two?"), ("bot", "Two.")]


def test_an_agents_unanswered_word_is_answered_first() -> None:
    before = Conversation([AssistantMessage("One?", name="asker")])
    asker = Agent("asker", ScriptedLLM([]))
    llm = ScriptedLLM(["One."])
    talk = dialog(asker, Agent("bot", llm), before, until=lambda transcript: len(transcript) > 1)
    assert talk.run() == "done"
    assert said(talk.conversation) == [("asker", "One?"), ("bot", "One.")]


def test_a_stop_of_the_assistant_ends_it_also_in_the_first_answer() -> None:
    def goodbye(source: rx.Observable[Any]) -> rx.Observable[Any]:
        return rx.of(MessageStream(rx.of("Bye.")), StateUpdate("stop", stop="bye"))

    talk = dialog(Typing("One?"), as_agent("bot", goodbye))
    with VirtualClock() as clock:
        assert clock.run(talk.arun()) == "agent-stop"
        assert clock.run(talk.arun("Again?")) == "agent-stop"
    assert [text for _, text in said(talk.conversation)] == ["One?", "Bye.", "Again?", "Bye."]


def test_it_ends_when_it_is_told_to() -> None:
    talk = dialog(
        Typing("One?", "Two?", "Three?"),
        Agent("bot", ScriptedLLM(["One.", "Two."])),
        until=lambda transcript: transcript[-1].text == "Two.",
    )
    with VirtualClock() as clock:
        assert clock.run(talk.arun()) == "done"
    assert len(talk.conversation) == 4


def test_the_user_hears_the_reply_as_it_begins(marbles: Marbles) -> None:
    user = Typing("Hi")
    talk = dialog(user, Agent("bot", marbles.llm("--Oh|")))
    times: list[Any] = []
    user.hears = lambda item: times.append(  # type: ignore[method-assign]
        (asyncio.get_running_loop().time(), type(item), isinstance(item, Block) and item.ended)
    )
    marbles.expect(talk.observe().pipe(ops.filter(lambda m: m[0] == "result"), ops.map(str))).to_be(
        "------(r|)", r="('result', 'agent-stop')"
    )
    marbles.flush()
    assert times[0] == (1, Block, False)


def test_a_wish_cuts_the_reply_and_the_user_is_asked_again(marbles: Marbles) -> None:
    user = Typing("One?", "Two?")
    user.interrupts = marbles.hot("---x")
    llm = marbles.llm("-a-b-c-d|", "Two.|")
    talk = dialog(user, Agent("bot", llm))
    ended = talk.observe().pipe(ops.filter(lambda m: m[0] == "result"), ops.map(lambda m: m[1]))
    marbles.expect(ended).to_be("---------(r|)", r="agent-stop")
    marbles.flush()
    assert [(m.text, m.finish_reason) for m in talk.conversation if m.name == "bot"] == [
        ("a", "interrupted"),
        ("Two.", "stop"),
    ]
    assert [m["content"] for m in llm.requests[1].messages] == ["One?", "a", CUT_OFF, "Two?"]


def test_a_wish_before_the_first_word_leaves_the_question_and_asks_again(marbles: Marbles) -> None:
    user = Typing("One?", "Two?")
    user.interrupts = marbles.hot("--x")
    llm = marbles.llm("----a|", "Two.|")
    talk = dialog(user, Agent("bot", llm))
    ended = talk.observe().pipe(ops.filter(lambda m: m[0] == "result"), ops.map(lambda m: m[1]))
    marbles.expect(ended).to_be("--------(r|)", r="agent-stop")
    marbles.flush()
    assert [m["content"] for m in llm.requests[1].messages if m["role"] == "user"] == ["One?", "Two?"]


@virtual
async def test_a_reply_that_failed_ends_the_run_and_is_not_tried_again_by_itself() -> None:
    llm = ScriptedLLM([ModelError("no"), "Two."])
    talk = dialog(Typing("One?", "Two?"), Agent("bot", llm))
    result = await talk.arun()
    assert result == "agent-error"
    assert str(result.error) == "no"
    assert await talk.arun() == "agent-stop"
    assert [m["content"] for m in llm.requests[1].messages] == ["One?", "Two?"]


@virtual
async def test_another_dialog_on_the_same_history_tries_again() -> None:
    llm = ScriptedLLM([ModelError("no"), "One.", "Two."])
    history = InMemoryHistory()
    assert await dialog(Typing("One?"), Agent("bot", llm), history).arun() == "agent-error"
    again = dialog(Typing("Two?"), Agent("bot", llm), history)
    assert await again.arun() == "agent-stop"
    assert [text for _, text in said(again.conversation)] == ["One?", "One.", "Two?", "Two."]


@virtual
async def test_the_same_words_put_in_again_are_answered_again() -> None:
    llm = ScriptedLLM([ModelError("no"), "One."])
    talk = dialog(Typing(), Agent("bot", llm))
    assert await talk.arun("One?") == "agent-error"
    talk.restart()
    assert await talk.arun("One?") == "agent-stop"
    assert [text for _, text in said(talk.conversation)] == ["One?", "One."]


@pytest.mark.parametrize("name", ["chat.md", "chat.db", "chat.SQLITE"])
def test_a_file_keeps_it_over_the_wire_and_a_new_dialog_goes_on(tmp_path: Path, name: str) -> None:
    with OpenAIServer(["One.", "Two."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        for line in ("One?", "Two?"):
            with dialog(Typing(line, pause=0), Agent("bot", llm), tmp_path / name) as talk:
                assert talk.run() == "agent-stop"
        asked = server.requests[1].body["messages"]
    assert [message["content"] for message in asked] == ["One?", "One.", "Two?"]
    with dialog(Typing(pause=0), Agent("bot", llm), str(tmp_path / name)) as talk:
        assert [text for _, text in said(talk.conversation)] == ["One?", "One.", "Two?", "Two."]


@pytest.mark.parametrize("name", ["chat.md", "chat.db"])
def test_a_file_that_ends_with_the_users_word_is_answered_first(tmp_path: Path, name: str) -> None:
    with OpenAIServer([HTTPFault(400, message="no"), "One.", "Two."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        with dialog(Typing("One?", pause=0), Agent("bot", llm), tmp_path / name) as talk:
            assert talk.run() == "agent-error"
        with dialog(Typing("Two?", pause=0), Agent("bot", llm), tmp_path / name) as talk:
            assert talk.run() == "agent-stop"
            assert [text for _, text in said(talk.conversation)] == ["One?", "One.", "Two?", "Two."]


@pytest.mark.parametrize("name", ["chat.md", "chat.db"])
def test_a_file_does_not_make_a_failed_reply_tried_again(tmp_path: Path, name: str) -> None:
    llm = ScriptedLLM([ModelError("no"), "Two."])
    with dialog(Typing("One?", "Two?", pause=0), Agent("bot", llm), tmp_path / name) as talk:
        assert talk.run() == "agent-error"
        assert talk.run() == "agent-stop"
    assert [m["content"] for m in llm.requests[1].messages] == ["One?", "Two?"]


class Closing(InMemoryHistory):
    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_history_that_was_given_is_left_open() -> None:
    history = Closing()
    assert isinstance(history, History)
    with dialog(Typing(pause=0), Agent("bot", ScriptedLLM([])), history) as talk:
        assert talk.conversation is history.load()
    assert not history.closed


def test_while_a_thread_waits_the_user_is_attended() -> None:
    seen: list[tuple[str, threading.Thread]] = []

    class Attended(Typing):
        def attending(self) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def around() -> Any:
                seen.append(("in", threading.current_thread()))
                yield
                seen.append(("out", threading.current_thread()))

            return around()

    main = threading.current_thread()
    dialog(Attended(pause=0), Agent("bot", ScriptedLLM([]))).run()
    assert seen == [("in", main), ("out", main)]
    with VirtualClock() as clock:
        clock.run(dialog(Attended(), Agent("bot", ScriptedLLM([]))).arun())
    assert [word for word, _ in seen] == ["in", "out"] * 2


@given(st.lists(st.sampled_from(["answer", "fail", "cut"]), max_size=6))
@settings(deadline=None, max_examples=30)
def test_nothing_that_was_said_is_lost_whatever_becomes_of_the_replies(fates: list[str]) -> None:
    def llm(request: Any) -> rx.Observable[Any]:
        number = sum(m["role"] == "user" for m in request.messages)
        fate = fates[number - 1]
        words = rx.of(f"Word {number}")
        if fate == "fail":
            return rx.concat(words, rx.throw(ModelError("no")))
        return rx.concat(words, rx.never()) if fate == "cut" else words

    wishes: rx.Subject[None] = rx.Subject()
    user = Typing(*(f"Ask {number}" for number in range(1, len(fates) + 1)))
    user.interrupts = wishes
    talk = dialog(user, Agent("bot", llm))

    async def main() -> str:
        loop = asyncio.get_running_loop()
        # half a second after each line, so that it meets a reply that goes on, and nothing else
        ticking = [loop.call_at(step + 0.5, wishes.on_next, None) for step in range(60)]
        result = await talk.arun()
        while result.error is not None:
            result = await talk.arun()
        for tick in ticking:
            tick.cancel()
        return str(result)

    with VirtualClock() as clock:
        clock.run(main())
    asked = [m.text for m in talk.conversation if m.role == "user"]
    assert asked == [f"Ask {number}" for number in range(1, len(fates) + 1)]
    answered = [m.text for m in talk.conversation if m.name == "bot"]
    assert answered == [
        f"Word {number}"
        for number, fate in enumerate(fates, 1)
        if fate != "fail" or f"Word {number}" in answered
    ]
    reasons = [
        m.finish_reason for m in talk.conversation if m.name == "bot" and m.finish_reason == "interrupted"
    ]
    assert len(reasons) == fates.count("cut")


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: dialog("ann", Agent("bot", ScriptedLLM([]))), "user is a str; give an Agent, a User"),  # type: ignore[arg-type]
    (lambda: dialog(User(), lambda source: source), "assistant is a function; give an Agent"),  # type: ignore[arg-type]
    (lambda: dialog(User("bot"), Agent("bot", ScriptedLLM([]))), "two steps have the id 'bot'"),
    (lambda: dialog(User(), Agent("bot", ScriptedLLM([])), "chat.txt"), "'chat.txt'; name a file that ends"),
    (lambda: dialog(User(), Agent("bot", ScriptedLLM([])), 7), "history is a int; give"),  # type: ignore[arg-type]
    (lambda: dialog(User(), Agent("bot", ScriptedLLM([])), id="a b"), "the id 'a b'"),
    (lambda: dialog(User(), Agent("bot", ScriptedLLM([])), max_turns=0), "max_turns is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_what_will_not_do_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()
