"""Characters as a picture can show them: how wide they are, and what stands for those that it cannot."""

from __future__ import annotations

import unicodedata

__all__ = ["cells", "clip", "one_line", "split_cells", "visible", "wrap"]

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_INVISIBLE = ("Cf", "Me", "Mn")


def visible(text: str) -> str:
    """The text with a visible character in the place of each that is none, except newlines and tabs.

    What is left is fit for a terminal, for XML (Source: XML 1.0, section 2.2) and for UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _stand_in(char) for char in text)


def _stand_in(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    kind = unicodedata.category(char)
    if kind == "Zs" or (kind == "Cf" and char not in _BIDI):
        return char
    if kind in ("Zl", "Zp"):
        return "\u2424"
    return "\ufffd"


def one_line(text: str) -> str:
    """The text as it stands in a marble: visible, its line breaks as signs, no blanks around it."""
    shown = " ".join(visible(text).replace("\n", " ⏎ ").split())
    return shown or ("␣" if text else "")


def cells(text: str) -> int:
    """How many columns of a terminal it takes, or characters of a fixed width."""
    if text.isascii():
        return len(text)
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.category(char) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clip(text: str, width: float) -> str:
    """As much of the text as fits in so many cells, with an ellipsis if that is not all."""
    if cells(text) <= width:
        return text
    kept: list[str] = []
    left = width - 1
    for char in text:
        left -= _width(char)
        if left < 0:
            break
        kept.append(char)
    start = "".join(kept).rstrip()
    return f"{start}…" if start else ""


def split_cells(text: str) -> list[str]:
    """One entry a cell: a character with the marks upon it; behind a wide one an empty entry."""
    found: list[str] = []
    for char in text:
        width = _width(char)
        if width:
            found.extend([char, ""][:width])
        elif found:
            found[-1 if found[-1] else -2] += char
    return found


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells, the second and those after it indented by two."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and cells(line) + 1 + cells(word) <= width:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        line = f"  {word}" if lines else word
        while cells(line) > width:
            # with more behind it: a line that is too long by one cell would be clipped nowhere
            head = clip(f"{line}  ", width + 1).removesuffix("…")
            lines.append(head)
            line = f"  {line[len(head) :]}"
    return [*lines, line]
