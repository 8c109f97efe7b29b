"""The examples that embed agents in other programs, driven as their users drive them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from rxagents.testing import OpenAIServer, Paused

from .test_readme import ROOT, without_keys

WAIT = 30.0


class WebApp:
    """The Starlette example in a process of its own, talking to a server of the test."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def said(self, visitor: str) -> list[list[str | None]]:
        with urlopen(f"http://127.0.0.1:{self.port}/said?visitor={visitor}", timeout=WAIT) as answer:
            return list(json.load(answer))

    def asks(self, visitor: str, say: str) -> Browser:
        return Browser(self.port, f"/turn?{urlencode({'visitor': visitor, 'say': say})}")


class Browser:
    """One request for server-sent events, read as they come."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        self._lines = self._socket.makefile(encoding="utf-8", newline="\n")

    def events(self) -> Iterator[tuple[str, object]]:
        for line in self._lines:
            if line.startswith("event: "):
                event = line.split()[1]
            elif line.startswith("data: "):
                yield event, json.loads(line[6:])

    def leave(self) -> None:
        self._lines.close()
        self._socket.close()

    def words(self) -> Iterator[str]:
        for event, content in self.events():
            if event == "delta" and isinstance(content, dict) and content["content"]:
                yield content["content"]


@contextmanager
def web_app(server: OpenAIServer) -> Iterator[WebApp]:
    environment = {**without_keys(), "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "any"}
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "starlette_app.py", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    printed: list[str] = []
    try:
        for line in process.stderr:
            printed.append(line)
            if running := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                drain = threading.Thread(target=process.stderr.read, daemon=True)
                drain.start()
                yield WebApp(process, int(running[1]))
                break
        else:
            raise AssertionError(f"the app did not start: {''.join(printed)}")
    finally:
        process.terminate()
        process.wait(WAIT)
        process.stderr.close()


@pytest.mark.skipif(
    not (find_spec("starlette") and find_spec("uvicorn")), reason="starlette and uvicorn are not installed"
)
def test_a_browser_that_leaves_cancels_the_model_and_what_was_said_stays() -> None:
    with OpenAIServer(["Hello there.", Paused(3, "one two three four"), "Five."]) as server:
        with web_app(server) as app:
            first = app.asks("ann", "Hello")
            assert [event for event, _ in first.events()][-3:] == ["response", "end", "result"]
            first.leave()

            second = app.asks("ann", "Count")
            words = second.words()
            heard = next(words) + next(words)
            server.wait_for_requests(2, WAIT)
            assert not server.requests[1].closed.is_set()
            second.leave()
            assert server.requests[1].wait_closed(WAIT)
            assert not server.requests[1].completed

            third = app.asks("ann", "Go on")
            assert "".join(third.words()) == "Five."
            third.leave()
            assert app.said("ann") == [
                ["user", "Hello", None],
                ["assistant", "Hello there.", "stop"],
                ["user", "Count", None],
                ["assistant", heard, "interrupted"],
                ["user", "Go on", None],
                ["assistant", "Five.", "stop"],
            ]
            assert app.said("bob") == []
        assert len(server.requests) == 3


@pytest.mark.skipif(
    not (find_spec("starlette") and find_spec("uvicorn")), reason="starlette and uvicorn are not installed"
)
def test_a_new_question_cuts_the_answer_to_the_one_before() -> None:
    with OpenAIServer([Paused(3, "one two three four"), "Five."]) as server, web_app(server) as app:
        first = app.asks("ann", "Count")
        words = first.words()
        heard = next(words) + next(words)
        second = app.asks("ann", "Go on")
        assert "".join(second.words()) == "Five."
        assert list(words) == []
        assert server.requests[0].wait_closed(WAIT)
        assert [text for _, text, _ in app.said("ann")] == ["Count", heard, "Go on", "Five."]
        first.leave()
        second.leave()


# Types into the window as a person does, and tells on stdout what it shows.
TYPIST = """
import sys, json, tkinter as tk
sys.path.insert(0, {examples!r})
from tk_window import Window
from rxagents import Agent, OpenAILLM

root = tk.Tk()
window = Window(root, Agent("bot", OpenAILLM("m")))
window.entry.wait_visibility()  # what is typed before that goes nowhere
window.entry.focus_force()
root.update()
shown = []

def type(text):
    for character in text:
        window.entry.event_generate("<Key>", keysym="space" if character == " " else character)

def when(is_so, then):
    if is_so():
        then()
    else:
        root.after(10, when, is_so, then)

def answered(text):
    return lambda: window.answer["text"] == text

def note_and_type_on():
    shown.append(window.answer["text"])
    type(" there")
    when(answered("Second answer."), leave)

def leave():
    shown.append(window.answer["text"])
    shown.append(window.entry.get())
    root.destroy()

type("Hello")
when(answered("First answer"), note_and_type_on)
root.mainloop()
print(json.dumps(shown))
"""


@contextmanager
def virtual_screen() -> Iterator[str]:
    """An X server without a screen; gives its name."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as numbers:
            number = numbers.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(WAIT)


@pytest.mark.skipif(not find_spec("tkinter"), reason="this Python was built without Tk")
@pytest.mark.skipif(not shutil.which("Xvfb"), reason="there is no Xvfb for a virtual screen")
def test_typing_on_in_the_window_cuts_the_answer() -> None:
    with OpenAIServer([Paused(3, "First answer goes on"), "Second answer."]) as server:
        with virtual_screen() as display:
            environment = {
                **without_keys(),
                "DISPLAY": display,
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_KEY": "any",
            }
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", TYPIST.format(examples=str(ROOT / "examples"))],
                capture_output=True,
                text=True,
                timeout=50,
                env=environment,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == ["First answer", "Second answer.", "Hello there"]
        assert server.requests[0].wait_closed(WAIT)
        assert not server.requests[0].completed
        said = [(message["role"], message["content"]) for message in server.requests[1].body["messages"]]
        assert said[0] == ("user", "Hello")
        assert said[1] == ("assistant", "First answer")
        assert said[-1] == ("user", "Hello there")
        assert len(server.requests) == 2
