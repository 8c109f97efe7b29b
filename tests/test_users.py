"""User: a person who is asked, or nobody at all."""

from __future__ import annotations

import asyncio
import builtins
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    InputError,
    MessageStream,
    StateUpdate,
    Team,
    User,
    Workflow,
    on_dropped,
    say,
)
from rxagents.operators import markers, responses, until
from rxagents.prompts import not_heard, typed
from rxagents.testing import Marbles, virtual
from tests.team_views import only


async def typing_slowly(prompt: str) -> str:
    await asyncio.sleep(2)
    return f"answer to {prompt!r}"


def test_an_interactive_user_is_asked_at_its_turn_as_the_diagram_draws_it(marbles: Marbles) -> None:
    source = marbles.cold("     -q-|", q=MessageStream(rx.of("q")))
    user = User(interaction_function=typing_slowly)
    marbles.expect(source.pipe(user)).to_be(
        """
              ---(user|)
        user  -----(m|)
        m     -----(x|)
        """,
        x="answer to 'user: '",
    )
    said = source.pipe(user, responses(inputs=True), ops.map(lambda m: (m.text, m.role, m.name)))
    marbles.expect(said).to_be("-----(x|)", x=("answer to 'user: '", "user", "user"))


def test_an_unattended_user_emits_a_stop_as_the_diagram_draws_it(marbles: Marbles) -> None:
    source = marbles.cold("        -q-|", q=MessageStream(rx.of("q")))
    log = (("info", "agent/stop", "user"),)
    kinds = ops.map(lambda update: (type(update), update.stop, update.scope, update.log))
    stopped = source.pipe(User(mode="unattended"), kinds)
    marbles.expect(stopped).to_be("---(x|)", x=(StateUpdate, "user", "team", log))


class Asking:
    """An object whose call is async."""

    async def __call__(self, prompt: str) -> str:
        return await typing_slowly(prompt)


@pytest.mark.parametrize(
    ("ask", "seconds"),
    [
        (typing_slowly, 2),
        (Asking(), 2),
        (lambda prompt: typing_slowly(prompt), 2),
        (lambda prompt: f"answer to {prompt!r}", 0),
    ],
    ids=["async", "object", "lambda", "sync"],
)
def test_the_interaction_function_may_be_sync_or_async(marbles: Marbles, ask: Any, seconds: float) -> None:
    user = User("ann", interaction_function=ask)
    said = say("q").pipe(user, responses(inputs=True), ops.map(str))
    marbles.expect(said).to_be("--(x|)" if seconds else "(x|)", x="answer to 'ann: '")


def test_a_blocking_interaction_function_does_not_block_the_loop(marbles: Marbles) -> None:
    threads: list[threading.Thread] = []

    def ask(prompt: str) -> str:
        threads.append(threading.current_thread())
        return "x"

    user = User(interaction_function=ask)
    marbles.expect(say("q").pipe(user, responses(inputs=True), ops.map(str))).to_be("(x|)")
    marbles.flush()
    (thread,) = threads
    assert thread is not threading.main_thread()


