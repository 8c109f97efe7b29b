"""LocalCodingAgent: the model's programs run, stream, are limited, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxagents import (
    Agent,
    ConfigurationError,
    Conversation,
    LocalCodingAgent,
    OpenAILLM,
    RunCancelledError,
    ScriptedLLM,
    Workflow,
)
from rxagents.coding.workspaces import Workspace, WorkspaceSettings
from rxagents.engine.loops import shared_loop
from rxagents.engine.tasks import cancelled_tasks_ended
from rxagents.llm import Call
from rxagents.operators import until
from rxagents.testing import Marbles, OpenAIServer, VirtualClock

WAIT = 20

WAITS = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(1, b"pid %d\\n" % os.getpid())
    time.sleep(600)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the directories of the turns are made; it must be empty at the end."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    assert os.listdir(path) == []


def run_python(code: str) -> Call:
    return Call("run_python", {"code": code})


def coder(*script: Any, **options: Any) -> LocalCodingAgent:
    return LocalCodingAgent("coder", ScriptedLLM(list(script)), **options)


def results(agent: Agent, question: str = "go") -> list[str]:
    """What the tools answered, in order."""
    run = Workflow(agent).run_stream(question)
    return [content["result"] for mark, content in run if mark == "function_result"]


def result(code: str, **options: Any) -> str:
    (only,) = results(coder(run_python(code), "Done.", **options))
    return only


def is_gone(pid: int) -> bool:
    """Once it is."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], WAIT)[0])
    finally:
        os.close(watched)


def settled() -> None:
    """Waits until what was cancelled on the shared loop has cleaned up."""
    asyncio.run_coroutine_threadsafe(cancelled_tasks_ended(), shared_loop()).result(WAIT)


def shown_pid(content: Any) -> int | None:
    found = re.search(r"pid (\d+)", (content.get("progress") or {}).get("content", ""))
    return int(found[1]) if found else None


def test_a_program_over_the_wire() -> None:
    code = "print('Hello')\nprint(6 * 7)"
    with OpenAIServer([run_python(code), "It is 42."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="any")
        markers = list(Workflow(LocalCodingAgent("coder", llm)).run_stream("What is 6 * 7?"))
        first, second = (request.body for request in server.requests)
    marks = [str(mark) for mark, _ in markers]
    shown = [at for at, (mark, content) in enumerate(markers) if mark == "delta" and content.get("progress")]
    progress = [markers[at][1]["progress"] for at in shown]
    assert "".join(piece["content"] for piece in progress) == "Hello\n42\n"
    assert {(piece["id"], piece["name"]) for piece in progress} == {("call_1", "run_python")}
    assert max(shown) < marks.index("function_result")
    assert second["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "Hello\n42\n[exit code 0]",
    }
    (tool,) = first["tools"]
    assert tool["function"] == {
        "name": "run_python",
        "description": "Runs a Python program, and gives what it printed and its exit code.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The whole program."}},
            "required": ["code"],
            "additionalProperties": False,
        },
    }
    assert first["messages"][0]["role"] == "system"
    assert "run_python" in first["messages"][0]["content"]
    assert markers[-2][0] == "end"
    assert next(content for mark, content in markers if mark == "response")[0]["content"] == "It is 42."


def test_the_output_streams_while_the_program_runs() -> None:
    """It ends only when somebody writes, and that is whoever has seen its first word."""
    code = "import os\nos.mkfifo('go')\nprint(os.path.abspath('go'), end='', flush=True)\nopen('go').read()\n"
    seen: list[str] = []
    for mark, content in Workflow(coder(run_python(code), "Done.")).run_stream("go"):
        if mark == "delta" and content.get("progress"):
            seen.append(content["progress"]["content"])
            Path(seen[0]).write_text("go", encoding="utf-8")
        elif mark == "function_result":
            assert content["result"] == f"{seen[0]}\n[exit code 0]"
    assert len(seen) == 1


def test_files_live_for_a_turn_and_no_longer() -> None:
    agent = coder(
        run_python("open('kept.py', 'w').write('answer = 42')\nprint('written')"),
        run_python("import kept\nprint(kept.answer)"),
        "First.",
        run_python("import os\nprint(os.listdir())"),
        "Second.",
    )
    assert results(agent) == ["written\n[exit code 0]", "42\n[exit code 0]"]
    assert results(agent) == ["['program_1.py']\n[exit code 0]"]


def test_calls_of_one_round_run_one_after_the_other() -> None:
    agent = coder(
        [
            run_python("import time\ntime.sleep(0.1)\nopen('a', 'w').write('first')"),
            run_python("print(open('a').read())"),
        ],
        "Done.",
    )
    assert results(agent) == ["[exit code 0; no output]", "first\n[exit code 0]"]


