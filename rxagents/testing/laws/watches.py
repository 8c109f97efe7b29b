"""Watch and Audience: who reads in an example, and writes down all that is heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc

from ...replays import Replay
from ...schedulers import LoopScheduler
from ...streams import MessageStream
from .cases import Case
from .lane_texts import drawn
from .worlds import Planted, World

__all__ = ["Audience", "Watch"]


class Watch:
    """One reader of one observable.

    Attributes:
        events: What came, as (seconds, kind, value), the kinds being `next`, `error`, `completed`.
        wrong: How the observable broke its contract, in words.
        over: Whether it has ended, or was left.
    """

    def __init__(
        self, world: World, name: str, met: Callable[[Watch, Any], None], left: Callable[[], None]
    ) -> None:
        self.name = name
        self.events: list[tuple[float, str, Any]] = []
        self.wrong: list[str] = []
        self.over = False
        self._world = world
        self._met = met
        self._left = left
        self._leaving = False
        self._busy = False
        self._end = ""
        self._raised = False
        self._subscription: abc.DisposableBase | None = None

    @property
    def values(self) -> list[Any]:
        """What came, without the times and the end."""
        return [value for _, kind, value in self.events if kind == "next"]

    @property
    def end(self) -> str:
        """`completed`, `error`, or nothing if it was left, or has not ended."""
        kind = self.events[-1][1] if self.events else ""
        return "" if kind == "next" else kind

    @property
    def whole(self) -> bool:
        """Whether it has heard the observable's own end."""
        return self._end.startswith("on_") and not self._raised

    def read(self, source: Observable[Any]) -> None:
        """Subscribes."""
        scheduler = LoopScheduler(self._world.loop)
        subscription = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )
        self._subscription = subscription
        if self._leaving:
            self.leave()

    def leave(self) -> None:
        """Disposes; within an `on_next` before `subscribe` has returned, as soon as it has."""
        self._leaving = True
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            if not self.over:
                self._over("it was left")
            subscription.dispose()

    def _on_next(self, value: Any) -> None:
        self._check("on_next")
        if self._raised:
            self.wrong.append(f"{self.name}: on_next was called after its subscriber had raised")
        if self._busy:
            self.wrong.append(f"{self.name}: on_next was called within an on_next")
        self.events.append((self._world.now, "next", value))
        self._busy = True
        try:
            self._met(self, value)
        except Planted:
            self._raised = True
            raise
        finally:
            self._busy = False

    def _on_error(self, error: Exception) -> None:
        self._check("on_error")
        self._ended("error", error)

    def _on_completed(self) -> None:
        self._check("on_completed")
        self._ended("completed", None)

    def _ended(self, kind: str, value: Any) -> None:
        if self._busy:
            self.wrong.append(f"{self.name}: on_{kind} was called within an on_next")
        self.events.append((self._world.now, kind, value))
        self._over(f"on_{kind}")

    def _check(self, what: str) -> None:
        if self._end:
            self.wrong.append(f"{self.name}: {what} was called after {self._end}")

    def _over(self, how: str) -> None:
        self._end = how
        self.over = True
        self._left()

    def drawn(self) -> str:
        """All of it as a lane."""
        ends = {"completed": "|", "error": "#"}
        events = [(at, ends.get(kind) or _word(value)) for at, kind, value in self.events]
        return drawn(events) or "(nothing)"


def _word(value: Any) -> str:
    if isinstance(value, Replay):
        return value.name if getattr(value, "name", None) else "message"
    if isinstance(value, tuple) and len(value) == 2:
        return f"{value[0]}"
    if type(value) is dict:
        value = value.get("content")
    return f"{value!r:.40}".replace(" ", "_")


class Audience:
    """All who read in an example: one reader of the whole, and as many of each item as `readers` says.

    Args:
        world: Where they are.
        readers: For each reader of an item, the seconds that it comes late: `"02"` are one who comes at
            once and one who comes two seconds later. Nobody reads the items if it is empty.
        case: At which item all leave, one raises, or the buttons of the tree are pressed.

    Attributes:
        watches: The readers, in the order in which they came.
        items: What was read by more than the whole's reader, with its readers.
        over_at: When the last of them had ended or left.
    """

    def __init__(self, world: World, readers: str = "", case: Case | None = None) -> None:
        self.watches: list[Watch] = []
        self.items: dict[Replay[Any], list[Watch]] = {}
        self.on_over: Callable[[], None] = lambda: None
        self._world = world
        self._readers = readers
        self._case = case
        self._heard = 0
        self._to_come = 0
        self._gone = False

    @classmethod
    def of(cls, world: World, case: Case) -> Audience:
        """As a case describes it."""
        audience = cls(world, case.readers, case)
        if case.leave_at is not None:
            # armed before any source is: at one instant, who leaves hears no more
            world.at(case.leave_at, audience.leave)
        return audience

    def attend(self, source: Observable[Any], name: str = "seen") -> Watch:
        """Begins to read the whole."""
        watch = self._seat(name)
        watch.read(source)
        return watch

    def leave(self) -> None:
        """All leave, the reader of the whole first; and what is owned is disposed."""
        self._gone = True
        for watch in self.watches:
            watch.leave()
        for thing in self._world.owned:
            thing.dispose()

    @property
    def wrong(self) -> list[str]:
        """How the contract was broken, in words."""
        return [words for watch in self.watches for words in watch.wrong]

    def drawn(self) -> list[tuple[str, str]]:
        """What they heard, as lanes."""
        return [(watch.name, watch.drawn()) for watch in self.watches]

    def _seat(self, name: str) -> Watch:
        watch = Watch(self._world, name, self._meet, self._left)
        self.watches.append(watch)
        return watch

    def _meet(self, watch: Watch, item: Any) -> None:
        if isinstance(item, Replay) and item not in self.items:
            self.items[item] = []
            for late in self._readers:
                self._invite(item, int(late))
        self._heard += 1
        case = self._case
        if case is None:
            return
        if self._heard == case.press_after:
            for button in self._world.buttons:
                button.on_next("pressed")
        if self._heard == case.leave_after:
            self.leave()
        if self._heard == case.raise_after:
            raise Planted("the subscriber failed")

    def _invite(self, item: Replay[Any], late: int) -> None:
        if not late:
            self._read(item)
            return

        def come() -> None:
            self._to_come -= 1
            self._read(item)

        self._to_come += 1
        self._world.at(self._world.now + late, come)

    def _read(self, item: Replay[Any]) -> None:
        if self._gone:
            return
        kind = "message" if isinstance(item, MessageStream) else "block"
        watch = self._seat(f"  {kind} {getattr(item, 'name', None) or ''}".rstrip())
        self.items[item].append(watch)
        watch.read(item)

    def _left(self) -> None:
        if not self._to_come and all(watch.over for watch in self.watches):
            self.on_over()