def test_the_default_is_input(marbles: Marbles, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(prompt: str) -> str:
        asked.append(prompt)
        return "typed"

    monkeypatch.setattr(builtins, "input", read)
    said = say("q").pipe(User("ann"), responses(inputs=True), ops.map(str))
    marbles.expect(said).to_be("(x|)", x="typed")
    marbles.flush()
    assert asked == ["ann: "]


def test_an_interaction_function_that_raises_fails_the_turn_and_is_named(marbles: Marbles) -> None:
    cause = KeyError("cause")

    def ask(prompt: str) -> str:
        raise ValueError("no") from cause

    failed = marbles.probe()
    turn = say("q").pipe(User(interaction_function=ask), responses(inputs=True), failed)
    marbles.expect(turn).to_be("#", error=ValueError("no"))
    marbles.flush()
    (error,) = failed.errors
    assert error.__cause__ is cause
    assert error.__notes__ == ["in user > interaction_function"]


@pytest.mark.parametrize("typed", [None, 3, b"x", ["x"]])
def test_an_answer_that_is_no_text_fails_the_turn(marbles: Marbles, typed: Any) -> None:
    failed = marbles.probe()
    user = User(interaction_function=lambda prompt: typed)
    marbles.expect(say("q").pipe(user, responses(inputs=True), failed)).to_be("#", error=InputError)
    marbles.flush()
    (error,) = failed.errors
    assert f"gave {type(typed).__name__}, not str" in str(error)
    assert error.__notes__ == ["in user > interaction_function"]


def end_of_input(prompt: str) -> str:
    raise EOFError


async def end_of_async_input(prompt: str) -> str:
    raise EOFError


@pytest.mark.parametrize("ask", [end_of_input, end_of_async_input])
def test_at_the_end_of_the_input_the_user_has_left_without_a_word(marbles: Marbles, ask: Any) -> None:
    workflow = Workflow(User("ann", interaction_function=ask))
    marbles.expect(workflow.observe("q")).to_be(
        "(s e r|)", s=("start", "ann"), e=("end", "ann"), r=("result", "agent-stop")
    )
    marbles.flush()
    assert [message.role for message in workflow.conversation] == ["user"]
    assert workflow.conversation.transcript.log == (("info", "agent/stop", "ann"),)


def test_in_a_team_the_user_who_has_left_ends_it(marbles: Marbles) -> None:
    llm = marbles.llm("-(a|)", "--What?|", a=chosen("a"))
    user = User(interaction_function=end_of_input)
    shown = say("q").pipe(team(user, llm), markers(), only("start", "result"))
    marbles.expect(shown).to_be(
        "              ta------(ur|)",
        t=("start", "team"),
        a=("start", "a"),
        u=("start", "user"),
        r=("result", "agent-stop"),
    )


def test_an_end_of_input_that_nobody_awaits_is_no_error_and_other_failures_are() -> None:
    heard: list[BaseException] = []
    failure = OSError("gone")
    before = on_dropped(lambda error, what: heard.append(error))
    try:
        not_heard(EOFError(), what="x")
        not_heard(failure, what="x")
    finally:
        on_dropped(before)
    assert heard == [failure]


class Pipe:
    """The end of a pipe that is written to."""

    def __init__(self, end: int) -> None:
        self._end = end

    def send(self, data: bytes) -> None:
        os.write(self._end, data)

    def close(self) -> None:
        if self._end >= 0:
            os.close(self._end)
        self._end = -1


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """A pipe whose other end is the standard input."""
    read, write = os.pipe()
    pipe = Pipe(write)
    with open(read, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield pipe
        pipe.close()


def test_a_withdrawn_question_takes_no_line_from_the_next(pipe: Pipe) -> None:
    class Shown(io.StringIO):
        def flush(self) -> None:
            shown.set()

    shown = threading.Event()

    async def main() -> str:
        with redirect_stdout(Shown()):
            first = asyncio.create_task(typed("first: "))
            await asyncio.to_thread(shown.wait, 30)
            first.cancel()
            await asyncio.wait([first])
            pipe.send(b"line\n")
            second: str = await typed("second: ")
        assert first.cancelled()
        return second

    assert asyncio.run(main()) == "line"


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo", ["one", "two"]),
        (b"\n\n", ["", ""]),
        ("ü€\n".encode(), ["ü€"]),
        (b"", []),
    ],
)
def test_a_pipe_gives_its_lines_and_then_ends(pipe: Pipe, sent: bytes, lines: list[str]) -> None:
    async def main() -> None:
        for line in lines:
            assert await typed("") == line
        for _ in range(2):
            with pytest.raises(EOFError):
                await typed("")

    pipe.send(sent)
    pipe.close()
    asyncio.run(main())


def test_what_cannot_be_decoded_fails_the_turn(marbles: Marbles, pipe: Pipe) -> None:
    pipe.send(b"\xff\n")
    failed = marbles.probe()
    marbles.expect(say("q").pipe(User(), responses(inputs=True), failed)).to_be("#", error=UnicodeDecodeError)
    marbles.flush()
    assert failed.errors[0].__notes__ == ["in user > interaction_function"]


