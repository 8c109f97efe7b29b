"""Reads the lane of one line: what stands in its columns, and when that is."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

from ..lanes import Event, moment
from .marks import BEGINNINGS, LETTERS, RUN, MarbleError, is_label, progression, unreadable
from .spellings import read_special

__all__ = ["Found", "Names", "Scan"]


class Found(NamedTuple):
    """An event and its column; the value of an `open` is still the label."""

    event: Event
    column: int


@dataclass(frozen=True, slots=True)
class Names:
    """What the words of a diagram may stand for.

    Args:
        values: What is bound.
        labels: The lanes.
        words: Whether an unbound run is one word, or as many characters.
        error: What a `#` stands for.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    labels: Set[str] = frozenset()
    words: bool = True
    error: object = None


class Scan:
    """One reading of one lane.

    Args:
        line: The whole line.
        start: The column at which its lane begins.
        names: What words stand for.
        frame: The seconds of a column.
    """

    def __init__(self, line: str, start: int, names: Names, frame: Fraction) -> None:
        self.found: list[Found] = []
        self.caret: float | None = None
        self._line = line
        self._column = start
        self._names = names
        self._frame = frame
        self._frames = 0
        self._waited = Fraction(0)
        self._group: tuple[int, float] | None = None
        self._end: str | None = None
        self._word_before = False
        while self._column < len(line):
            self._step(line[self._column])
        if self._group is not None:
            self._refuse("a ( without its )", "Close the group behind its last word.", self._group[0])

    @property
    def _now(self) -> float:
        if self._group is not None:
            return self._group[1]
        return moment(float(self._waited + self._frames * self._frame))

    def _step(self, char: str) -> None:
        waiting = progression(self._line, self._column)
        if waiting is not None and self._group is None:
            self._waited += waiting[0]
            self._column = waiting[1]
            self._word_before = False
        elif waiting is not None:
            self._refuse("time cannot pass within ( )", "Write it before or behind the group, or quote it.")
        elif char.isspace():
            self._space()
        elif char in "-()^|~#":
            self._mark(char)
        elif char in BEGINNINGS and (self._names.words or char not in self._names.values):
            self._special()
        else:
            self._run()

    def _space(self) -> None:
        if self._group is not None and self._names.words:
            self._pass(1)  # there it parts the words, and so has its place in the picture
            self._word_before = False
        else:
            self._column += 1

    def _mark(self, char: str) -> None:
        if char == "-" and self._group is not None:
            self._refuse(
                "time cannot pass within ( )", "Write the - behind the group; quote one that is said."
            )
        elif char == "(":
            if self._group is not None:
                self._refuse("a group within a group", "All within ( ) happens at once; one pair is enough.")
            self._group = (self._column, self._now)
        elif char == ")":
            if self._group is None:
                self._refuse("a ) without its (", "Open the group, or quote a ) that is said.")
            self._pass(1)
            self._group = None
            self._word_before = False
            return
        elif char == "^":
            if self.caret is not None:
                self._refuse("a second ^", "A lane is subscribed to once; quote a ^ that is said.")
            self.caret = self._now
        elif char == "|":
            self._add(Event(self._now, "completed"))
        elif char == "~":
            self._add(Event(self._now, "interrupted"))
        elif char == "#":
            self._fail()
            return
        self._pass(1)
        self._word_before = False

    def _fail(self) -> None:
        run = RUN.match(self._line, self._column + 1)
        bound = run[0] if run is not None and run[0] in self._names.values else None
        if bound is not None:
            value = self._names.values[bound]
        else:
            value = MarbleError() if self._names.error is None else self._names.error
        self._add(Event(self._now, "error", value))
        self._pass(1 + len(bound or ""))

    def _special(self) -> None:
        if not self._names.words:
            self._refuse(
                "this lane reads single characters, and this begins a word",
                "Bind the character, or read the lane as words.",
            )
        self._part()
        kind, value, end = read_special(self._line, self._column)
        self._add(Event(self._now, kind, value))
        self._pass(end - self._column)
        self._word_before = True

    def _run(self) -> None:
        pattern = RUN if self._names.words else LETTERS
        match = pattern.match(self._line, self._column)
        assert match is not None
        run = match[0]
        names = self._names
        if run in names.labels or run in names.values:
            self._item(run)
        elif all(char in names.values for char in run) or not names.words:
            for char in run:
                self._item(char)
        else:
            if is_label(run, names.labels):
                self._refuse(f"no lane is labelled {run}", f"Draw it, or quote a word that is said: '{run}'")
            self._part()
            self._add(Event(self._now, "next", run.replace("_", " ")))
            self._pass(len(run))
            self._word_before = True

    def _item(self, name: str) -> None:
        self._part()
        if name in self._names.labels and name in self._names.values:
            self._refuse(f"{name} is both a lane and a bound value", "Rename one of the two.")
        if name in self._names.labels:
            self._add(Event(self._now, "open", name))
        else:
            self._add(Event(self._now, "next", self._names.values.get(name, name)))
        self._pass(len(name))
        self._word_before = len(name) > 1

    def _part(self) -> None:
        if self._word_before:
            self._refuse(
                "two words with no frame between them",
                "Part them by a -, or join them: a space within a word is written _, or as a 'quoted one'.",
            )

    def _add(self, event: Event) -> None:
        if self._end is not None:
            self._refuse(f"nothing can follow the end of a lane, and it ended at {self._end}",
                         "Take one of the two away; quote a mark that is said.")  # fmt: skip
        if event.ends:
            self._end = self._line[self._column]
        self.found.append(Found(event, self._column))

    def _pass(self, columns: int) -> None:
        self._column += columns
        self._frames += columns

    def _refuse(self, what: str, remedy: str, column: int | None = None) -> NoReturn:
        raise unreadable(self._line, self._column if column is None else column, what, remedy)
