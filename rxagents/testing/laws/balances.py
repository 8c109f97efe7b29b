"""The fourth law: markers balance, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reactivex import Observable

from ...operators import Marker, markers, shared
from .audiences import Audience
from .cases import Broken, Case
from .lane_texts import drawn
from .talks import played
from .watches import Watch
from .worlds import HORIZON, Make, World

__all__ = ["brief", "check_balance", "check_own_markers", "ended", "imbalance"]


def check_balance(make: Make, case: Case) -> None:
    """Markers balance, every delta lies inside its block, every message ends exactly once.

    Of a run as it goes, or of one that has ended (`late`).

    Raises:
        Broken: They do not.
    """
    serializer = markers(state="s" in case.options, inputs="i" in case.options)
    with World() as world:
        output = world.do(lambda: make(world)(played(world, case.source)))
        if case.late:
            output = ended(world, output, case.leave_at)
        _look(world, output.pipe(serializer), case)


def check_own_markers(make: Make, case: Case) -> None:
    """The same for an operator whose output is markers already.

    Raises:
        Broken: They do not.
    """
    with World() as world:
        _look(world, world.do(lambda: make(world)(played(world, case.source))), case)


def ended(world: World, source: Observable[Any], at: float | None = None) -> Observable[Any]:
    """A conversation when it has come to its end, or has been disposed at some time."""
    run = shared()(source)
    if at is not None:
        world.at(at, run.dispose)
    world.do(run.begin)
    world.run()
    world.do(run.dispose)
    return run


def _look(world: World, output: Observable[Marker], case: Case) -> None:
    audience = Audience.of(world, case)
    watch = world.do(lambda: audience.attend(output, "markers"))
    world.run(2 * HORIZON)
    world.do(audience.leave)
    world.run(3 * HORIZON)
    words = imbalance(watch.values, whole=watch.end == "completed")
    if words is None and watch.end == "error" and case.raise_after is None:
        words = f"markers failed with {watch.events[-1][2]!r}, and must not"
    if words is not None:
        raise Broken(words, [brief(watch)])


def brief(watch: Watch) -> tuple[str, str]:
    """The markers as a lane of their kinds, with the names and texts that matter."""
    return watch.name, drawn((at, _word(value)) for at, kind, value in watch.events if kind == "next")


def _word(marker: Marker) -> str:
    mark, content = marker
    if mark == "delta":
        return f"delta:{content['content']!r}".replace(" ", "_")
    return f"{mark}:{content}" if mark in ("start", "end", "result") else str(mark)


def imbalance(seen: Sequence[Marker], *, whole: bool) -> str | None:
    """What does not balance in the markers of one run, in words; None if all does.

    Args:
        seen: The markers, in order.
        whole: Whether the run has come to its end; else it was left somewhere.
    """
    book = _Book()
    for mark, content in seen:
        try:
            json.dumps(content)
        except (TypeError, ValueError):
            return f"the content of {mark} is not JSON"
        words = book.enter(mark, content)
        if words is not None:
            return words
    return book.closed() if whole else None


class _Book:
    """What was begun and is not ended yet, by id and path.

    A message or a block may be said in two places, since a step of a chain may pass on what it heard; but
    never in a block and again in one within it.
    """

    def __init__(self) -> None:
        self._blocks: dict[object, tuple[str, ...]] = {}
        self._messages: dict[object, tuple[str, ...]] = {}
        self._over: set[object] = set()
        self._places: dict[str, set[tuple[str, ...]]] = {}
        self._errors = 0
        self._result: Any = None

    def enter(self, mark: Any, content: Any) -> str | None:
        path: tuple[str, ...] = mark.path
        key = (mark.id, path)
        around = path[:-1] if mark == "start" else path
        if self._result is not None:
            return f"{mark} came after the result"
        if around and around not in self._blocks.values():
            return f"{mark} in {' > '.join(around)}, which is not open"
        if key in self._over:
            return f"{mark} for what has ended already"
        if mark == "start":
            if key in self._blocks:
                return f"a second start of {content}"
            self._blocks[key] = path
        elif mark == "end":
            return self._end(key, path)
        elif mark in ("delta", "function_result"):
            if key not in self._messages and self._is_around(mark.id, path):
                return f"{mark} of one message in two blocks, one within the other"
            self._messages[key] = path
        elif mark in ("response", "interrupted"):
            self._message_over(key)
        elif mark == "error":
            self._errors += 1
            if self._errors > 1:
                return "a second error"
            if mark.id and key not in self._blocks:
                self._message_over(key)
        elif mark == "result":
            self._result = content
        elif mark != "state":
            return f"{mark} is no marker"
        return None

    def _is_around(self, id: str, path: tuple[str, ...]) -> bool:
        places = self._places.setdefault(id, set())
        within = any(path[: len(other)] == other or other[: len(path)] == path for other in places)
        places.add(path)
        return within

    def _message_over(self, key: object) -> None:
        self._messages.pop(key, None)
        self._over.add(key)

    def _end(self, key: object, path: tuple[str, ...]) -> str | None:
        if self._blocks.pop(key, None) != path:
            return f"an end of {path[-1]}, which was not begun"
        self._over.add(key)
        if path not in self._blocks.values():  # there may be two of one name, side by side
            for inner in (*self._blocks.values(), *self._messages.values()):
                if inner[: len(path)] == path:
                    return f"an end of {path[-1]}, in which something is open"
        return None

    def closed(self) -> str | None:
        for path in self._blocks.values():
            return f"{' > '.join(path)} was begun and never ended"
        if self._messages:
            return "a message has neither response nor error nor interruption"
        if self._result is None:
            return "there is no result"
        if (self._result == "agent-error") != bool(self._errors):
            return f"the result is {self._result}, and there are {self._errors} errors"
        return None