def test_without_a_thread_nothing_stays_open(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def next_descriptors() -> tuple[int, int]:
        ends = os.pipe()
        for end in ends:
            os.close(end)
        return ends

    async def main() -> None:
        before = next_descriptors()
        with pytest.raises(RuntimeError, match="new thread"):
            await typed("")
        assert next_descriptors() == before

    monkeypatch.setattr(threading.Thread, "start", refuse)
    asyncio.run(main())


def test_a_replaced_input_is_asked_even_with_a_pipe(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    async def replaced(prompt: str) -> str:
        return f"answer to {prompt!r}"

    monkeypatch.setattr(builtins, "input", replaced)
    assert asyncio.run(typed("x")) == "answer to 'x'"


def test_the_builtin_input_when_given_is_the_default() -> None:
    assert User(interaction_function=input).interaction_function is User().interaction_function is typed


PROGRAM = """
from rxagents import *
from rxagents.testing import *
llm = ScriptedLLM([{"agent_id": "a", "reason": ""}, *["What?"] * 3])
a, user = Agent("a", llm), User()
team = Team(llm, [a, user], "team", allowed_transitions={a: [user], user: [a]}, max_turns=4)
"""


def program(body: str) -> subprocess.Popen[str]:
    """A program whose standard input stays open until it is closed here."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_program_that_breaks_out_at_the_users_turn_ends_well() -> None:
    body = """
        for mark, content in Workflow(user).run_stream("q"):
            if (mark, content) == ("start", "user"):
                break
        print("left")
    """
    with program(body) as process:
        assert process.stdout is not None
        output = process.stdout.read()  # to its end, and only then the input is closed
        assert process.wait() == 0
    assert output.replace("user: ", "") == "left\n"


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a single process")
def test_a_program_that_is_interrupted_while_the_user_is_asked_ends_well() -> None:
    body = """
        try:
            Workflow(user).run("q")
        except KeyboardInterrupt:
            print("left")
    """
    with program(body) as process:
        assert process.stdout is not None
        assert process.stdout.read(len("user: ")) == "user: "
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
        assert process.wait() == 0
    assert output == "left\n"


def test_two_lines_in_a_pipe_answer_two_questions_of_a_program() -> None:
    body = """
        workflow = Workflow(team)
        print(workflow.run("q"))
        print([message.text for message in workflow.conversation])
    """
    with program(body) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("one\ntwo\n")
        process.stdin.flush()
        output = process.stdout.read()
        assert process.wait() == 0
    assert output == "user: user: max-turns\n['q', 'What?', 'one', 'What?', 'two']\n"


def test_a_program_whose_pipe_ends_stops_at_the_users_turn() -> None:
    with program("print(Workflow(team).run('q'))") as process:
        output, _ = process.communicate("one\n")
    assert (output, process.returncode) == ("user: user: agent-stop\n", 0)


def test_waiting_for_an_async_answer_is_cancelled_at_once(marbles: Marbles) -> None:
    left: list[float] = []

    async def ask(prompt: str) -> str:
        try:
            await asyncio.sleep(100)
        finally:
            left.append(asyncio.get_running_loop().time())
        return ""

    stop = marbles.hot("        ---s")
    last = say("q").pipe(User(interaction_function=ask), until(stop), markers(), ops.last())
    marbles.expect(last).to_be("---(r|)", r=("result", "interrupted"))
    marbles.flush()
    assert left == [3]


@virtual
async def test_waiting_for_a_blocking_answer_is_abandoned_at_once() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()
    stop: rx.Subject[Any] = rx.Subject()

    def ask(prompt: str) -> str:
        entered.set()
        leave.wait(30)
        left.set()
        return "late"

    marks: list[Any] = []
    say("q").pipe(User(interaction_function=ask), until(stop), markers()).subscribe(marks.append)
    await asyncio.to_thread(entered.wait, 30)
    stop.on_next("s")
    assert marks[-1] == ("result", "interrupted")
    leave.set()
    await asyncio.to_thread(left.wait, 30)
    await asyncio.sleep(1)
    assert [str(mark) for mark, _ in marks] == ["start", "end", "result"]


def team(user: User, llm: Any, **options: Any) -> Team:
    agent = Agent("a", llm)
    return Team(llm, [agent, user], "team", allowed_transitions={agent: [user], user: [agent]}, **options)


def chosen(agent_id: str) -> str:
    return json.dumps({"agent_id": agent_id, "reason": ""})


def test_in_a_team_the_interactive_user_is_heard_by_the_agents(marbles: Marbles) -> None:
    llm = marbles.llm("-(a|)", "--What?|", "--Fine.|", a=chosen("a"))
    user = User(interaction_function=lambda prompt: "This.")
    heard = say("q").pipe(team(user, llm, max_turns=3), markers(), only("response"))
    said = ops.map(lambda marker: tuple(marker[1][0][key] for key in ("name", "role", "content")))
    marbles.expect(heard.pipe(said)).to_be(
        "              --------(xy)---(z|)",
        x=("a", "assistant", "What?"),
        y=("user", "user", "This."),
        z=("a", "assistant", "Fine."),
    )
    marbles.flush()
    assert llm.requests[-1].messages[-1] == {"role": "user", "content": "This.", "name": "user"}


def test_in_a_team_the_unattended_user_ends_it_and_shows_no_block(marbles: Marbles) -> None:
    llm = marbles.llm("-(a|)", "--Done.|", a=chosen("a"))
    shown = say("q").pipe(team(User(mode="unattended"), llm), markers(), only("start", "result"))
    marbles.expect(shown).to_be(
        "              ta------(r|)",
        t=("start", "team"),
        a=("start", "a"),
        r=("result", "agent-stop"),
    )


def test_another_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mode is 'interactive' or 'unattended', not 'away'"):
        User(mode="away")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the id"):
        User("a b")
