"""What a test expects of a source: when it is subscribed to, called or asked, and until when."""

from __future__ import annotations

from typing import Any

from ...errors import ConfigurationError
from ..language.diagrams import Subscription, parse_subscription
from .expectations import Reading
from .marble_failures import Problem

__all__ = ["SubscriptionExpectation"]


class SubscriptionExpectation:
    """When a source is expected to be subscribed to; `marbles.expect_subscriptions` makes it."""

    def __init__(self, source: Any, reading: Reading, *, title: str) -> None:
        self._known = _known(source, title)
        self.source = source
        self._reading = reading
        self._title = title
        self._expected: list[Subscription] | None = None

    def to_be(self, *diagrams: str) -> None:
        """One diagram for each subscription, such as `"--^---!"`, in order; none: it has none.

        A `!` is where it ended: unsubscribed, cancelled, or with the source itself.
        """
        if self._expected is not None:
            raise ConfigurationError(f"{self._title}: what is expected was said already")
        drawn = [parse_subscription(diagram, frame=self._reading.frame) for diagram in diagrams]
        self._expected = [subscription for subscription in drawn if subscription.subscribed_at is not None]

    @property
    def compared(self) -> bool:
        """Whether it was said what is expected."""
        return self._expected is not None

    @property
    def horizon(self) -> float:
        """The time of the last that is drawn."""
        ends = (drawn.unsubscribed_at or drawn.subscribed_at or 0.0 for drawn in self._expected or ())
        return max(ends, default=0.0)

    def seen(self) -> str:
        """What came, in a line, for a test that never looked at it."""
        return f"{self._title} of {self.source!r}"

    def problem(self) -> Problem | None:
        """What is wrong, when the clock has run."""
        expected = self._expected or []
        actual = [Subscription(entry.at, entry.until) for entry in self._known.subscriptions]
        if expected == actual:
            return None
        frame = self._reading.frame
        lines = []
        for index in range(max(len(expected), len(actual))):
            drawn = expected[index].render(frame) if index < len(expected) else "(never)"
            came = actual[index].render(frame) if index < len(actual) else "(never)"
            lines += [f"expected   {drawn}", f"actual     {came}"]
        return Problem(f"{self._title} of {self.source!r}: other subscriptions", "\n".join(lines))


def _known(source: Any, title: str) -> Any:
    """What knows the subscriptions of a source; they are read when the clock has run."""
    found = getattr(source, "calls", source)
    if not hasattr(found, "subscriptions"):
        raise ConfigurationError(
            f"{title}: {source!r} does not know its subscriptions; give a lane of marbles.hot or "
            "marbles.cold, a message, a model of marbles.llm, a tool of marbles.tool, one of their calls, or "
            "a Probe"
        )
    return found
