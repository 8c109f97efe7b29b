"""The calls of a model or tool: each can be spoken of before it is made."""

from __future__ import annotations

from collections.abc import Iterator

from .subscription_logs import Subscribed, SubscriptionLog

__all__ = ["CallList", "CallRef"]


class CallRef:
    """One call, made or not: `llm.calls[0]` is a promise of the first.

    Args:
        log: The calls that were made.
        index: Which one this is, from 0.
        title: For the pictures.
    """

    def __init__(self, log: SubscriptionLog, index: int, title: str) -> None:
        self._log = log
        self._index = index
        self._title = title

    @property
    def subscriptions(self) -> tuple[Subscribed, ...]:
        """The one subscription that this call is, once it was made."""
        return (self._log[self._index],) if self._index < len(self._log) else ()

    def __repr__(self) -> str:
        return self._title


class CallList:
    """The calls of one model or tool, in the order in which they were made.

    `len` and iteration are about those that were made; an index beyond them gives a promise.
    """

    def __init__(self, title: str) -> None:
        self.subscriptions = SubscriptionLog()
        self._title = title

    def begin(self, now: float) -> Subscribed:
        """Notes a new call."""
        return self.subscriptions.begin(now)

    def __getitem__(self, index: int) -> CallRef:
        if index < 0:
            raise IndexError(f"{self._title}[{index}]: count the calls from 0, they may not be made yet")
        return CallRef(self.subscriptions, index, f"{self._title}[{index}]")

    def __len__(self) -> int:
        return len(self.subscriptions)

    def __iter__(self) -> Iterator[CallRef]:
        return iter([self[index] for index in range(len(self))])

    def __repr__(self) -> str:
        return self._title
