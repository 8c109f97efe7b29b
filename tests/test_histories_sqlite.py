"""SQLiteHistory: many conversations in one file, which a kill at any moment leaves whole."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rxagents import (
    Agent,
    Block,
    ConfigurationError,
    Conversation,
    HistoryError,
    MessageStream,
    OpenAILLM,
    ScriptedLLM,
    SQLiteHistory,
    StateUpdate,
    UserMessage,
    Workflow,
    on_dropped,
)
from rxagents.engine.emitters import just
from rxagents.testing import OpenAIServer

from .listening import heard

# Two agents who are asked at once, the first with more to say; what has ended is printed.
CHILD = """
import os
import sys
from rxagents import Agent, OpenAILLM, SQLiteHistory, Workflow
import reactivex as rx

url, path = sys.argv[1:]

def say(line):
    os.write(1, f"{line}\\n".encode())  # whole, whichever thread it comes from

agents = [Agent(name, OpenAILLM(name, base_url=url, api_key="any")) for name in ("long", "short")]

def both(source):
    return rx.merge(*(agent(source) for agent in agents))

def tell(message):
    say(f"message {message.name or message.role} {message.text}")

workflow = Workflow(both, history=SQLiteHistory(path, "ada"), on_message=tell)
for turn in range(1, 4):
    for mark, content in workflow.run_stream(f"question {turn}"):
        if mark == "delta":
            say("delta")
    workflow.conversation.update({"turn": turn})
    say(f"turn {turn}")
