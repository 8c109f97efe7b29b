"""When something was subscribed to, called or asked, and when that ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..lanes import moment

__all__ = ["Subscribed", "SubscriptionLog"]


@dataclass(slots=True)
class Subscribed:
    """One subscription, while it lasts.

    Args:
        at: When it began, in seconds.
        until: When it ended, however it did; None while it is open.
    """

    at: float
    until: float | None = None

    def end(self, now: float) -> None:
        """Notes the end; a second one changes nothing."""
        if self.until is None:
            self.until = moment(now)


class SubscriptionLog:
    """The subscriptions of one source, in the order in which they began."""

    def __init__(self) -> None:
        self._entries: list[Subscribed] = []

    def begin(self, now: float) -> Subscribed:
        """Notes a new one."""
        entry = Subscribed(moment(now))
        self._entries.append(entry)
        return entry

    @property
    def open(self) -> int:
        """How many have not ended."""
        return sum(entry.until is None for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Subscribed]:
        return iter(tuple(self._entries))

    def __getitem__(self, index: int) -> Subscribed:
        return self._entries[index]
