"""What a run of the clock leaves behind that a test should not: unused, unhandled, open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from .drawn_lanes import HotLane
from .drawn_models import MarbleLLM
from .drawn_tools import MarbleTool
from .marble_failures import Problem
from .palettes import Drawn
from .subscription_logs import SubscriptionLog
from .virtual_runs import VirtualRun, in_words

__all__ = ["Leftover", "left_over", "waits"]

Leftover = Literal["unread", "unused", "errors", "open"]

_SHOWN = 10


def left_over(
    sources: Sequence[Drawn], run: VirtualRun, looked_at: Sequence[object] = ()
) -> dict[Leftover, Problem]:
    """What is left when everything has been unsubscribed; empty if all is well.

    Args:
        sources: What was drawn.
        run: The run of the clock.
        looked_at: Sources whose subscriptions the test compares itself: that nobody asked may be the point.
    """
    found: dict[Leftover, list[str]] = {
        "unused": [
            words
            for source in sources
            if not any(source is looked for looked in looked_at)
            for words in _unused(source)
        ],
        "errors": [in_words(error, what) for error, what in run.errors],
        "open": [*(words for source in sources for words in _open(source)), *_going(run)],
    }
    titles: dict[Leftover, str] = {
        "unused": "drawn, and nobody asked for it (the way out: marbles.allow('unused'))",
        "errors": "errors that nobody handled (the way out: marbles.errors, and marbles.allow('errors'))",
        "open": "left open at the end (the way out: marbles.allow('open'))",
    }
    return {kind: Problem(titles[kind], _listed(lines)) for kind, lines in found.items() if lines}


def waits(sources: Sequence[Drawn], run: VirtualRun) -> str:
    """What is waiting when nothing can happen any more: lanes without an end first, then tasks."""
    endless = [f"  {words}, and its lane has no end" for source in sources for words in _open(source)]
    tasks = run.waiting()
    return "\n".join([*endless, tasks] if tasks else endless)


def _unused(source: Drawn) -> Iterable[str]:
    if isinstance(source, HotLane) and not len(source.subscriptions):
        yield f"{source!r} was never subscribed to"
    elif isinstance(source, MarbleLLM | MarbleTool) and source.unused:
        made = len(source.calls)
        yield f"{source!r} was asked {made} {'time' if made == 1 else 'times'}; {source.unused} more drawn"


def _open(source: Drawn) -> Iterable[str]:
    drawn: Any = source  # a drawn message has its log too
    log: SubscriptionLog = getattr(drawn, "calls", drawn).subscriptions
    for entry in log:
        if entry.until is None:
            yield f"{source!r}, subscribed to at {entry.at:g} s"


def _going(run: VirtualRun) -> Iterable[str]:
    for task in run.left_open():
        yield f"the task {task}"
    for timer in run.endless:
        yield f"the timer of {timer}, which is set again and again; it is {run.now:g} s"


def _listed(lines: list[str]) -> str:
    shown = [f"- {line}" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"- … and {len(lines) - _SHOWN} more")
    return "\n".join(shown)
