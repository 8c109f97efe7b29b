"""Programs: processes with limits, killed with all that they started, on every loop and for every reason."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rxagents import ConfigurationError
from rxagents.coding import program_guards
from rxagents.coding.programs import Program
from rxagents.coding.run_limits import Outcome, RunLimits
from rxagents.engine.loops import shared_loop
from rxagents.testing import VirtualLoop

T = TypeVar("T")

MIB = 1024 * 1024
WAIT = 20

# Each says who it is, and then waits for longer than any test.
SLEEPER = "import os, time\nos.write(1, b'pid %d\\n' % os.getpid())\ntime.sleep(600)\n"
GETS_AWAY = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(1, b"pid %d\\n" % os.getpid())
    time.sleep(600)
os.wait()
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    def make(code: str, **limits: Any) -> Program:
        return Program(
            [sys.executable, "-I", "-u", "-X", "utf8", "-c", code],
            directory=tmp_path,
            env={"PATH": os.environ["PATH"], "GIVEN": "yes"},
            limits=RunLimits(**limits),
        )

    return make


async def heard(program: Program) -> str:
    return "".join([text async for text in program])


def ran(program: Program) -> tuple[str, Outcome | None]:
    return asyncio.run(heard(program)), program.outcome


async def pids(program: Program, number: int) -> list[int]:
    """The processes that have said who they are, once there are so many."""
    text = ""
    async for more in program:
        text += more
        found = [int(pid) for pid in re.findall(r"pid (\d+)\n", text)]
        if len(found) == number:
            return found
    raise AssertionError(f"it ended, and had said {text!r}")


def is_gone(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def on_asyncio_run(run: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await run()

    return asyncio.run(main())


def on_the_shared_loop(run: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await run()

    return asyncio.run_coroutine_threadsafe(main(), shared_loop()).result(WAIT)


def on_a_loop_in_a_thread(run: Callable[[], Awaitable[T]]) -> T:
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(on_asyncio_run(run)))
    thread.start()
    thread.join(WAIT)
    return results[0]


def on_a_virtual_loop(run: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        result = await run()
        assert asyncio.get_running_loop().time() == 0, "time stands still while a program runs"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("on", [on_asyncio_run, on_the_shared_loop, on_a_loop_in_a_thread, on_a_virtual_loop])
def test_it_runs_on_every_loop(on: Callable[..., str], program: Callable[..., Program]) -> None:
    hello = program("import sys\nprint('Hello,')\nprint('wörld', file=sys.stderr)\nprint('!')")
    assert on(lambda: heard(hello)) == "Hello,\nwörld\n!\n", "both streams, in order"
    assert hello.outcome == Outcome(0)


def test_the_output_comes_while_it_runs(program: Callable[..., Program], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    waits = program("print('before', end='')\nopen('go').read()\nprint('after')")

    async def run() -> list[str]:
        first = await anext(waits)
        # the program ends only when somebody writes, and that is whoever has read its first word
        await asyncio.to_thread((tmp_path / "go").write_text, "go")
        return [first, await heard(waits)]

    assert asyncio.run(run()) == ["before", "after\n"]


def test_a_failure_shows_its_traceback_and_its_exit_code(program: Callable[..., Program]) -> None:
    text, outcome = ran(program("1/0"))
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert outcome == Outcome(1)
    assert ran(program("import sys; sys.exit(3)")) == ("", Outcome(3))


def test_a_signal_is_told(program: Callable[..., Program]) -> None:
    _, outcome = ran(program("import os; os.kill(os.getpid(), 9)"))
    assert outcome == Outcome(-9)
    assert outcome.words(RunLimits()) == (
        "ended by signal 9 (SIGKILL), by itself, or by the system when memory ran out"
    )
    _, outcome = ran(program("import os; os.abort()"))
    assert outcome is not None
    assert outcome.words(RunLimits()) == "ended by signal 6 (SIGABRT)"


def test_a_program_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    missing = Program(["/no/such/program"], directory=tmp_path, env={}, limits=RunLimits())
    text, outcome = ran(missing)
    assert text == "/no/such/program cannot be run: [Errno 2] No such file or directory\n"
    assert outcome == Outcome(127)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    nowhere = Program([sys.executable], directory=tmp_path / "none", env={}, limits=RunLimits())
    with pytest.raises(ConfigurationError, match=r"^no program can be run with .*No such file"):
        asyncio.run(heard(nowhere))
    assert nowhere.wait_until_gone()


def test_it_has_nothing_of_ours(program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    kept, other = os.pipe()  # as an application may have open, and inheritable
    os.set_inheritable(kept, True)
    try:
        text, _ = ran(
            program(
                "import os, sys\n"
                "print(sorted(set(os.environ) - {'LC_CTYPE'}))\n"
                "print(len(os.listdir('/proc/self/fd')) - 1)\n"
                "print(os.getsid(0) == os.getpid() == os.getpgrp())\n"
                "import signal\n"
                "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, signal.pthread_sigmask(0, ()))\n"
                "print(repr(sys.stdin.read()))\n"
            )
        )
    finally:
        os.close(kept)
        os.close(other)
    assert text.splitlines() == [
        "['GIVEN', 'PATH', 'RXAGENTS_PROGRAM']",
        "3",
        "True",
        "True set()",
        "''",
    ]


def test_bytes_that_are_no_utf_8_are_replaced_also_at_the_seams(program: Callable[..., Program]) -> None:
    text, outcome = ran(
        program(
            "import os\n"
            "os.write(1, b'a\\xffb' + 'ä'.encode()[:1])\n"
            "os.write(1, 'ä'.encode()[1:] + '€'.encode()[:2])"
        )
    )
    assert (text, outcome) == ("a\ufffdbä\ufffd", Outcome(0))


def test_much_output_comes_whole_and_in_order(program: Callable[..., Program]) -> None:
    text, outcome = ran(program("for n in range(200_000): print(n)", output=None))
    assert outcome == Outcome(0)
    assert text == "".join(f"{n}\n" for n in range(200_000))
    text, outcome = ran(program("print('x' * 30_000_000, end='')", output=None))
    assert (len(text), outcome) == (30_000_000, Outcome(0))


def test_the_limit_of_output(program: Callable[..., Program]) -> None:
    text, outcome = ran(program("while True: print('x' * 99)", output=1000))
    assert text == ("x" * 99 + "\n") * 10
    assert outcome is not None
    assert outcome.killed == "output"
    assert outcome.words(RunLimits(output=1000)) == "killed: it wrote more than 1000 bytes"
    text, outcome = ran(program("print('x' * 999)", output=1000))
    assert (len(text), outcome) == (1000, Outcome(0)), "as much as it may"


def test_the_limit_of_time_ends_the_children_too(program: Callable[..., Program]) -> None:
    slow = program(GETS_AWAY + "time.sleep(600)", time=2.5)

    async def run() -> list[int]:
        found = await pids(slow, 1)
        assert not is_gone(found[0])
        await heard(slow)
        return found

    assert all(map(is_gone, asyncio.run(run())))
    assert slow.outcome == Outcome(-9, "time")
    assert slow.outcome.words(RunLimits(time=2.5)) == "killed: it took longer than 2.5 s"


def test_the_limit_of_memory_of_one_process(program: Callable[..., Program]) -> None:
    text, outcome = ran(program("print('so far')\nbytearray(200_000_000)", memory=128 * MIB))
    assert text.splitlines()[0] == "so far"
    assert text.splitlines()[-1] == "MemoryError"
    assert outcome == Outcome(1)


def test_the_limit_of_memory_of_all_processes_together(program: Callable[..., Program]) -> None:
    family = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if not os.fork():\n"
        "        held = bytearray(b'x' * 50_000_000)\n"
        "        time.sleep(600)\n"
        "time.sleep(600)"
    )
    _, outcome = ran(program(family, memory=128 * MIB))
    assert outcome == Outcome(-9, "memory")
    assert outcome.words(RunLimits(memory=128 * MIB)) == (
        "killed: its processes together used more than 128 MiB of memory"
    )


def test_memory_that_processes_share_counts_once(program: Callable[..., Program]) -> None:
    family = (
        "import os\n"
        "held = bytearray(b'x' * 60_000_000)\n"
        "r, w = os.pipe()\n"
        "children = []\n"
        "for _ in range(4):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        os.close(w); os.read(r, 1); os._exit(0)\n"
        "    children.append(pid)\n"
        "import time; time.sleep(0.2)\n"  # several looks of the guard
        "os.close(w)\n"
        "print([os.waitpid(pid, 0)[1] for pid in children])"
    )
    assert ran(program(family, memory=160 * MIB)) == ("[0, 0, 0, 0]\n", Outcome(0))


def test_the_limit_of_processes(program: Callable[..., Program]) -> None:
    # a bomb that goes out by itself
    bomb = (
        "import os, time\n"
        "for _ in range(60):\n"
        "    if not os.fork():\n"
        "        os.write(1, b'pid %d\\n' % os.getpid())\n"
        "        time.sleep(600)\n"
        "    time.sleep(0.002)\n"
        "time.sleep(600)"
    )
    text, outcome = ran(program(bomb, processes=5))
    assert outcome == Outcome(-9, "processes")
    assert outcome.words(RunLimits(processes=5)) == "killed: it was more than 5 processes at once"
    found = [int(pid) for pid in re.findall(r"pid (\d+)\n", text)]
    assert len(found) < 60
    assert all(map(is_gone, found))


def test_as_many_processes_as_it_may_are_let_be(program: Callable[..., Program]) -> None:
    family = (
        "import subprocess, sys\n"
        "for _ in range(20): subprocess.run(['true'], check=True)\n"
        "print(sum(p.wait() for p in [subprocess.Popen(['sleep', '0.1']) for _ in range(3)]))"
    )
    assert ran(program(family, processes=4)) == ("0\n", Outcome(0))


def test_what_it_leaves_running_ends_with_it(program: Callable[..., Program]) -> None:
    # it ends when its grandchild has said who it is
    says = GETS_AWAY.replace("time.sleep", "os.close(w); time.sleep")
    text, outcome = ran(program("import os\nr, w = os.pipe()\n" + says + "os.close(w); os.read(r, 1)"))
    assert outcome == Outcome(0)
    found = [int(pid) for pid in re.findall(r"pid (\d+)\n", text)]
    assert len(found) == 1
    assert all(map(is_gone, found))


def test_closing_kills_it_with_a_grandchild_in_a_session_of_its_own(program: Callable[..., Program]) -> None:
    runs = program(GETS_AWAY + SLEEPER)

    async def run() -> list[int]:
        found = await pids(runs, 2)
        assert not any(map(is_gone, found))
        await runs.aclose()
        return found

    assert all(map(is_gone, asyncio.run(run())))
    assert runs.outcome == Outcome(-9, "stopped")


def test_cancelling_whoever_reads_kills_it(program: Callable[..., Program]) -> None:
    runs = program(SLEEPER)

    async def run() -> list[int]:
        found = await pids(runs, 1)
        reader = asyncio.create_task(heard(runs))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await asyncio.to_thread(runs.wait_until_gone)
        await runs.aclose()
        return found

    assert all(map(is_gone, asyncio.run(run())))
    assert runs.outcome == Outcome(-9, "stopped")


def test_the_end_of_the_loop_kills_it(program: Callable[..., Program]) -> None:
    runs = program(SLEEPER)
    found = asyncio.run(pids(runs, 1))  # which cancels what is left, and waits for no thread
    assert runs.wait_until_gone()
    assert all(map(is_gone, found))


def test_a_loop_that_was_closed_over_it_kills_it(tmp_path: Path) -> None:
    orphaned = threading.Event()
    runs = Program(
        [sys.executable, "-I", "-c", SLEEPER],
        directory=tmp_path,
        env={},
        limits=RunLimits(),
        on_orphaned=orphaned.set,
    )
    loop = asyncio.new_event_loop()
    found = loop.run_until_complete(pids(runs, 1))
    left = asyncio.all_tasks(loop)
    loop.close()
    assert orphaned.wait(WAIT)
    assert runs.wait_until_gone()
    assert all(map(is_gone, found))
    for task in left:  # closed over, and only this test is to blame
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_dropping_the_iterator_kills_it(program: Callable[..., Program]) -> None:
    async def run() -> tuple[list[int], threading.Event]:
        runs = program(SLEEPER)
        found = await pids(runs, 1)
        gone = runs._process.gone
        del runs
        gc.collect()
        assert await asyncio.to_thread(gone.wait, WAIT)
        return found, gone

    found, _ = asyncio.run(run())
    assert all(map(is_gone, found))


def test_one_that_was_killed_before_it_began_never_runs(program: Callable[..., Program]) -> None:
    never = program("print('never')")
    never.kill()
    assert ran(never) == ("", None)
    assert never.wait_until_gone()


def test_one_that_is_killed_while_it_is_started_ends(program: Callable[..., Program]) -> None:
    runs = program(SLEEPER)

    async def run() -> str:
        reading = asyncio.create_task(heard(runs))
        await asyncio.sleep(0)
        runs.kill()
        return await reading

    asyncio.run(run())
    assert runs.outcome is not None
    assert runs.outcome.killed == "stopped"


def test_a_program_that_kills_its_guard_dies_with_its_children(program: Callable[..., Program]) -> None:
    text, outcome = ran(
        program(
            GETS_AWAY.replace("os.wait()", "os.wait(); time.sleep(0.1)")
            + "os.write(1, b'pid %d\\n' % os.getpid())\nos.kill(os.getppid(), 9)\ntime.sleep(600)"
        )
    )
    found = [int(pid) for pid in re.findall(r"pid (\d+)\n", text)]
    assert len(found) == 2
    assert all(map(is_gone, found))
    assert outcome == Outcome(None)
    assert outcome.words(RunLimits()) == (
        "killed: nobody saw how it ended (the process that guarded it is gone)"
    )


def test_a_program_that_stops_its_guard_is_no_better_off(program: Callable[..., Program]) -> None:
    stops = "import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(600)"
    _, outcome = ran(program(stops, time=0.5))
    assert outcome == Outcome(-9, "time")


def test_the_guard_ends_the_program_when_we_are_killed(tmp_path: Path) -> None:
    ours = f"""
