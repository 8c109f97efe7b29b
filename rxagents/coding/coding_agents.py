"""LocalCodingAgent: an agent whose model writes Python programs, which run in processes of their own."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from reactivex import Observable

from ..agents import Agent
from ..engine.bridges import forward, from_async
from ..engine.tasks import to_its_end
from ..engine.threads import call_in_thread
from ..errors import ConfigurationError
from ..llm.requests import LLM
from ..participants import Emit
from ..tooling.contexts import Context
from ..tooling.toolboxes import Toolbox
from ..tooling.tools import Tool
from ..transcripts import Item, Transcript
from .run_limits import RunLimits
from .workspaces import Heard, Workspace, WorkspaceSettings

__all__ = ["LocalCodingAgent"]

_log = logging.getLogger("rxagents.agent")

_MIB = 1024 * 1024
_SHOWN = 16_000

PROMPT = """\
You solve problems by writing Python programs and running them with run_python. Each call runs one \
whole program in a fresh process: variables do not live on, files in the working directory do until \
you have answered. Only what a program prints comes back to you, so print what you need. When a \
program fails, read the traceback, correct it and run it again. Then answer in plain words, from \
what the programs printed."""


class LocalCodingAgent(Agent):
    """An agent whose model runs Python programs on this machine, in processes of their own.

    The model gets the tool `run_python(code)`. A turn has a fresh temporary directory, which is the
    working directory, HOME and TMPDIR of its programs and is removed when the turn ends, whatever
    ends it. Programs run one after the other. What they write streams as `progress` deltas of the
    agent's message; the model gets it when the program has ended, with the exit code, and without its
    middle where it is long.

    ```
    source   -q-|
    llm         Hi-|
    out      ---(coder|)
    coder    ---m--|
    m        ---Hi-|
    ```

    A program sees PATH, LANG, HOME and TMPDIR and no other variable of the environment, has no stdin,
    and ignores the user's site-packages. When it ends, passes a limit, or the turn is cancelled, it is
    killed with all its children, also those that left its session; on Linux none gets away but by
    killing the process that guards it and hiding its environment.

    **This is no sandbox.** Programs run as the user who runs this one. They reach the network, read
    and write whatever files that user may, fill the disk, and see and signal that user's other
    processes, and the environment of this one through `/proc`. The limits keep mistakes from doing
    harm, not malice. Where you do not trust the model, or what it reads, run all of it in a container.

    Args:
        id: Its name in the conversation.
        llm: The model.
        description: What it is good for; a team's model reads it.
        system_message: The system prompt.
        venv: Whether programs run in a virtual environment, which sees none of this one's packages.
            It is made anew in each turn that runs a program. Without, they see what this Python has.
        packages: What is installed into the virtual environment: requirements as pip takes them, or
            paths of wheels and projects. `env={"PIP_CACHE_DIR": …}` saves the later turns the download.
        may_install: Whether the model gets `install(requirements)` too, for the virtual environment.
            What is installed runs code of its own, without limits but 300 seconds.
        timeout: Seconds (real ones) that a program may take, or None.
        memory: Bytes of address space for each process of a program, and of memory in use for all of
            them together, or None. Libraries that start a thread for each core reserve much address
            space; give more, or `env={"OPENBLAS_NUM_THREADS": "1"}`.
        output: Bytes that a program may write, or None.
        processes: How many processes a program may be at once, or None.
        env: Variables to add to the programs' environment; whoever can talk to the model can read them.
        options: What `Agent` takes besides.

    Raises:
        ConfigurationError: An argument does not do; or this system cannot keep a limit: memory and
            processes are None on others than Linux, and Windows has no way to run it.
    """

    def __init__(
        self,
        id: str,
        llm: LLM,
        description: str = "",
        system_message: str = PROMPT,
        *,
        venv: bool = False,
        packages: Iterable[str | os.PathLike[str]] = (),
        may_install: bool = False,
        timeout: float | None = 30.0,
        memory: int | None = 512 * _MIB,
        output: int | None = _MIB,
        processes: int | None = 32,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        what = f"agent {id}"
        for name in options:
            for meant in get_close_matches(name, _OWN, n=1, cutoff=0.8):
                raise ConfigurationError(f"{what} has no argument {name!r}; did you mean {meant!r}?")
        super().__init__(id, llm, description, system_message, **options)
        try:
            limits = RunLimits(timeout, memory, output, processes)
            limits.check_system()
        except ConfigurationError as error:
            raise ConfigurationError(f"{what}: {error}") from None
        if not venv and (may_install or packages):
            asked = "may_install" if may_install else "packages"
            raise ConfigurationError(f"{what}: {asked} needs a virtual environment; pass venv=True")
        self._settings = WorkspaceSettings(
            limits, venv, _requirements(what, packages), may_install, _variables(what, env)
        )
        # these serve whoever calls a tool by hand; each turn has its own
        for tool in self._tools(Workspace(self._settings)):
            self.toolbox.add(tool)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        async def take_turn(emit: Emit) -> None:
            workspace = Workspace(self._settings)
            try:
                await forward(Agent.turn(self._seated(workspace), transcript), emit)
            except GeneratorExit:  # the loop is gone, and nothing can be awaited any more
                workspace.abandon()
                raise
            except BaseException:
                await _left(workspace)
                raise
            await _left(workspace)

        return from_async(take_turn)

    def _seated(self, workspace: Workspace) -> LocalCodingAgent:
        """This agent, with tools that work in a workspace."""
        own = {tool.name: tool for tool in self._tools(workspace)}
        seated = copy.copy(self)
        seated.toolbox = Toolbox(own.get(tool.name, tool) for tool in self.toolbox)
        return seated

    def _tools(self, workspace: Workspace) -> list[Tool]:
        calls = _Calls(self.id, workspace)
        return [Tool(calls.run_python), *([Tool(calls.install)] if self._settings.pip else ())]


class _Calls:
    """The tools, for the workspace of one turn."""

    def __init__(self, agent: str, workspace: Workspace) -> None:
        self._agent = agent
        self._workspace = workspace

    async def run_python(self, code: Annotated[str, "The whole program."], context: Context) -> str:
        """Runs a Python program, and gives what it printed and its exit code."""
        heard = await self._workspace.run(code, context.progress)
        _log.debug("%s: a program ended: %s", self._agent, heard.words)
        return _told(heard)

    async def install(
        self,
        requirements: Annotated[list[str], "Packages as pip names them, such as 'numpy>=2'."],
        context: Context,
    ) -> str:
        """Installs packages for the programs of this turn."""
        heard = await self._workspace.install(requirements, context.progress)
        _log.debug("%s: pip ended: %s", self._agent, heard.words)
        return _told(heard)


def _told(heard: Heard) -> str:
    """A program's output and end, for the model."""
    text, words = heard.output, heard.words
    if not text:
        return f"[{words}; no output]"
    if len(text) > _SHOWN:
        half = _SHOWN // 2
        text = f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}[{words}]"


