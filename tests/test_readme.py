"""The README's code runs and prints what the README says; its commands are those that CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
PROGRAMS = [
    (code, BLOCKS[at + 1][1] if at + 1 < len(BLOCKS) and BLOCKS[at + 1][0] == "text" else "")
    for at, (language, code) in enumerate(BLOCKS)
    if language == "python"
]


def without_keys() -> dict[str, str]:
    """The environment, less whatever would lead to a real service."""
    hidden = ("OPENAI_", "AZURE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


TESTS = [program for program in PROGRAMS if "(marbles" in program[0]]
PROGRAMS = [program for program in PROGRAMS if program not in TESTS]


@pytest.mark.parametrize(("code", "printed"), PROGRAMS, ids=[f"block{n}" for n in range(len(PROGRAMS))])
def test_the_readmes_programs_print_what_it_says(code: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=50,
        env=without_keys(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


@pytest.mark.parametrize(("code", "shown"), TESTS, ids=[f"test{n}" for n in range(len(TESTS))])
def test_the_readmes_tests_pass_or_fail_as_it_says(code: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / "test_bot.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_bot.py"],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
        env=without_keys(),
        check=False,
    )
    if shown:
        assert done.returncode == 1
        assert f"\n{shown}" in done.stdout
    else:
        assert done.returncode == 0, done.stdout


def test_the_readme_has_programs_for_a_pipeline_a_team_and_a_test() -> None:
    assert len(PROGRAMS) >= 3
    assert sorted(bool(shown) for _, shown in TESTS) == [False, False, True], "some pass, one fails"
    for heading in ("## A first pipeline", "## A first team", "## Test it like a picture"):
        assert heading in README


def test_the_first_two_commands_set_up_and_run_the_demo_and_the_tests() -> None:
    commands = [code for language, code in BLOCKS if language == "sh"]
    assert "-m rxagents demo" in commands[0]
    assert "-m pytest" in commands[1]
