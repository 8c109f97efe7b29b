r"""The page: a conversation as Markdown that a person can read and edit.

```
user
========================================
Where is my order?

assistant / gpt-4o-mini
========================================
<!-- rxagents {"name": "bot", "finish_reason": "stop"} -->
It is on its way.

<!-- rxagents also {"variables": {"order": 214}} -->
```

A line with a role, or a role and a model, that is underlined with `=` begins a message. That is the
layout of MiniAgents' chat files; their other one, a name underlined with `-`, is read as well, up to
the first header of this one. What a page cannot show (the speaker's name, tokens, tool steps, fields of
one's own) stands in a comment below the header, and what belongs to no message (variables, usage, log)
in a comment of its own. Whoever edits need not mind them: without, it is a plain message.

A line of a message that would be taken for an underline or such a comment has a `\` before it, in a code
fence too, since a message that was cut may leave one open. Blank lines around a message do not count;
those that the message itself has stand in its comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .item_data import json_text

__all__ = ["Also", "Part", "Section", "page_of", "parts_of"]

_UNDERLINE = "=" * 40
_ROLES = ("system", "developer", "user", "assistant", "tool")
_HEADER = re.compile(rf" {{0,3}}({'|'.join(_ROLES)})\s*(?:/\s*(\S+)\s*)?", re.IGNORECASE)
_NAME = re.compile(r" {0,3}(\w[\w.:@-]{0,63})\s*(?:/\s*(\S+)\s*)?")
_DOUBLE = re.compile(r" {0,3}={3,}\s*")
_SINGLE = re.compile(r" {0,3}-{3,}\s*")
_LIKE_DOUBLE = re.compile(r"\\* {0,3}={3,}\s*")
_LIKE_COMMENT = re.compile(r"\\*<!-- rxagents ")
_COMMENT = re.compile(r"<!-- rxagents (also )?(\{.*\}) -->\s*")


@dataclass(slots=True)
class Section:
    """A message on a page.

    Args:
        who: Its role; in the other layout it may be a name.
        model: Which model, or None.
        text: What is shown.
        details: What is not, as JSON data.
        source: As it stands in the file, line by line.
    """

    who: str
    model: str | None = None
    text: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    source: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Itself, line by line."""
        before, text, after = _framed(self.text)
        blank = {name: lines for name, lines in (("before", before), ("after", after)) if lines}
        details = {**self.details, "on page": {**self.details.get("on page", {}), **blank}}
        if not details["on page"]:
            del details["on page"]
        yield f"{self.who} / {self.model}" if self.model else self.who
        yield _UNDERLINE
        if details:
            yield _comment("", details)
        if text:
            yield from _escaped(text.split("\n"))


@dataclass(slots=True)
class Also:
    """What belongs to no message.

    Args:
        data: What it is, as JSON data.
        source: As it stands in the file.
    """

    data: dict[str, Any]
    source: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Itself."""
        yield _comment("also ", self.data)


Part = Section | Also


def page_of(parts: Iterable[Part]) -> str:
    """The parts as they are added to a page, each after a blank line."""
    return "".join("\n" + "\n".join(part.lines()) + "\n" for part in parts)


def parts_of(page: str) -> tuple[list[str], list[Part]]:
    """The lines before the first message of a page, and its parts in their order.

    Raises:
        ValueError: A comment of ours holds no JSON object; the text names the line.
    """
    lines = page.split("\n")
    preamble: list[str] = []
    parts: list[Part] = []
    current: Section | None = None
    dashed = True
    at = 0
    while at < len(lines):
        section = _begun(lines, at, dashed)
        if section is not None:
            dashed = dashed and not _DOUBLE.fullmatch(lines[at + 1])
            parts.append(section)
            current = section
            at += 2
            continue
        comment = _COMMENT.fullmatch(lines[at])
        data = _object(comment[2], at) if comment else {}
        if comment and (comment[1] or current is None):
            parts.append(Also(data, [lines[at]]))
        else:
            if comment and current is not None:
                current.details |= data
            (preamble if current is None else current.source).append(lines[at])
        at += 1
    for part in parts:
        if isinstance(part, Section):
            part.text = _text(part)
    return preamble, parts


def _begun(lines: list[str], at: int, dashed: bool) -> Section | None:
    """The message whose header stands there, if one does."""
    if at + 1 == len(lines):
        return None
    source = lines[at : at + 2]
    header = _HEADER.fullmatch(lines[at])
    if header is not None and _DOUBLE.fullmatch(lines[at + 1]):
        return Section(header[1].lower(), header[2], source=source)
    if dashed and _SINGLE.fullmatch(lines[at + 1]) and (at == 0 or not lines[at - 1].strip()):
        name = _NAME.fullmatch(lines[at])
        if name is not None:
            who = name[1].lower() if name[1].lower() in _ROLES else name[1]
            return Section(who, name[2], source=source)
    return None


def _text(section: Section) -> str:
    _, underline, *lines = section.source
    if underline.endswith("\r"):  # an editor has changed all the ends of lines
        lines = [line.removesuffix("\r") for line in lines]
    _, text, _ = _framed("\n".join(line for line in lines if not _COMMENT.fullmatch(line)))
    blank = section.details.get("on page", {})
    return "".join((blank.get("before", ""), "\n".join(_plain(text.split("\n"))), blank.get("after", "")))


def _framed(text: str) -> tuple[str, str, str]:
    """The blank lines before a text, the text, and the blank lines after it."""
    lines = text.split("\n")
    full = [at for at, line in enumerate(lines) if line.strip()]
    if not full:
        return text, "", ""
    first, last = full[0], full[-1] + 1
    before = "".join(f"{line}\n" for line in lines[:first])
    after = "".join(f"\n{line}" for line in lines[last:])
    return before, "\n".join(lines[first:last]), after


def _escaped(lines: list[str]) -> Iterator[str]:
    for at, line in enumerate(lines):
        yield f"\\{line}" if _would_be_taken(lines, at) else line


def _plain(lines: list[str]) -> Iterator[str]:
    for at, line in enumerate(lines):
        yield line[1:] if line.startswith("\\") and _would_be_taken(lines, at) else line


def _would_be_taken(lines: list[str], at: int) -> bool:
    """Whether it is ours, apart from any number of backslashes before it."""
    if _LIKE_COMMENT.match(lines[at]):
        return True
    return at > 0 and bool(_LIKE_DOUBLE.fullmatch(lines[at]) and _HEADER.fullmatch(lines[at - 1]))


def _comment(also: str, data: dict[str, Any]) -> str:
    # so that nothing in it ends the comment
    return f"<!-- rxagents {also}{json_text(data).replace('>', chr(92) + 'u003e')} -->"


def _object(text: str, at: int) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"line {at + 1}: the comment is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"line {at + 1}: the comment holds no JSON object")
    return data
