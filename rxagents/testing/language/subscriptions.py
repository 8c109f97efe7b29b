"""Subscription diagrams: `--^---!`, when something was subscribed to, and when it was left."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..lanes import moment
from .marks import decimal, duration, exact, frame_of, progression, unreadable

__all__ = ["Subscription", "parse_subscription"]

_LONG = 24


@dataclass(frozen=True, slots=True)
class Subscription:
    """When something was subscribed to, and when it was left.

    Args:
        subscribed_at: Seconds; None if it never was.
        unsubscribed_at: Seconds, whether it was left or ended of itself; None if it never was.
    """

    subscribed_at: float | None = None
    unsubscribed_at: float | None = None

    def render(self, frame: float = 1.0) -> str:
        """Draws it, such as `--^---!`; `-` if nothing was subscribed to.

        Args:
            frame: The seconds of a column. If the two are closer than that, a tenth of it is taken, or
                a tenth of that, and the text ends in ` (1 column = 0.1 s)`.
        """
        if self.subscribed_at is None:
            return "-"
        begin, length = exact(self.subscribed_at), frame_of(frame)
        if self.unsubscribed_at is None:
            return _gap(begin, length) + "^"
        rest = exact(self.unsubscribed_at) - begin
        if not rest:
            return _gap(begin, length) + "(^!)"
        while length > rest:
            length /= 10
        text = f"{_gap(begin, length)}^{_gap(rest - length, length)}!"
        return text if length == exact(frame) else f"{text} (1 column = {decimal(length)} s)"


def _gap(seconds: Fraction, frame: Fraction) -> str:
    columns, rest = divmod(seconds, frame)
    if not rest and columns <= _LONG:
        return "-" * int(columns)
    return f" {duration(seconds)} "


def parse_subscription(diagram: str, *, frame: float = 1.0) -> Subscription:
    """Reads a subscription diagram; one of frames only means that there was no subscription.

    ```
    --^---!          subscribed to at 2, left at 6
    --^              subscribed to at 2, never left
    --(^!)           both at 2
    ^ 1.5m !         left after a minute and a half, and the frame of the ^
    ```

    Args:
        diagram: `-` a frame, `^` subscribed, `!` left, `( )` at one instant, and time progressions.
        frame: The seconds of a column.

    Raises:
        DiagramError: It has other characters, one of them twice, or a `!` before its `^`.
    """
    length = frame_of(frame)
    column = frames = 0
    waited = Fraction(0)
    group: float | None = None
    times: dict[str, float] = {}
    while column < len(diagram):
        char = diagram[column]
        waiting = progression(diagram, column)
        if waiting is not None and group is None:
            waited += waiting[0]
            column = waiting[1]
            continue
        now = moment(float(waited + frames * length)) if group is None else group
        if char in "^!":
            if char in times:
                raise unreadable(diagram, column, f"a second {char}", "Draw each subscription on its own.")
            if char == "!" and "^" not in times:
                raise unreadable(diagram, column, "a ! before its ^", "Draw first when it begins.")
            times[char] = now
        elif char == "(" and group is None:
            group = now
        elif char == ")" and group is not None:
            group = None
        elif not char.isspace() and (char != "-" or group is not None):
            raise unreadable(
                diagram,
                column,
                f"{char} does not belong here",
                "Draw with - ^ ! ( ) and times such as 500ms.",
            )
        frames += not char.isspace()
        column += 1
    if group is not None:
        raise unreadable(diagram, diagram.index("("), "a ( without its )", "Close the group behind the !")
    return Subscription(times.get("^"), times.get("!"))