def test_turns_at_the_same_time_are_apart() -> None:
    code = "import os\nprint(os.getcwd())"

    async def run() -> list[str]:
        agents = [coder(run_python(code), "Done.") for _ in range(3)]
        runs = [Workflow(agent).start("go") for agent in agents]
        await asyncio.gather(*runs)
        return [run.result.message.steps[1].text for run in runs]

    told = asyncio.run(run())
    assert len(set(told)) == 3


def test_a_traceback_goes_to_the_model_with_its_lines() -> None:
    told = result("def f():\n    return 1 / 0\n\nf()")
    assert re.search(r'File ".*/files/program_1.py", line 2, in f\n    return 1 / 0', told)
    assert told.endswith("ZeroDivisionError: division by zero\n[exit code 1]")


def test_the_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    told = result(
        "import json, os, sys\n"
        "flags = [sys.flags.no_user_site, sys.flags.ignore_environment]\n"
        "print(json.dumps([dict(os.environ), os.getcwd(), *flags]))",
        env={"GREETING": "hello"},
    )
    env, directory, no_user_site, ignores = json.loads(told.splitlines()[0])
    env.pop("LC_CTYPE", None)  # Python's own
    env.pop("RXAGENTS_PROGRAM")
    assert env == {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": directory,
        "TMPDIR": directory,
        "GREETING": "hello",
    }
    assert Path(directory).is_relative_to(scratch)
    assert (no_user_site, ignores) == (1, True)


def test_nobody_can_be_asked() -> None:
    assert result("input('name? ')").endswith("EOFError: EOF when reading a line\n[exit code 1]")


@pytest.mark.parametrize(
    ("code", "limit", "told"),
    [
        ("while True: pass", {"timeout": 0.3}, "[killed: it took longer than 0.3 s; no output]"),
        ("print('x' * 50, end='')", {"output": 10}, "xxxxxxxxxx\n[killed: it wrote more than 10 bytes]"),
        (
            "import os, time\nfor _ in range(6): os.fork() or time.sleep(600)\ntime.sleep(600)",
            {"processes": 3},
            "[killed: it was more than 3 processes at once; no output]",
        ),
        (
            "try:\n    bytearray(1 << 28)\nexcept MemoryError:\n    print('too much')",
            {"memory": 128 * 1024 * 1024},
            "too much\n[exit code 0]",
        ),
        ("import os\nos.abort()", {}, "[ended by signal 6 (SIGABRT); no output]"),
        (
            "print(1)",
            {"timeout": None, "memory": None, "output": None, "processes": None},
            "1\n[exit code 0]",
        ),
    ],
)
def test_the_model_is_told_how_it_ended(code: str, limit: dict[str, Any], told: str) -> None:
    assert result(code, **limit) == told


def test_long_output_loses_its_middle() -> None:
    told = result("print('a' * 20_000 + 'b' * 20_000)")
    assert told == ("a" * 8000 + "\n[… 24001 characters left out …]\n" + "b" * 7999 + "\n[exit code 0]")


@pytest.mark.parametrize("code", ["print(", "print('a\0b')"])
def test_what_is_no_python_is_a_syntax_error(code: str) -> None:
    told = result(code)
    assert "SyntaxError" in told
    assert told.endswith("[exit code 1]")


def test_leaving_the_stream_kills_the_program_and_removes_its_directory(scratch: Path) -> None:
    async def run() -> int:
        async with Workflow(coder(run_python(WAITS), "Done.")).arun_stream("go") as stream:
            async for _, content in stream:
                if isinstance(content, dict) and (pid := shown_pid(content)):
                    assert os.listdir(scratch)
                    return pid
        raise AssertionError("it said nothing")

    pid = asyncio.run(run())
    assert is_gone(pid)


def test_a_run_that_is_disposed_kills_the_program_and_keeps_what_it_said(scratch: Path) -> None:
    conversation = Conversation()
    run = Workflow(coder(run_python(WAITS), "Done."), conversation).start("go")
    said = threading.Event()
    pids: list[int] = []

    def note(marker: Any) -> None:
        if marker[0] == "delta" and (pid := shown_pid(marker[1])):
            pids.append(pid)
            said.set()

    run.markers().subscribe(note)
    assert said.wait(WAIT)
    run.dispose()
    assert is_gone(pids[0])
    settled()
    assert os.listdir(scratch) == []
    assert run.result == "interrupted"
    assert conversation.messages[-1].finish_reason == "interrupted"


def test_until_kills_the_program_too(scratch: Path) -> None:
    stop: rx.Subject[Any] = rx.Subject()
    pids: list[int] = []

    async def run() -> str:
        workflow = Workflow(lambda source: source.pipe(coder(run_python(WAITS), "Done."), until(stop)))
        async for mark, content in workflow.arun_stream("go"):
            if mark == "delta" and (pid := shown_pid(content)):
                pids.append(pid)
                stop.on_next("s")
        return str(mark)

    assert asyncio.run(run()) == "result"
    assert is_gone(pids[0])
    assert os.listdir(scratch) == []


