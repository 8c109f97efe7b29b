"""python -m rxagents chat: in a pseudo-terminal, in a pipe, and without prompt_toolkit."""

from __future__ import annotations

import codecs
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rxagents.__main__ import main
from rxagents.llm.wire import CUT_OFF
from rxagents.testing import HTTPFault, OpenAIServer, Paused

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
termios = pytest.importorskip("termios", reason="pseudo-terminals are POSIX's")

WAIT = 30.0
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-B]|[=>78MDEHc])|\r")
_BEGUN = re.compile(r"\x1b[^a-zA-Z]*$")
_WHERE = "\x1b[6n"
# The terminal becomes the one that the program is controlled by: its Ctrl-C is a signal.
LAUNCH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
CHAT = [sys.executable, "-W", "error", "-m", "rxagents", "chat"]


def environment(**variables: str) -> dict[str, str]:
    """What the program sees: no key, and a terminal of a kind that all know."""
    hidden = ("OPENAI_", "AZURE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | variables


class Terminal:
    """A program in a pseudo-terminal of 100 columns."""

    def __init__(self, command: list[str], **variables: str) -> None:
        self.screen = ""
        self._read = 0
        self._raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fd, inner = pty.openpty()
        self.first_modes = self.modes()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCH, *command],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            env=environment(COLUMNS="100", LINES="30", **variables),
        )
        os.close(inner)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def until(self, text: str) -> str:
        """Reads until this is shown, after what was waited for before; gives what came before it."""
        deadline = time.monotonic() + WAIT
        while (at := self.screen.find(text, self._read)) < 0:
            assert self._more(deadline), f"no {text!r} in {self.screen[self._read :]!r}"
        shown, self._read = self.screen[self._read : at], at + len(text)
        return shown

    def end(self) -> int:
        """Reads to the end, and gives the exit status."""
        deadline = time.monotonic() + WAIT
        while self._more(deadline):
            pass
        return self._process.wait(WAIT)

    def modes(self) -> list[Any]:
        """How the terminal takes keys."""
        return termios.tcgetattr(self._fd)[:4]

    def kill(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says so when the program has closed its side
            return False
        known = self._raw.count(_WHERE)
        self._raw += self._decoder.decode(data)
        for _ in range(self._raw.count(_WHERE) - known):
            os.write(self._fd, b"\x1b[1;1R")  # where the cursor is, as a terminal answers
        self.screen = _ESCAPES.sub("", _BEGUN.sub("", self._raw))
        return bool(data)


Opened = Callable[..., Terminal]


@pytest.fixture
def terminal() -> Iterator[Opened]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, command: list[str] = CHAT, **variables: str) -> Terminal:
        opened.append(Terminal([*command, *arguments], **variables))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_it_answers_ctrl_c_cuts_a_reply_and_ctrl_d_leaves(terminal: Opened) -> None:
    chat = terminal("--delay", "0.2")
    chat.until("No OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_* is set: talking to the embedded server")
    chat.until("user:")
    chat.until("Ctrl-D leaves")
    chat.type("a b c d e f g h i j k l m n o p q r s t u v w x y z\r")
    chat.until("assistant: You")  # of twenty-odd tokens, five in a second
    chat.type("\x03")
    chat.until("[interrupted]")
    chat.until("user:")
    chat.type("Again?\r")
    chat.until('assistant: You said: "Again?".')
    chat.until("user:")
    chat.type("\x04")
    assert chat.end() == 0
    assert "Traceback" not in chat.screen


def test_what_was_said_before_ctrl_c_is_told_to_the_model(terminal: Opened) -> None:
    with OpenAIServer([Paused(3, "One two three four five"), "Fine."]) as server:
        chat = terminal(OPENAI_BASE_URL=server.base_url, OPENAI_MODEL="gpt-7")
        chat.until(f"Talking to gpt-7 at {server.base_url}.")
        chat.until("user:")
        chat.type("Count!\r")
        chat.until("assistant: One two")
        chat.type("\x03")
        chat.until("[interrupted]")
        chat.until("user:")
        chat.type("Thanks\x1b\r.\r")
        chat.until("assistant: Fine.")
        chat.until("user:")
        chat.type("\x04")
        assert chat.end() == 0
        first, second = (request.body for request in server.requests)
    assert first["model"] == "gpt-7"
    assert [(message["role"], message["content"]) for message in second["messages"]] == [
        ("user", "Count!"),
        ("assistant", "One two"),
        ("system", CUT_OFF),
        ("user", "Thanks\n."),
    ]