import asyncio, sys
from rxagents.coding.programs import Program
from rxagents.coding.run_limits import RunLimits

async def main():
    program = Program([sys.executable, "-u", "-c", {SLEEPER!r}], directory=".", env={{}}, limits=RunLimits())
    async for text in program:
        print(text, end="", flush=True)

asyncio.run(main())
"""

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ours, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        pid = int((await process.stdout.readline()).split()[1])
        watched = os.pidfd_open(pid)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(watched, ended.set)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await asyncio.wait_for(ended.wait(), WAIT)
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)
        assert is_gone(pid)

    asyncio.run(run())


def test_a_guard_that_cannot_do_its_work_says_why(
    program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guard.py").write_text("raise OSError('prctl(36) is not allowed here')", encoding="utf-8")
    monkeypatch.setattr("rxagents.coding.guarded_processes._GUARD", str(tmp_path / "guard.py"))
    text, outcome = ran(program("print('never')"))
    assert text == ""
    assert outcome is not None
    assert outcome.words(RunLimits()) == (
        "killed: nobody saw how it ended (OSError: prctl(36) is not allowed here)"
    )


def test_what_could_not_be_killed_is_told() -> None:
    assert Outcome(0, left=2).words(RunLimits()) == (
        "exit code 0; 2 of its processes belong to another user and could not be killed"
    )


def test_children_are_found_on_kernels_without_lists_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        listed = set(program_guards._descendants())
        monkeypatch.setattr("rxagents.coding.program_guards.os.path.exists", lambda _: False)
        assert child.pid in listed
        assert set(program_guards._descendants()) == listed
    finally:
        child.kill()
        child.wait()


def test_nothing_is_left_of_many(program: Callable[..., Program]) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def run() -> None:
        await heard(program("print('warm')"))
        before = open_files()
        told = await asyncio.gather(*(heard(program(f"print({n})")) for n in range(8)))
        assert told == [f"{n}\n" for n in range(8)]
        stopped = [program(SLEEPER) for _ in range(4)]
        await asyncio.gather(*(pids(one, 1) for one in stopped))
        await asyncio.gather(*(one.aclose() for one in stopped))
        assert open_files() == before

    asyncio.run(run())
    with pytest.raises(ChildProcessError):  # no zombie, nor any other child
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"time": 0}, "timeout is 0; it must be seconds above 0, or None"),
        ({"time": "3"}, "timeout is '3'; it must be seconds above 0, or None"),
        ({"time": float("inf")}, "timeout is inf; it must be seconds above 0, or None"),
        ({"memory": 1024}, "memory is 1024; it must be 33554432 or more, or None"),
        ({"output": 0}, "output is 0; it must be 1 or more, or None"),
        ({"processes": True}, "processes is True; it must be 1 or more, or None"),
        ({"processes": 1.5}, "processes is 1.5; it must be 1 or more, or None"),
    ],
)
def test_limits_that_are_none_are_refused(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RunLimits(**limits)
    assert str(refused.value) == words


def test_what_a_system_cannot_keep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError) as refused:
        RunLimits().check_system()
    assert str(refused.value) == (
        "this system (darwin) cannot keep a limit of memory and processes; give memory=None, "
        "processes=None, or run it in a Linux container"
    )
    RunLimits(memory=None, processes=None).check_system()


def test_a_system_without_posix_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rxagents.coding.run_limits.os.name", "nt")
    monkeypatch.setattr(sys, "platform", "win32")
    try:
        with pytest.raises(ConfigurationError, match=r"this system \(win32\) has none: use WSL"):
            RunLimits(memory=None, processes=None).check_system()
    finally:
        monkeypatch.undo()
