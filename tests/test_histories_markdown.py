"""MarkdownHistory: a page that a person can read and edit, and that resumes the dialog."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxagents import (
    Agent,
    AssistantMessage,
    ConfigurationError,
    Conversation,
    HistoryError,
    MarkdownHistory,
    Message,
    OpenAILLM,
    ScriptedLLM,
    StateUpdate,
    Usage,
    UserMessage,
    Workflow,
    on_dropped,
)
from rxagents.llm import Reply
from rxagents.testing import Marbles, OpenAIServer


def said(path: Path | str) -> list[tuple[str, str | None, str]]:
    return [(message.role, message.name, message.text) for message in MarkdownHistory(path).load()]


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def parrot(path: Path, *answers: Any) -> Workflow:
    return Workflow(Agent("parrot", ScriptedLLM(answers)), history=MarkdownHistory(path))


PAGE = """
user
========================================
Where is my order?

assistant / gpt-4o-mini
========================================
<!-- rxagents {"name": "bot", "finish_reason": "stop", "usage": {"total_tokens": 3}} -->
It is **on its way**:

- today

<!-- rxagents also {"variables": {"order": 214}} -->
"""


def test_the_page_is_this(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    conversation = MarkdownHistory(path).load()
    assert not path.exists()
    conversation.append(UserMessage("Where is my order?"))
    conversation.append(
        AssistantMessage(
            "It is **on its way**:\n\n- today", name="bot", finish_reason="stop", usage=Usage(total_tokens=3),
            metadata={"model": "gpt-4o-mini"},
        )
    )  # fmt: skip
    conversation.update({"order": 214})
    assert path.read_text() == PAGE
    assert MarkdownHistory(path).load().transcript == conversation.transcript
    assert repr(MarkdownHistory(path)) == f"<MarkdownHistory {path}>"


def test_the_model_that_answered_over_the_wire_stands_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    with OpenAIServer(["Hello."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        Workflow(Agent("bot", llm), history=MarkdownHistory(path)).run("Hi")
    assert path.read_text().startswith(
        f"\nuser\n{'=' * 40}\nHi\n\nassistant / gpt-test\n{'=' * 40}\n<!-- rxagents {{"
    )
    assert path.read_text().endswith(" -->\nHello.\n")


# -- both layouts of MiniAgents

EQUALS = """
user
========================================
What sets it apart?

assistant / claude-3-5-sonnet-20240620
========================================
1. It streams.

   ```
   code
   ```

 System
===
Be brief.
"""

DASHES = """
USER
-------------------------------
Hello
---
A rule is above, and a title below

Title here
----------

research_agent / gpt-4o
-------------------------------

Hi!