async def _left(workspace: Workspace) -> None:
    """Waits until nothing of it is left."""
    workspace.kill()
    cancelled: asyncio.CancelledError | None = None
    for _ in range(3):  # a loop that ends cancels whatever it finds, and so this once
        if workspace.opened:
            try:
                await to_its_end(call_in_thread(workspace.remove))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


def _requirements(what: str, packages: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(packages, str):
        raise ConfigurationError(f"{what}: packages is a text; give a list, such as [{packages!r}]")
    named: list[str] = []
    for package in packages:
        text = os.fspath(package)
        if not isinstance(text, str) or not text.strip() or text.lstrip().startswith("-"):
            raise ConfigurationError(f"{what}: the package {package!r} is no requirement and no path")
        # pip runs elsewhere
        is_path = isinstance(package, os.PathLike) or os.sep in text or text.endswith(".whl")
        named.append(os.path.abspath(text) if is_path and os.path.exists(text) else text)
    return tuple(named)


def _variables(what: str, env: Mapping[str, str] | None) -> dict[str, str]:
    variables = dict(env or {})
    for name, value in variables.items():
        if not isinstance(name, str) or not isinstance(value, str) or "\0" in name + value or "=" in name:
            raise ConfigurationError(f"{what}: env holds {name!r}: {value!r}; give texts by name")
    return variables


_OWN = [name for name in inspect.signature(LocalCodingAgent).parameters if name != "options"]
