"""Workspace: a directory of its own for the programs of one turn, and what they run with."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..engine.loops import dropped
from ..errors import ConfigurationError, RunCancelledError
from .programs import Program
from .run_limits import Outcome, RunLimits

__all__ = ["Heard", "Workspace", "WorkspaceSettings"]

# A virtual environment and what is installed into it: nothing that a program of the model limits.
_SETUP = RunLimits(time=300.0, memory=None, processes=None)


@dataclass(frozen=True, slots=True)
class WorkspaceSettings:
    """What the programs of a workspace run with.

    Args:
        limits: What each program may take.
        venv: Whether they run in a virtual environment.
        packages: What is installed into it: requirements and paths, as pip takes them.
        pip: Whether there is a pip in it, beyond what the packages need.
        env: Variables to add to the environment.
    """

    limits: RunLimits = field(default_factory=RunLimits)
    venv: bool = False
    packages: tuple[str, ...] = ()
    pip: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """A program's output, how it ended, the limits it had, and what could not be made if it failed."""

    output: str
    outcome: Outcome
    limits: RunLimits
    missing: str = ""

    @property
    def words(self) -> str:
        """How it ended, for the model."""
        words = self.outcome.words(self.limits)
        return f"{self.missing} could not be made: {words}" if self.missing else words


class Workspace:
    """A fresh directory in which programs run, one after the other; made when first needed.

    ```
    <root>/files/     where programs run, their HOME and their TMPDIR; holds program_1.py, …
           setup/     the same for pip
           venv/      the virtual environment
    ```

    Whoever has it closes it: `kill`, then `remove` in a thread, since it blocks. What was forgotten is
    removed when it is collected, or when the program ends.

    Args:
        settings: What the programs run with.
    """

    def __init__(self, settings: WorkspaceSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._programs: list[Program] = []
        self._count = 0
        self._has_venv = False
        self._closed = False
        self._gone = False
        self._removing = threading.Lock()
        self._root: Path | None = None
        self._remove: Callable[[], object] | None = None

    @property
    def opened(self) -> bool:
        """Whether there is a directory to remove."""
        return self._root is not None and not self._gone

    async def run(self, code: str, said: Callable[[str], None]) -> Heard:
        """Runs a Python program, once those before it have ended.

        Args:
            code: Its text.
            said: Called with each piece of its output, and of what making the environment says.

        Returns:
            How it went; or how making the environment went, where that failed.
        """
        async with self._turn:
            failed = await self._set_up(said)
            if failed is not None:
                return failed
            self._count += 1
            file = self._opened() / "files" / f"program_{self._count}.py"
            file.write_text(code, encoding="utf-8")
            # as with -I, but the program may import what is in its own directory
            command = [self._python, "-E", "-s", "-u", "-X", "utf8", str(file)]
            return await self._hear(command, "files", self._settings.limits, said)

    async def install(self, requirements: Sequence[str], said: Callable[[str], None]) -> Heard:
        """Installs into the virtual environment, with pip.

        Raises:
            ConfigurationError: One of them is an option of pip's.
        """
        for requirement in requirements:
            if requirement.lstrip().startswith("-"):
                raise ConfigurationError(
                    f"{requirement!r} is an option, not a requirement; name packages only"
                )
        async with self._turn:
            failed = await self._set_up(said)
            if failed is not None:
                return failed
            return await self._pip(requirements, said)

    async def _set_up(self, said: Callable[[str], None]) -> Heard | None:
        """Makes the virtual environment, unless there is one; how that went, if it failed."""
        settings = self._settings
        if not settings.venv or self._has_venv:
            return None
        needs_pip = settings.pip or bool(settings.packages)
        made = await self._hear(
            [
                *(sys.executable, "-I", "-u", "-X", "utf8", "-m", "venv", "--clear"),
                *(() if needs_pip else ("--without-pip",)),
                str(self._opened() / "venv"),
            ],
            "setup",
            _SETUP,
            said,
        )
        if made.outcome.code == 0 and settings.packages:
            made = await self._pip(settings.packages, said)
        self._has_venv = made.outcome.code == 0
        return None if self._has_venv else replace(made, missing="the virtual environment")

    async def _pip(self, requirements: Sequence[str], said: Callable[[str], None]) -> Heard:
        python = str(self._opened() / "venv" / "bin" / "python")
        pip = [python, "-I", "-u", "-X", "utf8", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        return await self._hear(
            [*pip, "install", "--progress-bar=off", "--", *requirements], "setup", _SETUP, said
        )

    @property
    def _python(self) -> str:
        if not self._settings.venv:
            return sys.executable
        return str(self._opened() / "venv" / "bin" / "python")

    async def _hear(
        self, command: Sequence[str], where: str, limits: RunLimits, said: Callable[[str], None]
    ) -> Heard:
        if self._closed:
            raise RunCancelledError("the turn that this program belongs to has ended")
        directory = self._opened() / where
        program = Program(
            command, directory=directory, env=self._env(directory), limits=limits, on_orphaned=self.remove
        )
        self._programs = [*(other for other in self._programs if other.outcome is None), program]
        output: list[str] = []
        try:
            async for text in program:
                output.append(text)
                said(text)
        except BaseException:
            program.kill()
            raise
        if program.outcome is None:
            raise RunCancelledError("the event loop ended while a program was running")
        return Heard("".join(output), program.outcome, limits)

    def _env(self, directory: Path) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        env = {"LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": str(directory), "TMPDIR": str(directory)}
        if self._settings.venv:
            venv = self._opened() / "venv"
            env["VIRTUAL_ENV"] = str(venv)
            path = f"{venv / 'bin'}{os.pathsep}{path}"
        return {"PATH": path, **env, **self._settings.env}

    def _opened(self) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="rxagents-")).resolve()
            self._remove = weakref.finalize(self, _removed, self._root, os.getpid())
            for name in ("files", "setup"):
                (self._root / name).mkdir()
        return self._root

    def kill(self) -> None:
        """Kills what is running; nothing can be run any more."""
        self._closed = True
        for program in self._programs:
            program.kill()

    def remove(self) -> None:
        """Waits until all that was killed is gone, and removes the directory. Blocks."""
        self.kill()
        with self._removing:
            for program in self._programs:
                program.wait_until_gone()
            if self._remove is not None:
                self._remove()
            self._gone = True

    def abandon(self) -> None:
        """Kills and removes in a thread, for when no loop is left to wait on."""
        self.kill()
        if self.opened:
            threading.Thread(target=self.remove, name="rxagents-remove", daemon=True).start()


def _removed(root: Path, owner: int) -> None:
    if os.getpid() != owner:  # a fork ends, and it is not the one who made it
        return
    shutil.rmtree(root, ignore_errors=True)
    if not root.exists():
        return
    # a program may have taken away our right to list its directories
    for directory, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                with suppress(OSError):
                    os.chmod(path, 0o700)
    try:
        shutil.rmtree(root)
    except OSError as error:
        dropped(error, f"the directory {root} of a program could not be removed")
