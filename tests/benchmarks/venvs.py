"""A virtual environment for each peer, in a cache folder: made once, then reused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cache", "installed", "made", "present"]

_STAMP = "requirements.txt"
_PATIENCE = 600.0


def cache() -> Path:
    """Where the environments are: `rxagents-benchmarks` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rxagents-benchmarks"


def present(name: str, requirements: list[str]) -> str | None:
    """The interpreter of the environment of this name, if it is there and has just these requirements."""
    folder = cache() / name
    python = _python(folder)
    try:
        stamp = (folder / _STAMP).read_text()
    except OSError:
        return None
    return str(python) if stamp == _stamp(requirements) and python.exists() else None


def made(name: str, requirements: list[str]) -> str:
    """The interpreter of the environment of this name, which is made now unless it is there.

    Raises:
        RuntimeError: It could not be made; says why.
    """
    python = present(name, requirements)
    if python is not None:
        return python
    folder = cache() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements])
    # the last thing to be written: an environment without it was not finished, and is made again
    (folder / _STAMP).write_text(_stamp(requirements))
    return str(_python(folder))


def installed(distribution: str) -> str | None:
    """The version that is installed in the running environment itself."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _stamp(requirements: list[str]) -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    return "".join(f"{line}\n" for line in (f"# Python {python}", *requirements))


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise RuntimeError((errors or lines or [f"exit status {done.returncode}"])[-1].strip())
