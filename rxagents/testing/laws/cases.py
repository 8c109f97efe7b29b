"""Case: one example as data; and how the breach of a law is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .talks import Talk, described

__all__ = ["Broken", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """What happens in an example, beside the operator.

    Args:
        source: What the operator hears.
        readers: Who reads each message and block, see `Audience`.
        leave_at: When all leave, in seconds; None: not before the end.
        leave_after: At which item all leave.
        raise_after: At which item a subscriber raises.
        press_after: At which item a subscriber presses the stop buttons of the tree.
        options: Of `markers`: `s` shows the state, `i` the inputs.
        then: What is said in a second run.
        depth: How many teams are put around.
        pace: The seconds to wait in place of those on the lanes.
        in_turn: Whether of what stands side by side each waits for the one before it.
        late: Whether it is heard only when all of it has ended.
    """

    source: Talk
    readers: str = ""
    leave_at: float | None = None
    leave_after: int | None = None
    raise_after: int | None = None
    press_after: int | None = None
    options: str = ""
    then: Talk | None = None
    depth: int = 1
    pace: tuple[int, ...] = ()
    in_turn: bool = False
    late: bool = False

    def described(self) -> list[tuple[str, str]]:
        """What to know of it, as names and words."""
        lines = described(self.source)
        if self.then is not None:
            lines += [("then", ""), *described(self.then)]
        if self.readers:
            lines.append(("readers", f"of each item, {', '.join(self.readers)} s after it came"))
        if self.leave_at is not None:
            lines.append(("disposed" if self.late else "left", f"at {self.leave_at:g} s"))
        if self.leave_after is not None:
            lines.append(("left", f"at item {self.leave_after}"))
        if self.raise_after is not None:
            lines.append(("raises", f"the subscriber, at item {self.raise_after}"))
        if self.press_after is not None:
            lines.append(("presses", f"the subscriber, at item {self.press_after}"))
        if self.options:
            lines.append(("markers", f"options {self.options}"))
        if self.depth != 1:
            lines.append(("teams", str(self.depth)))
        if self.pace:
            lines.append(("pace", f"{', '.join(map(str, self.pace))} s between the marks instead"))
        if self.in_turn:
            lines.append(("heard", "in turn, each when the one before it has ended"))
        if self.late:
            lines.append(("heard", "when all of it had ended"))
        return lines


class Broken(AssertionError):
    """A law was found broken in one example.

    Args:
        found: In words, what is wrong.
        lanes: What was seen, as names and lanes.
    """

    def __init__(self, found: str, lanes: Iterable[tuple[str, str]] = ()) -> None:
        self.found = found
        self.lanes = list(lanes)
        super().__init__("\n".join([found, *(f"  {name}  {lane}" for name, lane in self.lanes)]))