SYSTEM
----
Be brief.
"""


def test_the_layout_with_roles_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.md", EQUALS)
    conversation = MarkdownHistory(path).load()
    assert list(conversation) == [
        Message(role="user", content="What sets it apart?"),
        Message(
            role="assistant", content="1. It streams.\n\n   ```\n   code\n   ```",
            metadata={"model": "claude-3-5-sonnet-20240620"},
        ),
        Message(role="system", content="Be brief."),
    ]  # fmt: skip


def test_the_layout_with_names_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.md", DASHES)
    text = "Hello\n---\nA rule is above, and a title below\n\nTitle here\n----------"
    conversation = MarkdownHistory(path).load()
    assert list(conversation) == [
        Message(role="user", content=text),
        Message(role="assistant", name="research_agent", content="Hi!", metadata={"model": "gpt-4o"}),
        Message(role="system", content="Be brief."),
    ]


def test_the_layout_with_names_is_gone_on_with_in_the_other(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.md", "ada\n---\nHello\n")
    parrot(path, "Fine:\n\nThanks\n------").run("How are you?")
    assert path.read_text().startswith("ada\n---\nHello\n\nuser\n====")
    assert said(path) == [
        ("assistant", "ada", "Hello"),
        ("user", None, "How are you?"),
        ("assistant", "parrot", "Fine:\n\nThanks\n------"),
    ]


# -- edited by hand


def test_what_is_edited_between_two_turns_holds(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    workflow = parrot(path, Reply("a mistake", usage=Usage(total_tokens=3)), "b", "c")
    told: list[str] = []
    workflow.run("q")
    first = workflow.conversation
    first.on_message(lambda message: told.append(message.text))
    page = path.read_text().replace("a mistake", "no mistake\n\nat all")
    path.write_text(page + "\nuser / me\n===\nadded by hand")
    assert workflow.run("r") == "done"
    texts = ["q", "no mistake\n\nat all", "added by hand", "r", "b"]
    assert [message.text for message in workflow.conversation] == texts
    assert workflow.conversation is not first
    assert told == []
    assert workflow.conversation[1].usage == Usage(total_tokens=3)
    path.write_text("")
    workflow.run("s")
    assert [message.text for message in workflow.conversation] == ["s", "c"]
    assert [text for _, _, text in said(path)] == ["s", "c"]


def test_what_was_not_edited_is_the_same_conversation(tmp_path: Path) -> None:
    workflow = parrot(tmp_path / "chat.md", "a", "b")
    workflow.run("q")
    first = workflow.conversation
    workflow.run("r")
    assert workflow.conversation is first


def test_what_is_edited_during_a_run_stays_and_holds_from_the_next_one_on(
    tmp_path: Path, marbles: Marbles
) -> None:
    path = tmp_path / "chat.md"
    workflow = Workflow(Agent("a", marbles.llm("---b|")), history=MarkdownHistory(path))
    marbles.expect_markers(workflow.observe("q"), only=["result"]).to_be([(4, "result", "done")])
    marbles.at(2, lambda: path.write_text(path.read_text().replace("\nq\n", "\nq, edited")))
    marbles.flush()
    assert [text for _, _, text in said(path)] == ["q, edited", "b"]
    assert [message.text for message in workflow.conversation] == ["q", "b"]
    workflow.askable = Agent("c", ScriptedLLM(["d"]))
    workflow.run()
    assert [message.text for message in workflow.conversation] == ["q, edited", "b", "d"]


def test_an_editor_may_change_the_ends_of_lines_and_put_a_mark_before_them(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    parrot(path, "two\n\nlines").run("q")
    before = MarkdownHistory(path).load().transcript
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert MarkdownHistory(path).load().transcript == before


def test_comments_may_go_and_may_move(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    written(path, PAGE.replace('<!-- rxagents {"name": "bot"', '\n\n<!-- rxagents {"name": "bot"'))
    assert said(path)[1] == ("assistant", "bot", "It is **on its way**:\n\n- today")
    written(path, "\n".join(line for line in PAGE.split("\n") if "rxagents" not in line))
    conversation = MarkdownHistory(path).load()
    assert conversation[1] == Message(
        role="assistant", content="It is **on its way**:\n\n- today", metadata={"model": "gpt-4o-mini"}
    )
    assert (dict(conversation.variables), conversation.metrics["total_tokens"]) == ({}, 0)


def test_the_text_of_parts_can_be_edited_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    conversation = MarkdownHistory(path).load()
    conversation.append(UserMessage([{"type": "text", "text": "Look"}, image]))
    conversation.append(AssistantMessage(None))
    assert MarkdownHistory(path).load().transcript == conversation.transcript
    written(path, path.read_text().replace("\nLook\n", "\nLook here\n"))
    assert MarkdownHistory(path).load()[0].content == [{"type": "text", "text": "Look here"}, image]


def test_what_stands_before_the_first_message_stays(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.md", "# My chat\n\nWith notes.\n\nuser\n====\nq\n\nassistant\n===\na\n")
    history = MarkdownHistory(path)
    conversation = history.load()
    conversation.append(UserMessage("r"))
    conversation.follow(StateUpdate("x", drop=2, messages=(AssistantMessage("b"),)))
    assert path.read_text() == f"# My chat\n\nWith notes.\n\nuser\n====\nq\n\nassistant\n{'=' * 40}\nb\n"
    assert history.load() is conversation
    assert os.listdir(tmp_path) == ["chat.md"]


# -- written as messages end


def test_each_message_is_there_when_it_has_ended_and_all_before_it_have(
    tmp_path: Path, marbles: Marbles
) -> None:
    path = tmp_path / "chat.md"
    slow, quick = marbles.message("---s--|"), marbles.message("-f|")
    workflow = Workflow(lambda source: quick_after_slow(slow, quick), history=MarkdownHistory(path))
    marbles.expect_markers(workflow.observe("q"), only=["result"]).to_be([(6, "result", "done")])
    seen: list[list[str]] = []
    for frame in (1, 4, 7):
        marbles.at(frame, lambda: seen.append([text for _, _, text in said(path)]))
    marbles.flush()
    assert seen == [["q"], ["q"], ["q", "s", "f"]]


def quick_after_slow(slow: Any, quick: Any) -> Any:
    from rxagents.engine.emitters import just

    return just(slow, quick)


def test_a_message_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = MarkdownHistory(tmp_path / "chat.md").load()
    writes: list[bytes] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda number, data: writes.append(data) or write(number, data))
    conversation.append(UserMessage("a" * 100_000))
    conversation.append(UserMessage("b"))
    assert [len(data) for data in writes] == [100_048, 49]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_page_that_was_cut_short_is_read_and_gone_on_with(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "chat.md"
    conversation = MarkdownHistory(path).load()
    for text in ("one", "two", "three"):
        conversation.append(UserMessage(text))
    path.write_bytes(path.read_bytes()[:-cut])
    parrot(path, "four").run("five")
    assert said(path)[0][2] == "one"
    assert [text for _, _, text in said(path)][-2:] == ["five", "four"]


CHILD = """
import os
import sys
from rxagents import Agent, MarkdownHistory, OpenAILLM, Workflow