def test_ctrl_c_at_the_prompt_takes_back_what_was_typed(terminal: Opened) -> None:
    chat = terminal("--delay", "0")
    chat.until("user:")
    chat.type("never mind")
    chat.until("mind")
    chat.type("\x03")
    chat.type("Hello\r")
    chat.until('assistant: You said: "Hello".')
    chat.until("user:")
    chat.type("\x03\x03")
    chat.until("Ctrl-D leaves")
    chat.type("\x04")
    assert chat.end() == 0


def test_ctrl_z_is_the_shells_and_no_text(terminal: Opened) -> None:
    with OpenAIServer(["Fine."]) as server:
        chat = terminal(OPENAI_BASE_URL=server.base_url)
        chat.until("user:")
        chat.until("leaves")
        chat.type("\x1a")  # no shell could go on with it, so the system ignores that it would stop
        chat.until("user:")
        chat.type("Hello\r")
        chat.until("assistant: Fine.")
        chat.until("user:")
        chat.type("\x04")
        assert chat.end() == 0
        assert server.requests[0].body["messages"][-1]["content"] == "Hello"


def test_a_ctrl_d_that_is_typed_while_a_reply_comes_is_no_text(terminal: Opened) -> None:
    with OpenAIServer([Paused(2, "One two three"), "Fine."]) as server:
        chat = terminal(OPENAI_BASE_URL=server.base_url)
        chat.until("user:")
        chat.until("leaves")
        chat.type("Count!\r")
        chat.until("assistant: One")
        chat.type("\x04Again?\r")
        chat.until("Again?")  # which the terminal has taken, then, and shows by itself
        server.release()
        chat.until("assistant: Fine.")
        chat.until("user:")
        chat.type("\x04")
        assert chat.end() == 0
        assert server.requests[1].body["messages"][-1]["content"] == "Again?"


def test_a_signal_at_the_prompt_ends_it_and_gives_the_terminal_back(terminal: Opened) -> None:
    chat = terminal("--delay", "0")
    chat.until("user:")
    chat.until("leaves")
    assert chat.modes() != chat.first_modes  # no echo, key by key
    chat.kill(signal.SIGINT)
    assert chat.end() == 130
    assert chat.modes() == chat.first_modes
    assert "Traceback" not in chat.screen


def test_a_history_and_what_was_typed_are_there_the_next_time(terminal: Opened, tmp_path: Path) -> None:
    files = ["--history", str(tmp_path / "chat.md"), "--inputs", str(tmp_path / "inputs")]
    with OpenAIServer(["One.", "Two."]) as server:
        for number, keys in enumerate(["Hello\r", "\x1b[A\r"]):
            chat = terminal(*files, OPENAI_BASE_URL=server.base_url)
            chat.until("user:")
            chat.until("leaves")
            chat.type(keys)
            chat.until(f"assistant: {['One.', 'Two.'][number]}")
            chat.until("user:")
            chat.type("\x04")
            assert chat.end() == 0
        messages = server.requests[1].body["messages"]
    assert [message["content"] for message in messages] == ["Hello", "One.", "Hello"]
    assert "One." in (tmp_path / "chat.md").read_text(encoding="utf-8")


def test_a_failed_reply_is_shown_and_the_user_is_asked_again(terminal: Opened) -> None:
    with OpenAIServer([HTTPFault(400, message="too much"), "Fine."]) as server:
        chat = terminal(OPENAI_BASE_URL=server.base_url)
        chat.until("user:")
        chat.type("Hello\r")
        chat.until("! ModelStatusError:")
        chat.until("too much")
        chat.until("user:")
        chat.type("And now?\r")
        chat.until("assistant: Fine.")
        chat.until("user:")
        chat.type("\x04")
        assert chat.end() == 0
        assert [m["content"] for m in server.requests[1].body["messages"]] == ["Hello", "And now?"]


WITHOUT = """
import sys
sys.modules["prompt_toolkit"] = None
from rxagents.__main__ import main
sys.exit(main(["chat"]))
"""


