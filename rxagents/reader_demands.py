"""ReaderDemand: what those who read a replay, and those who hold it, want of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Protocol

from reactivex import abc

from .cursors import Cursor
from .engine.demands import BUFFER, Demand, Watchers
from .engine.loops import current_loop

__all__ = ["ReaderDemand"]

# Whenever anybody begins or ceases to read or hold anything, what was found before is out of date.
_ages = count(1)
_age = 0

_ANY = 1_000_000


class Read(Protocol):
    """What is read and held: a replay."""

    @property
    def _readers(self) -> tuple[Any, ...]: ...
    @property
    def _holds(self) -> Sequence[Demand | None]: ...
    @property
    def _started_for(self) -> Demand | None: ...
    @property
    def _unread(self) -> int: ...
    @property
    def _runs_ahead(self) -> bool: ...


class ReaderDemand(Demand):
    """The demand that the source of a replay serves: the fastest of its readers decides.

    Who holds it wants it to go on as soon as he waits for something, which may be its end, and then one
    buffer for each turn of the loop, as he may soon have what he waits for; while he does not, only the
    first buffer of what nobody reads yet. With neither readers nor holds it is as whoever
    started it wants it.

    Demands refer to demands, as deeply as replays are nested, and maybe in a circle. So whose demands it
    comes down to is found in a loop, and kept for as long as nobody comes or goes.

    Args:
        replay: What is read.
    """

    def __init__(self, replay: Read) -> None:
        self._replay: Read = replay
        self._watchers = Watchers()
        self._attendance = Watchers()
        self._follower: _Follower | None = None
        self._found: tuple[int, _Ends] | None = None
        self._allowed = BUFFER
        self._turn_awaited = False

    @property
    def wanted(self) -> bool:
        for reader in self._replay._readers:  # the common case, asked for at each read of a socket
            if isinstance(reader, Cursor):
                demand = reader.demand
                if demand is None or (demand.__class__ is not ReaderDemand and demand.wanted):
                    return True
        ends = self._ends()
        return ends.wanted and (ends.everything or self._is_allowed())

    @property
    def room(self) -> int:
        room = 0
        for reader in self._replay._readers:
            if isinstance(reader, Cursor):
                demand = reader.demand
                if demand is None:
                    return _ANY
                if demand.__class__ is not ReaderDemand:
                    room = max(room, demand.room)
        return room

    @property
    def idle(self) -> bool:
        return self._ends().idle

    def watch(self, callback: Callable[[], None], cares: Watchers | None = None) -> abc.DisposableBase:
        watching = self._watchers.add(callback, cares)
        if self._follower is None:
            # kept to the end: a source that has paused will do so again
            self._follower = _Follower(self, self._watchers)
        return watching

    def changed(self) -> None:
        """Says that there are other readers or holds."""
        global _age
        _age = next(_ages)
        self._attendance.tell()

    def ended(self) -> None:
        """Says that all is read: contexts that outlive the replay refer to it no more."""
        self._replay = _Ended(self._replay._started_for)
        self.changed()
        if self._follower is not None and not self._watchers:
            self._follower.dispose()
            self._follower = None

    def asked(self) -> Iterator[tuple[Demand | None, bool]]:
        """Whose demand it is, and whether that one decides only while he waits."""
        replay = self._replay
        read = False
        for reader in replay._readers:
            # one that reads it from within it would wait for itself
            if isinstance(reader, Cursor) and reader.demand is not self:
                read = True
                yield reader.demand, False
        ahead = read or replay._unread >= BUFFER
        for holder in replay._holds:
            yield holder, ahead
        if not (read or replay._holds):
            yield replay._started_for, False

    @property
    def fleeting(self) -> bool:
        """Whether this may become different by itself."""
        replay = self._replay
        return replay._runs_ahead and bool(replay._holds) and replay._unread < BUFFER

    def _is_allowed(self) -> bool:
        if self._replay._unread < self._allowed:
            return True
        if not self._turn_awaited:
            self._turn_awaited = True
            current_loop().call_soon(self._allow_more)
        return False

    def _allow_more(self) -> None:
        self._turn_awaited = False
        self._allowed = self._replay._unread + BUFFER
        self._watchers.tell()

    def _ends(self) -> _Ends:
        if self._found is not None and self._found[0] == _age:
            return self._found[1]
        age, ends = _age, _Ends(self)
        self._found = None if ends.fleeting else (age, ends)
        return ends


class _Ended:
    """What is left of a replay that has ended."""

    _readers: tuple[Any, ...] = ()
    _holds: tuple[Demand | None, ...] = ()
    _unread = 0
    _runs_ahead = False

    def __init__(self, started_for: Demand | None) -> None:
        self._started_for = started_for


class _Ends:
    """What a demand comes down to.

    Attributes:
        everything: Whether somebody wants all that there is.
        inner: The demands of replays on the way.
        leaves: The demands at the ends, and whether each decides only while somebody waits.
    """

    def __init__(self, demand: ReaderDemand) -> None:
        self.everything = False
        self.fleeting = False
        self.inner: dict[ReaderDemand, bool] = {}
        self.leaves: dict[Demand, bool] = {}
        asked: list[tuple[Demand | None, bool]] = [(demand, False)]
        while asked:
            each, must_wait = asked.pop()
            if each is None:
                self.everything = True
            elif not isinstance(each, ReaderDemand):
                self.leaves[each] = must_wait and self.leaves.get(each, True)
            elif must_wait >= self.inner.get(each, 2):
                pass  # it was asked already, and by one who had no less to say
            else:
                self.inner[each] = must_wait
                self.fleeting = self.fleeting or each.fleeting
                asked += [(other, must_wait or only_idle) for other, only_idle in each.asked()]
        if not self.leaves:
            self.everything = True  # who reads what in a circle is nobody who could be slow

    @property
    def wanted(self) -> bool:
        return self.everything or any(
            leaf.idle if must_wait else leaf.wanted for leaf, must_wait in self.leaves.items()
        )

    @property
    def idle(self) -> bool:
        return self.everything or any(leaf.idle for leaf in self.leaves)


class _Follower(abc.DisposableBase):
    """Watches all demands that one comes down to, and follows when these become others."""

    def __init__(self, demand: ReaderDemand, watchers: Watchers) -> None:
        self._demand = demand
        self._watchers = watchers
        self._watched: dict[Demand, abc.DisposableBase] = {}
        self._follow()

    def _follow(self) -> None:
        ends = self._demand._ends()
        for gone in self._watched.keys() - ends.inner.keys() - ends.leaves.keys():
            self._watched.pop(gone).dispose()
        for inner in ends.inner.keys() - self._watched.keys():
            self._watched[inner] = inner._attendance.add(self._attendance_changed)
        for leaf in ends.leaves.keys() - self._watched.keys():
            self._watched[leaf] = leaf.watch(self._watchers.tell, self._watchers)

    def _attendance_changed(self) -> None:
        self._follow()
        self._watchers.tell()

    def dispose(self) -> None:
        for watching in self._watched.values():
            watching.dispose()
        self._watched.clear()