url, path = sys.argv[1:]

def say(line):
    os.write(1, f"{line}\\n".encode())  # whole, whichever thread it comes from

bot = Agent("bot", OpenAILLM("gpt-test", base_url=url, api_key="any"))
tell = lambda message: say(f"message {message.text}")
workflow = Workflow(bot, history=MarkdownHistory(path), on_message=tell)
for turn in range(1, 4):
    for mark, _ in workflow.run_stream(f"question {turn}"):
        say(mark)
"""


@pytest.mark.parametrize("after", [1, 3, 7, 8, 9, 13, 20, 27])
def test_a_kill_leaves_the_messages_that_had_ended(after: int, tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    with OpenAIServer(lambda body: f"one two three {len(body['messages'])}", delay=0.001) as server:
        command = [sys.executable, "-c", CHILD, server.base_url, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            lines: list[str] = []
            for line in child.stdout:
                lines.append(line.strip())
                if len(lines) == after:
                    child.kill()
        assert child.returncode == -signal.SIGKILL
        told = [line.removeprefix("message ") for line in lines if line.startswith("message")]
        texts = [text for _, _, text in said(path)]
        assert texts[: len(told)] == told
        assert len(texts) - len(told) in (0, 1)
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        workflow = Workflow(Agent("bot", llm), history=MarkdownHistory(path))
        assert workflow.run().text == f"one two three {len(texts)}"
        assert [text for _, _, text in said(path)] == [*texts, f"one two three {len(texts)}"]


# -- what goes wrong


@pytest.fixture
def reported() -> Iterator[list[str]]:
    heard: list[str] = []
    before = on_dropped(lambda error, what: heard.append(f"{what}: {error}"))
    yield heard
    on_dropped(before)


def test_half_a_message_on_a_full_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reported: list[str]
) -> None:
    path = tmp_path / "chat.md"
    conversation = MarkdownHistory(path).load()
    conversation.append(UserMessage("Hi"))
    before = path.read_bytes()
    write = os.write

    def half(number: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return write(number, data[:-20])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        conversation.append(AssistantMessage("Hello. " * 20))
        assert path.read_bytes() == before
    (why,) = reported
    assert why.endswith("cannot be written: No space left on device")
    conversation.append(UserMessage("Bye"))
    assert list(MarkdownHistory(path).load()) == list(conversation)


def test_what_is_no_utf_8_is_shown_as_a_question_mark_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    conversation = MarkdownHistory(path).load()
    conversation.append(AssistantMessage("half \ud83d", name="bot"))
    assert path.read_text().endswith("\nhalf ?\n")
    assert list(MarkdownHistory(path).load()) == list(conversation)
    written(path, path.read_text().replace("half ?", "whole"))
    assert said(path) == [("assistant", "bot", "whole")]


@pytest.mark.drops
def test_what_cannot_be_written_is_written_later_and_the_run_goes_on(
    tmp_path: Path, reported: list[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "chat.md"
    workflow = parrot(path, "b", "d")
    folder.rmdir()
    assert workflow.run("a") == "done"
    why = f"the history '{path}' cannot be written: No such file or directory"
    assert reported == [f"what came is kept in memory, and written with what comes next: {why}"]
    with pytest.raises(HistoryError, match="cannot be written: No such file or directory"):
        workflow.run("c")
    assert [message.text for message in workflow.conversation] == ["a", "b"]
    folder.mkdir()
    assert workflow.run("c") == "done"
    assert [text for _, _, text in said(path)] == ["a", "b", "c", "d"]
    assert len(reported) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\ud800", "'utf-8' codec can't decode"),
        ("user\n===\n<!-- rxagents {'a': 1} -->\nx", "line 3: the comment is no JSON: "),
        ('user\n===\nx\n<!-- rxagents also {"log": 7} -->', "'int' object is not iterable"),
        ('user\n===\n<!-- rxagents {"steps": 7} -->\nx', "the dict is no message: steps: "),
        ('user\n===\n<!-- rxagents {"on page": 7} -->\nx', ""),
    ],
)
def test_what_cannot_be_read_is_told_and_left_as_it_is(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "chat.md"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=f"'{path}' cannot be understood: {why}"):
        MarkdownHistory(path).load()
    with pytest.raises(HistoryError, match=f"'{path}' cannot be understood: {why}"):
        parrot(path, "a")
    assert path.read_bytes() == before


def test_text_without_a_message_is_no_page(tmp_path: Path) -> None:
    path = written(tmp_path / "README.md", "A page of something else.\n")
    why = "holds text, and no message; begin it with a line 'user' that is underlined with '='"
    with pytest.raises(HistoryError, match=f"'{path}' {why}"):
        MarkdownHistory(path).load()
    assert path.read_text() == "A page of something else.\n"


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=f"the history '{tmp_path}' cannot be read: Is a directory"):
        MarkdownHistory(tmp_path).load()


@pytest.mark.parametrize("path", [7, None, "a\0b"])
def test_a_path_that_names_nothing_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`path` is .*, which names no file; give a str or a Path"):
        MarkdownHistory(path)


def test_after_the_end_nothing_is_written(tmp_path: Path) -> None:
    with MarkdownHistory(tmp_path / "chat.md") as history:
        conversation = history.load()
        conversation.append(UserMessage("a"))
    conversation.append(UserMessage("b"))
    assert [text for _, _, text in said(history.path)] == ["a"]


def test_a_page_that_was_replaced_holds_the_other_conversation(tmp_path: Path) -> None:
    path = written(tmp_path / "chat.md", "user\n===\nold\n")
    history = MarkdownHistory(path)
    history.load()
    history.follow(Conversation([UserMessage("new")]))
    assert path.read_text() == f"\nuser\n{'=' * 40}\nnew\n"
