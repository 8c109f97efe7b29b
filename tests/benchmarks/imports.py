"""What importing costs, in interpreters of their own."""

from __future__ import annotations

import statistics
import subprocess
import sys

__all__ = ["import_ratios"]

_TIMED = "import time; begun = time.process_time(); {}; print(time.process_time() - begun)"
_THEIRS = "import openai, reactivex; openai.AsyncOpenAI"
_OURS = {
    "import": "import rxagents",
    # the package imports nothing until a name is asked for: this is what a program does
    "names": "from rxagents import Agent, OpenAILLM, Team, Workflow",
}


def import_ratios(rounds: int) -> dict[str, float]:
    """The CPU time of importing rxagents, and of importing names from it: openai and reactivex being 1."""
    ratios: dict[str, list[float]] = {name: [] for name in _OURS}
    for _ in range(rounds):
        theirs = _seconds(_THEIRS)
        for name, statement in _OURS.items():
            ratios[name].append(_seconds(statement) / theirs)
    return {name: statistics.median(each) for name, each in ratios.items() if each}


def _seconds(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