def test_without_prompt_toolkit_it_says_what_to_install(terminal: Opened) -> None:
    chat = terminal(command=[sys.executable, "-c", WITHOUT])
    assert chat.end() == 2
    assert chat.screen.replace("\n", " ").strip() == (
        "rxagents: a user at a terminal is asked through the package prompt_toolkit; install it with: "
        "pip install 'rxagents[console]'"
    )


def piped(*arguments: str, lines: str, command: list[str] = CHAT, **variables: str) -> Any:
    return subprocess.run(
        [*command, *arguments],
        input=lines,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WAIT,
        env=environment(**variables),
        check=False,
    )


def test_in_a_pipe_each_line_is_answered_also_without_prompt_toolkit() -> None:
    done = piped(lines="Hello\nGrüße\n", command=[sys.executable, "-c", WITHOUT])
    assert (done.returncode, done.stdout) == (
        0,
        'user: assistant: You said: "Hello".\nuser: assistant: You said: "Grüße".\nuser: \n',
    )
    assert done.stderr.count("\n") == 1


def test_an_empty_line_is_no_message() -> None:
    done = piped(lines="\n  \nHello\n\n", command=[sys.executable, "-c", WITHOUT])
    assert (done.returncode, done.stdout) == (
        0,
        'user: user: user: assistant: You said: "Hello".\nuser: user: \n',
    )


def test_in_a_pipe_a_failed_reply_is_shown_and_the_next_line_is_answered() -> None:
    with OpenAIServer([HTTPFault(400, message="no"), "Two."]) as server:
        done = piped(lines="1\n2\n", OPENAI_BASE_URL=server.base_url)
    assert done.returncode == 0
    first, second, last = done.stdout.splitlines()
    assert first.startswith("user:   ! ModelStatusError: ")
    assert (second, last) == ("user: assistant: Two.", "user: ")


def test_input_that_cannot_be_read_is_the_status_1() -> None:
    done = subprocess.run(
        CHAT, input=b"\xff\n", capture_output=True, timeout=WAIT, env=environment(), check=False
    )
    assert done.returncode == 1
    assert b"UnicodeDecodeError" in done.stderr


def test_the_options_reach_the_model_and_its_calls_are_logged(tmp_path: Path) -> None:
    with OpenAIServer(["One."]) as server:
        done = piped(
            *("--model", "gpt-8", "--system", "Be brief.", "--log", str(tmp_path / "log")),
            lines="Hi\n",
            OPENAI_BASE_URL=server.base_url,
            OPENAI_API_KEY="sk-never-to-be-written-0123456789",
        )
        (request,) = server.requests
    assert done.returncode == 0
    assert f"Talking to gpt-8 at {server.base_url}." in done.stderr
    assert request.body["model"] == "gpt-8"
    assert [m["content"] for m in request.body["messages"]] == ["Be brief.", "Hi"]
    (page,) = (tmp_path / "log").iterdir()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# assistant asked gpt-")
    assert "never-to-be-written" not in text


def test_a_reader_who_leaves_ends_it_quietly() -> None:
    with subprocess.Popen(
        CHAT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(6) == b"user: "
        process.stdout.close()
        process.stdin.write(b"Hello\nAgain\n" * 100)
        process.stdin.close()
        errors = process.stderr.read()
        assert process.wait(WAIT) == 0
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--history", "chat.txt"], "name a file that ends in .md, .db or .sqlite"),
        (["--history", "/dev/null/chat.md"], "the history '/dev/null/chat.md' cannot be read"),
        (["--history", "/dev/null/chat.db"], "the history '/dev/null/chat.db' cannot be opened"),
        (["--log", "/dev/null/log"], "no calls can be logged in '/dev/null/log'"),
    ],
)
def test_what_will_not_do_is_one_line_and_the_status_2(arguments: list[str], words: str) -> None:
    done = piped(*arguments, lines="")
    assert done.returncode == 2
    _, line = done.stderr.splitlines()  # the first names the service
    assert words in line


def test_the_name_of_the_model_stays_no_longer_than_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115
    with sys.stdin:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        for before in (None, "gpt-1"):
            if before:
                monkeypatch.setenv("OPENAI_MODEL", before)
            assert main(["chat", "--model", "gpt-9"]) == 0
            assert os.environ.get("OPENAI_MODEL") == before
    assert capsys.readouterr().err.count("Talking to gpt-9") == 2