def test_the_end_of_the_loop_ends_it_all(scratch: Path) -> None:
    async def run() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(marker: Any) -> None:
            if marker[0] == "delta" and (pid := shown_pid(marker[1])):
                found.set_result(pid)

        run = Workflow(coder(run_python(WAITS), "Done.")).start("go")
        run.markers().subscribe(note)
        return await found

    pid = asyncio.run(run())  # which cancels the tasks that are left
    assert is_gone(pid)
    assert os.listdir(scratch) == []


@pytest.mark.parametrize("leave", ["break", "sys.exit(3)", "os.kill(os.getpid(), signal.SIGINT)"])
def test_nothing_survives_the_end_of_our_process(leave: str, scratch: Path) -> None:
    script = f"""
import os, re, signal, sys
from rxagents import LocalCodingAgent, ScriptedLLM, Workflow
from rxagents.llm import Call

llm = ScriptedLLM([Call("run_python", {{"code": {WAITS!r}}}), "Done."])
for mark, content in Workflow(LocalCodingAgent("coder", llm)).run_stream("go"):
    if mark == "delta" and content.get("progress"):
        print(content["progress"]["content"], len(os.listdir({str(scratch)!r})), flush=True)
        {leave}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    pid, number = re.findall(r"\d+", done.stdout)
    assert number == "1"
    assert is_gone(int(pid))
    assert os.listdir(scratch) == []
    assert done.stderr.strip().rpartition("\n")[2] in ("", "KeyboardInterrupt")


def test_the_directory_goes_when_the_model_fails(scratch: Path) -> None:
    agent = coder(run_python("import os\nos.mkdir('locked')\nos.chmod('locked', 0)"), RuntimeError("no more"))
    marks = [(str(mark), content) for mark, content in Workflow(agent).run_stream("go")]
    assert [content for mark, content in marks if mark == "error"]
    settled()
    assert os.listdir(scratch) == []


def test_the_turn_ends_only_when_its_directory_is_gone(scratch: Path) -> None:
    left: list[tuple[str, int]] = []

    def look(marker: Any) -> None:  # on the loop, so that nothing goes on meanwhile
        mark, _ = marker
        if mark in ("function_result", "end"):
            left.append((str(mark), len(os.listdir(scratch))))

    async def run() -> None:
        await Workflow(coder(run_python("print(1)"), "Done.")).observe("go").pipe(ops.do_action(look))

    asyncio.run(run())
    assert left == [("function_result", 1), ("end", 0)]


def test_it_works_under_the_virtual_clock() -> None:
    async def run() -> tuple[str, float]:
        run = Workflow(coder(run_python("print('real')"), "Done.")).start("go")
        done = await run
        return done.message.steps[1].text, asyncio.get_running_loop().time()

    assert VirtualClock().run(run()) == ("real\n[exit code 0]", 0.0)


def test_a_workspace_that_was_closed_runs_nothing_any_more() -> None:
    workspace = Workspace(WorkspaceSettings())
    said: list[str] = []
    heard = asyncio.run(workspace.run("print('before')", said.append))
    assert heard.output == "".join(said) == "before\n"
    workspace.kill()
    with pytest.raises(RunCancelledError, match="the turn that this program belongs to has ended"):
        asyncio.run(workspace.run("print('after')", said.append))
    workspace.remove()
    assert "".join(said) == "before\n"
    assert not workspace.opened


def test_without_a_program_it_is_as_any_agent(marbles: Marbles, scratch: Path) -> None:
    agent = LocalCodingAgent("coder", marbles.llm("--Hi-|"))
    marbles.expect_markers(Workflow(agent).observe("q")).to_be(
        [
            *((0, "start", "coder"), (2, "delta", "Hi"), (5, "response", "Hi"), (5, "end", "coder")),
            (5, "result", "done"),
        ]
    )
    marbles.flush()
    assert os.listdir(scratch) == []


def test_a_tool_that_is_called_by_hand_has_a_directory_too(scratch: Path) -> None:
    agent = coder()
    tool = agent.toolbox.get("run_python")
    assert tool is not None
    assert asyncio.run(tool.call('{"code": "print(1)"}')) == "1\n[exit code 0]"
    assert len(os.listdir(scratch)) == 1
    for thread in threading.enumerate():
        if thread.name == "rxagents-call":  # which knows the directory while it ends
            thread.join(WAIT)
    del agent, tool
    gc.collect()
    assert os.listdir(scratch) == []


def test_other_tools_and_settings_are_those_of_an_agent() -> None:
    def lucky() -> int:
        """A number."""
        return 7

    agent = coder(Call("lucky"), run_python("print(2)"), "Done.", tools=[lucky], max_rounds=3, temperature=0)
    assert results(agent) == ["7", "2\n[exit code 0]"]
    other = agent.with_(id="other", timeout=0.3, llm=ScriptedLLM([run_python("while True: pass"), "Done."]))
    assert [tool.name for tool in other.toolbox] == ["lucky", "run_python"]
    assert results(other) == ["[killed: it took longer than 0.3 s; no output]"]


def test_a_virtual_environment_on_request() -> None:
    code = (
        "import importlib.util, sys\n"
        "print(sys.prefix != sys.base_prefix, sys.executable, sys.prefix)\n"
        "print([importlib.util.find_spec(name) for name in ('pydantic', 'reactivex', 'pip')])\n"
        "import os\n"
        "print(os.popen('python -c \"import sys; print(sys.prefix)\"').read())"
    )
    again = "import sys\nprint(sys.prefix)"
    first, second = results(coder(run_python(code), run_python(again), "Done.", venv=True))
    is_venv, python, prefix = first.splitlines()[0].split()
    assert is_venv == "True"
    assert python == f"{prefix}/bin/python"
    assert first.splitlines()[1:] == ["[None, None, None]", prefix, "", "[exit code 0]"]
    assert second.splitlines()[0] == prefix, "made once in a turn"


def wheel(directory: Path, name: str, code: str) -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def test_packages_are_installed_and_more_where_the_user_permits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path, "given", "answer = 42")
    more = wheel(tmp_path, "wanted", "answer = 43")
    monkeypatch.chdir(tmp_path)
    agent = coder(
        run_python("import given\nprint(given.answer)"),
        Call("install", {"requirements": [str(more)]}),
        run_python("import wanted, os\nprint(wanted.answer, sorted(os.listdir()))"),
        Call("install", {"requirements": ["--index-url=http://127.0.0.1:9/", "x"]}),
        "Done.",
        venv=True,
        packages=["./given-1.0-py3-none-any.whl"],
        may_install=True,
    )
    before, installed, after, refused = results(agent)
    assert before == "42\n[exit code 0]"
    assert "Successfully installed wanted-1.0" in installed
    assert installed.endswith("\n[exit code 0]")
    assert after == "43 ['program_1.py', 'program_2.py']\n[exit code 0]"
    assert refused.startswith(
        "Error: the tool 'install' failed: ConfigurationError: '--index-url=http://127.0.0.1:9/' is an "
        "option, not a requirement; name packages only"
    )


def test_packages_that_cannot_be_installed_are_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_text("no wheel", encoding="utf-8")
    told = result("print('never')", venv=True, packages=[broken])
    assert "ERROR: Wheel 'broken' located at" in told
    assert "never" not in told
    assert told.endswith("\n[the virtual environment could not be made: exit code 1]")


def test_install_is_no_tool_unless_the_user_permits_it() -> None:
    assert [tool.name for tool in coder(venv=True).toolbox] == ["run_python"]
    assert [tool.name for tool in coder(venv=True, may_install=True).toolbox] == ["run_python", "install"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"packages": ["numpy"]}, "agent coder: packages needs a virtual environment; pass venv=True"),
        ({"may_install": True}, "agent coder: may_install needs a virtual environment; pass venv=True"),
        (
            {"venv": True, "packages": "numpy"},
            "agent coder: packages is a text; give a list, such as ['numpy']",
        ),
        (
            {"venv": True, "packages": ["--pre"]},
            "agent coder: the package '--pre' is no requirement and no path",
        ),
        ({"env": {"N": 1}}, "agent coder: env holds 'N': 1; give texts by name"),
        ({"env": {"A=B": "c"}}, "agent coder: env holds 'A=B': 'c'; give texts by name"),
        ({"timeout": -1}, "agent coder: timeout is -1; it must be seconds above 0, or None"),
        ({"memory": 1000}, "agent coder: memory is 1000; it must be 33554432 or more, or None"),
        ({"tmeout": 3}, "agent coder has no argument 'tmeout'; did you mean 'timeout'?"),
        ({"max_round": 3}, "agent coder has no argument 'max_round'; did you mean 'max_rounds'?"),
    ],
)
def test_arguments_that_do_not_do(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        coder(**options)
    assert str(refused.value) == words


def test_a_system_that_cannot_keep_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match=r"^agent coder: this system \(darwin\) cannot keep"):
        coder()
    assert coder(memory=None, processes=None).id == "coder"


def test_the_docstring_says_what_it_does_not_isolate() -> None:
    doc = LocalCodingAgent.__doc__ or ""
    for word in ("no sandbox", "network", "files", "container"):
        assert word in doc
