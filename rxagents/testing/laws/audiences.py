"""Audience: all who read in an example, and what they do while they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactivex import Observable

from ...operators import Shared
from ...replays import Replay
from ...streams import MessageStream
from .cases import Case
from .watches import Watch
from .worlds import Planted, World

__all__ = ["Audience"]


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
        if case.leave_at is not None and not case.late:
            # armed before any source is: at one instant, who leaves hears no more
            world.at(case.leave_at, audience.leave)
        return audience

    def attend(self, source: Observable[Any], name: str = "seen") -> Watch:
        """Begins to read the whole."""
        if isinstance(source, Shared):  # it goes on without readers
            self._world.owned.append(source)
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