"""


def answers(body: dict[str, Any]) -> str:
    number = len([message for message in body["messages"] if message["role"] == "user"])
    return (
        f"one two three four five six seven eight {number}" if body["model"] == "long" else f"short {number}"
    )


def in_order(told: list[str]) -> list[str]:
    """What stands in the conversation, of what was told in the order of its ends."""
    turns = [told[at : at + 3] for at in range(0, len(told), 3)]
    return [line for first, *rest in turns for line in (first, *sorted(rest))]


@pytest.mark.parametrize("after", [1, 2, 3, 6, 11, 12, 14, 15, 16, 17, 27, 30, 40, 43])
def test_a_kill_leaves_every_complete_message_and_a_new_run_goes_on(after: int, tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with OpenAIServer(answers, delay=0.001) as server:
        command = [sys.executable, "-c", CHILD, server.base_url, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said: list[str] = []
            for line in child.stdout:
                said.append(line.strip())
                if len(said) == after:
                    child.kill()
        assert child.returncode == -signal.SIGKILL
        told = [line.removeprefix("message ") for line in said if line.startswith("message")]
        turns = [int(line.removeprefix("turn ")) for line in said if line.startswith("turn")]

        stored = SQLiteHistory.read(path, "ada")
        found = [f"{message.name or message.role} {message.text}" for message in stored]
        # at the most one has ended, and had no time to be told
        assert len(found) - len(told) in (0, 1)
        assert [line for line in found if line in told] == in_order(told)
        assert dict(stored.variables) in ({"turn": len(found) // 3}, {"turn": max(turns, default=0)}, {})
        assert bool(turns) <= bool(stored.variables)
        assert stored.metrics["total_tokens"] == sum(m.usage.total_tokens for m in stored if m.usage)

        with SQLiteHistory(path, "ada") as history:
            llm = OpenAILLM("bot", base_url=server.base_url, api_key="any")
            workflow = Workflow(Agent("bot", llm), history=history)
            assert workflow.conversation.transcript == stored.transcript
            assert workflow.run() == "done"
            sent = [message["content"] for message in server.requests[-1].body["messages"]]
            assert sent == [message.text for message in stored]
            gone_on = workflow.conversation.transcript
        assert SQLiteHistory.read(path, "ada").transcript == gone_on
        assert len(gone_on) == len(stored) + 1
        assert os.listdir(tmp_path) == ["chats.db"]


def test_a_message_that_is_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    seen: list[list[str]] = []

    def look(message: Any) -> None:
        seen.append([message.text for message in SQLiteHistory.read(path)])

    with SQLiteHistory(path) as history:
        workflow = Workflow(Agent("bot", ScriptedLLM(["b", "d"])), history=history, on_message=look)
        workflow.run("a")
        workflow.run("c")
    assert seen == [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]]


# -- many conversations, many writers


def test_a_file_holds_many_conversations(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    assert SQLiteHistory.conversations(path) == []
    assert not path.exists()
    for id in ("zoe", "ada", "b'ob\n👋"):
        with SQLiteHistory(str(path), id) as history:
            history.load().append(UserMessage(f"I am {id}"))
    with SQLiteHistory(path, "nobody") as history:
        history.load()
    assert SQLiteHistory.conversations(path) == ["zoe", "ada", "b'ob\n👋"]
    assert [message.text for message in SQLiteHistory.read(path, "ada")] == ["I am ada"]
    assert SQLiteHistory.delete(path, "ada")
    assert not SQLiteHistory.delete(path, "ada")
    assert not SQLiteHistory.delete(tmp_path / "none.db", "ada")
    assert SQLiteHistory.conversations(path) == ["zoe", "b'ob\n👋"]
    with pytest.raises(HistoryError, match=r"chats.db' has no conversation 'ada'; it has 'zoe', \"b'ob"):
        SQLiteHistory.read(path, "ada")
    with pytest.raises(HistoryError, match=r"none.db' has no conversation 'ada'; it has none"):
        SQLiteHistory.read(tmp_path / "none.db", "ada")
    with SQLiteHistory(path, "ada") as history:
        assert list(history.load()) == []
    assert repr(history) == f"<SQLiteHistory {path} 'ada'>"


def test_to_open_one_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    for expected in (0, 2, 2):
        with SQLiteHistory(path) as history:
            conversation = history.load()
            with contextlib.closing(sqlite3.connect(path)) as store:
                assert store.execute("SELECT count(*) FROM items").fetchone() == (expected,)
            if not expected:
                conversation.append(UserMessage("Hi"))
                conversation.update({"order": 214})


def test_what_is_read_is_not_followed(tmp_path: Path) -> None:
    with SQLiteHistory(tmp_path / "chats.db") as history:
        history.load().append(UserMessage("a"))
        SQLiteHistory.read(history.path).append(UserMessage("b"))
    assert [message.text for message in SQLiteHistory.read(history.path)] == ["a"]


def test_a_conversation_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    first, second, other = SQLiteHistory(path, "a"), SQLiteHistory(path, "a"), SQLiteHistory(path, "b")
    assert first.load() is first.load()
    refusal = (
        rf"the conversation 'a' of the history '.*chats.db' is being written to, by process {os.getpid()}"
    )
    for refused in (
        second.load,
        lambda: second.follow(Conversation()),
        lambda: SQLiteHistory.delete(path, "a"),
    ):
        with pytest.raises(HistoryError, match=refusal):
            refused()
    with pytest.raises(HistoryError, match=refusal):
        Workflow(Agent("bot", ScriptedLLM(["a"])), history=second)
    other.load().append(UserMessage("b"))
    first.close()
    first.close()
    assert list(second.load()) == []
    second.close()
    other.close()


def test_a_writer_in_another_process_is_refused_until_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    program = "import sys; from rxagents import SQLiteHistory\n"
    program += (
        "history = SQLiteHistory(sys.argv[1]); history.load(); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(
            HistoryError, match=f"is being written to, by process {child.pid}; close that history"
        ):
            SQLiteHistory(path).load()
        child.kill()
    assert any(name.endswith(".lock") for name in os.listdir(tmp_path))
    with SQLiteHistory(path) as history:
        assert list(history.load()) == []
    assert os.listdir(tmp_path) == ["chats.db"]


def test_a_history_that_is_dropped_lets_others_write(tmp_path: Path) -> None:
    import gc

    history = SQLiteHistory(tmp_path / "chats.db")
    history.load().append(UserMessage("a"))
    del history
    gc.collect()
    with SQLiteHistory(tmp_path / "chats.db") as other:
        assert [message.text for message in other.load()] == ["a"]


def test_a_conversation_is_stored_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    conversation = SQLiteHistory(tmp_path / "chats.db").load()
    conversation.append(UserMessage("a"))
    assert [message.text for message in SQLiteHistory.read(tmp_path / "chats.db")] == ["a"]
    with pytest.raises(HistoryError, match="is being written to"):
        SQLiteHistory(tmp_path / "chats.db").load()


WRITER = """
import sys
from rxagents import SQLiteHistory, UserMessage
with SQLiteHistory(sys.argv[1], sys.argv[2]) as history:
    conversation = history.load()
    for n in range(200):
        conversation.append(UserMessage(f"{sys.argv[2]} {n}"))
