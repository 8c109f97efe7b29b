"""What is still waiting, in words: for the errors of the virtual loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["callback_name", "in_order", "waiting"]

_SHOWN = 20
_FUTURE_REPR: object = asyncio.Future.__repr__


def in_order(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """By name, Task-9 before Task-10: the set that asyncio keeps has an order of its own in each run."""
    return sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))


def waiting(tasks: Iterable[asyncio.Task[Any]]) -> str:
    ordered = in_order(tasks)
    lines = [f"  {task.get_name()}: {_steps_of(task)} on {_awaited(task)}" for task in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"  … and {len(ordered) - _SHOWN} more tasks")
    return "\n".join(lines) or "  no task, only the future that the loop was run for"


def _steps_of(task: asyncio.Task[Any]) -> str:
    """The coroutines from the task's own to the innermost, such as `main > Queue.get`."""
    names: list[str] = []
    step: Any = task.get_coro()
    while (name := getattr(step, "__qualname__", None)) is not None:
        names.append(name.rpartition("<locals>.")[2])
        step = next(
            (getattr(step, at) for at in ("cr_await", "gi_yieldfrom", "ag_await") if hasattr(step, at)), None
        )
    return " > ".join(names) or repr(task.get_coro())


def _awaited(task: asyncio.Task[Any]) -> str:
    """The future that the task waits for; asyncio's own repr is cut, as it holds paths of the machine."""
    future = getattr(task, "_fut_waiter", None)
    if isinstance(future, asyncio.Task):
        return f"<Task {future.get_name()}>"
    if type(future).__repr__ is _FUTURE_REPR:
        return f"<{type(future).__name__} pending>"
    return repr(future)


def callback_name(handle: asyncio.Handle) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{task.get_name()}: {_steps_of(task)}"
    return str(getattr(callback, "__qualname__", repr(callback)))
