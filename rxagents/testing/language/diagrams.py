r"""The marble language: a test as a picture. This page is its grammar, and a test reads every example.

A column is a frame, one virtual second unless said otherwise, and what stands in one column happens
at one instant. A word happens at its first column and takes up the others: time passes meanwhile.

```
--The-cat-sat|         → 2 'The' · 6 'cat' · 10 'sat' · 13 completed
--Well,-_let|          → 2 'Well,' · 8 ' let' · 12 completed                _ is a space
--'a|b'-'it\'s\n'|     → 2 'a|b' · 8 "it's\n" · 17 completed                quoted: \n \t \\ \' \u00e9
---#                   → 3 MarbleError                                             unless error= says another
--a---~                → 2 'a' · 6 interrupted                              of a message or a block
-(a b|)                → 1 'a' · 1 'b' · 1 completed                        all at the column of the (
(a|)-                  → 0 'a' · 0 completed                                which takes up its columns
  -a 500ms b  -|       → 1 'a' · 2.5 'b' · 4.5 completed                    times: ns us ms s m h
--a-^-b                → 2 'a' · 6 'b'                                      ^ the reader subscribes at 4
-@find-|               → 1 call find · 7 completed                          with any arguments
-@find{"id": 17}       → 1 call find {'id': 17}                             with exactly these
-=214-=' a\tb'         → 1 result '214' · 6 result ' a\tb'                  what a tool answered
-[Hi there.]|          → 1 message 'Hi there.' · 12 completed               \] for a ]
-<choice:clerk>        → 1 state 'choice:clerk'                             \> for a >
```

So a word is a run of anything but white space and - | # ( ) ~, and @ = [ < ' and ^ mean something only
where one begins; what has such a character in it is quoted. Spaces are free, and no time, but around
a time progression, which needs one on each side, and within a word or a group of words. Two words
have a frame, a mark or a time between them. A call, a tool or a text that is no JSON object is quoted
too: `@'get-order'`, `@find'{"id'`.

**Bound names.** A run that is bound as a whole is that value; one of which every character is bound is
these, one a column. `#` directly before a bound name is that error.

``` x=17, who='the cat', a=1, b=2, e=ValueError('no')
--who--x-ab|           → 2 'the cat' · 7 17 · 9 1 · 10 2 · 11 completed
--(x #e)               → 2 17 · 2 ValueError('no')
```

**Characters.** Read with `words=False`, as RxJS reads its lanes: each unbound character is one item too.
It is the outermost lane that is read so; those within are messages and blocks, and speak in words.

``` words=False, b=2
-ab-(cb|)              → 1 'a' · 2 2 · 4 'c' · 4 2 · 4 completed
```

**Subscriptions** are drawn with marks of their own: `^` where one begins, `!` where it ends, however it does.

``` subscription=True
--^---!                → 2 · 6
--^-                   → 2 · None
---                    → None · None
```

**Nested.** One lane a line: a label, white space, and the lane, all in the same absolute time. A word that
equals a label means that this lane begins here. The first line needs no label; it has one if a word
stands there with two spaces or more behind it. The labels m, m1, m2, … are of lanes without a name,
messages for the most part; every other is the name of a block, and bot.2 is one more block `bot`. A
name that is no label (of letters, digits, _ and .) is given behind one: `b1='order-agent'`.

```
       ---(m1 bot)-----|
m1     ---Hello-|
bot    ----m2----bot.2|
m2     ----@find-=214~
bot.2  ----------(m3|)
m3     ----------#
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from ...errors import ConfigurationError
from ..lanes import Event, Lane
from .marks import LABEL, DiagramError, MarbleError, frame_of, named, unreadable
from .scanning import Names, Scan
from .spellings import read_quoted
from .subscriptions import Subscription, parse_subscription
from .wordings import seconds

__all__ = ["DiagramError", "MarbleError", "Subscription", "parse", "parse_subscription"]


class _Line(NamedTuple):
    text: str
    label: str
    name: str
    column: int
    start: int


def parse(
    diagram: str,
    values: Mapping[str, Any] = {},
    *,
    frame: float = 1.0,
    words: bool = True,
    error: object = None,
) -> Lane:
    """Reads a marble diagram, as the top of this module describes it; the first line is the lane.

    ```
    out   --m--|       Lane(name="out", events=(Event(2.0, "open", Lane(…)), Event(5.0, "completed")))
    m     --Hi|        Lane(events=(Event(2.0, "next", "Hi"), Event(4.0, "completed")))
    ```

    Args:
        diagram: The text; empty lines and common indentation are ignored.
        values: What its words stand for, by name.
        frame: The seconds of a column.
        words: Whether an unbound run is one word; else, on the outermost lane, each of its characters is
            an item.
        error: What a `#` without a name stands for; if None, a MarbleError.

    Raises:
        DiagramError: It cannot be read.
        ConfigurationError: The frame is no positive number.
    """
    if not isinstance(diagram, str):
        raise ConfigurationError(f"a marble diagram is a text, not {type(diagram).__name__}")
    length = frame_of(frame)
    lines = _split(diagram, values, words)
    labels = frozenset(line.label for line in lines if line.label)
    names = Names(values, labels, words, error)
    return _joined(lines, names, length) if lines else Lane()


def _split(diagram: str, values: Mapping[str, Any], words: bool) -> list[_Line]:
    lines: list[_Line] = []
    for text in diagram.splitlines():
        if text.strip():
            lines.append(_first(text, values, words) if not lines else _other(text))
    seen: set[str] = set()
    for line in lines:
        if line.label in seen:
            raise unreadable(
                line.text, line.column, f"a second lane is labelled {line.label}",
                f"Give it another label; a further block of that name is {line.label}.2",
            )  # fmt: skip
        seen.add(line.label)
    return lines


def _first(text: str, values: Mapping[str, Any], words: bool) -> _Line:
    """The outermost lane, which has a label only if it clearly looks like one."""
    column = len(text) - len(text.lstrip())
    unlabelled = _Line(text, "", "", column, column)
    match = LABEL.match(text, column)
    if match is None or match["label"] in values:
        return unlabelled
    behind = text[match.end() :]
    gap = len(behind) - len(behind.lstrip())
    if not behind.strip():
        return unlabelled
    if gap == 1 and behind[0] == " " and match["name"] is None:
        if words and behind[1] == "-":
            raise unreadable(
                text, column, f"{match['label']} may be a label, or the first word",
                "Leave two spaces behind a label, and none behind a word.",
            )  # fmt: skip
        return unlabelled
    return _other(text)


def _other(text: str) -> _Line:
    column = len(text) - len(text.lstrip())
    match = LABEL.match(text, column)
    if match is None:
        raise unreadable(
            text, column, "a lane without a label",
            "Begin every line but the first with a label (of letters, digits, _ and .) and a space.",
        )  # fmt: skip
    label = match["label"]
    if match["name"] is not None:
        name, _ = read_quoted(text, match.start("name") + 1)
    else:
        name = named(label)
    behind = text[match.end() :]
    return _Line(text, label, name, column, match.end() + len(behind) - len(behind.lstrip()))


def _joined(lines: list[_Line], names: Names, frame: Fraction) -> Lane:
    """Puts each lane in its place on the one that it begins on, the innermost first."""
    spoken = replace(names, words=True)  # lanes within are messages and blocks: they speak in words
    scans = [Scan(line.text, line.start, spoken if at else names, frame) for at, line in enumerate(lines)]
    by_label = {line.label: index for index, line in enumerate(lines) if line.label}
    opened: dict[int, float] = {0: 0.0}
    order = [0]
    for index in order:
        for event, column in scans[index].found:
            if event.kind == "open":
                child = by_label[event.value]
                if child in opened:
                    remedy = "Draw another lane, or quote a word that is said."
                    what = (
                        f"the lane {event.value} begins twice"
                        if child
                        else f"{event.value} is the outermost lane"
                    )
                    raise unreadable(lines[index].text, column, what, remedy)
                opened[child] = event.at
                order.append(child)
    for index, line in enumerate(lines):
        if index not in opened:
            raise unreadable(
                line.text, line.column, f"no lane says when {line.label} begins",
                f"Write {line.label} on the lane on which it begins.",
            )  # fmt: skip
        for event, column in scans[index].found[:1]:
            if event.at < opened[index]:
                raise unreadable(
                    line.text, column,
                    f"this is at {seconds(event.at)}, but {line.label} begins at {seconds(opened[index])}",
                    "All lanes are in the same time: move one of the two.",
                )  # fmt: skip
    lanes: dict[int, Lane] = {}
    for index in reversed(order):
        events = tuple(
            Event(event.at, "open", lanes[by_label[event.value]]) if event.kind == "open" else event
            for event, _ in scans[index].found
        )
        lanes[index] = Lane(events, name=lines[index].name, caret=scans[index].caret)
    return lanes[0]