"""


def test_processes_write_to_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    ids = ["ada", "bob", "eve"]
    writers = [subprocess.Popen([sys.executable, "-W", "error", "-c", WRITER, str(path), id]) for id in ids]
    assert [writer.wait(50) for writer in writers] == [0, 0, 0]
    assert sorted(SQLiteHistory.conversations(path)) == ids
    for id in ids:
        assert [m.text for m in SQLiteHistory.read(path, id)] == [f"{id} {n}" for n in range(200)]


def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    with SQLiteHistory(tmp_path / "chats.db") as history:
        conversation = history.load()
        barrier = threading.Barrier(4)

        def work(own: int) -> None:
            barrier.wait(30)
            for n in range(50):
                conversation.append(UserMessage(f"{own} {n}"))

        threads = [threading.Thread(target=work, args=(own,)) for own in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    stored = [message.text for message in SQLiteHistory.read(history.path)]
    assert sorted(stored) == sorted(f"{own} {n}" for own in range(4) for n in range(50))


# -- what goes wrong


@pytest.fixture
def reported() -> Iterator[list[str]]:
    heard: list[str] = []
    before = on_dropped(lambda error, what: heard.append(f"{what}: {error}"))
    yield heard
    on_dropped(before)


@pytest.mark.drops
def test_what_cannot_be_written_is_written_later_and_the_run_goes_on(
    tmp_path: Path, reported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxagents.histories.stores._PATIENCE", 0.01)
    path = tmp_path / "chats.db"
    history = SQLiteHistory(path)
    workflow = Workflow(Agent("bot", ScriptedLLM(["b", "d", "f"])), history=history)
    workflow.run("a")
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert workflow.run("c") == "done"
        why = f"the history '{path}' cannot be written: database is locked"
        assert reported == [f"what came is kept in memory, and written with what comes next: {why}"]
        assert [message.text for message in SQLiteHistory.read(path)] == ["a", "b"]
        with pytest.raises(HistoryError, match="cannot be written: database is locked"):
            workflow.run("e")
        assert [message.text for message in workflow.conversation] == ["a", "b", "c", "d"]
        holder.execute("ROLLBACK")
    holder.close()
    assert workflow.run("e") == "done"
    assert [message.text for message in SQLiteHistory.read(path)] == ["a", "b", "c", "d", "e", "f"]
    history.close()
    assert len(reported) == 1


@pytest.mark.drops
def test_what_cannot_be_written_at_the_end_is_told(
    tmp_path: Path, reported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxagents.histories.stores._PATIENCE", 0.01)
    history = SQLiteHistory(tmp_path / "chats.db")
    conversation = history.load()
    with sqlite3.connect(history.path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        conversation.append(UserMessage("a"))
        with pytest.raises(HistoryError, match="cannot be written: database is locked"):
            history.close()
        holder.execute("ROLLBACK")
    holder.close()
    SQLiteHistory(history.path).load()
    assert len(reported) == 1


def test_files_that_are_no_history_are_refused_and_named(tmp_path: Path) -> None:
    text, foreign, newer = tmp_path / "text", tmp_path / "foreign.db", tmp_path / "newer.db"
    text.write_text("nothing of the kind\n" * 100)
    for path, statement in ((foreign, "CREATE TABLE t (a)"), (newer, "PRAGMA application_id = 1920491879")):
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.execute("PRAGMA user_version = 7")
        connection.close()
    for path, why in (
        (text, "cannot be opened: file is not a database"),
        (foreign, "is a database of something else, and no history; give another path"),
        (newer, "has the version 7, and this rxagents knows 1; use a newer rxagents"),
        (tmp_path, "cannot be opened: unable to open database file"),
    ):
        for act in (
            lambda path=path: SQLiteHistory(path).load(),
            lambda path=path: SQLiteHistory.conversations(path),
        ):
            with pytest.raises(HistoryError, match=f"'{path}' {why}"):
                act()
    with pytest.raises(HistoryError, match=r"none/chats.db' cannot be opened: unable to open database file"):
        SQLiteHistory(tmp_path / "none" / "chats.db").load()
    assert sorted(os.listdir(tmp_path)) == ["foreign.db", "newer.db", "text"]


@pytest.mark.parametrize("change", ["data = '{'", "kind = 'riddle'", "data = '{\"role\": 7}'", "data = '[]'"])
def test_a_row_that_is_damaged_is_told(tmp_path: Path, change: str) -> None:
    path = tmp_path / "chats.db"
    with SQLiteHistory(path) as history:
        history.load().append(UserMessage("a"))
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE items SET {change}")
    connection.close()
    with pytest.raises(
        HistoryError, match=r"the conversation 'default' of the history '.*chats.db' is damaged: "
    ):
        SQLiteHistory(path).load()
    with pytest.raises(HistoryError, match="is damaged"):
        SQLiteHistory.read(path)


@pytest.mark.parametrize(("path", "id"), [(7, "a"), (None, "a"), ("a", ""), ("a", 7), ("a\0b", "a")])
def test_arguments_that_name_nothing_are_refused(path: Any, id: Any) -> None:
    name = "conversation" if path == "a" else "path"
    with pytest.raises(ConfigurationError, match=f"`{name}` is "):
        SQLiteHistory(path, id)


def test_after_the_end_nothing_is_stored(tmp_path: Path) -> None:
    history = SQLiteHistory(tmp_path / "chats.db")
    conversation = history.load()
    history.close()
    conversation.append(UserMessage("a"))
    assert SQLiteHistory.conversations(history.path) == []
    assert history.load() is not conversation
    history.close()


def test_deep_blocks_are_stored_and_come_back(tmp_path: Path) -> None:
    block = Block("b0", just(MessageStream.of(UserMessage("deep")), StateUpdate("x", variables={"x": 1})))
    for n in range(1, 1500):
        block = Block(f"b{n}", just(block))
    heard(block)
    with SQLiteHistory(tmp_path / "chats.db") as history:
        conversation = history.load()
        conversation.follow(block)
    assert SQLiteHistory.read(history.path).transcript == conversation.transcript
    assert [message.text for message in conversation] == ["deep"]
