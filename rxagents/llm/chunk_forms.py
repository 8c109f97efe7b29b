"""The form of a stream's chunks: what is the same in all of them, so that only their words need be read.

Most chunks of an answer differ in nothing but the words, and in a random text with which OpenAI pads
them. To parse each as JSON costs several times what it takes to see that. So one chunk is parsed, and what
surrounds its words is kept: another one that is the same around them says the same about all else.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from ..kept_deltas import Kept
from ..values import Delta, delta

__all__ = ["ChunkForm", "form_of"]

# In a text of JSON these end it, stand for something else, or are not allowed.
_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_CONTENT = '"content"'
_PADDING = '"obfuscation":"'
_OTHER = "other words"
_SHORT = 12
_SCALARS = (str, int, float, bool, type(None))


class ChunkForm:
    """What surrounds the words of a chunk.

    Args:
        before: What stands before the words, with their quotation mark.
        after: What stands behind them; where there is padding, up to it.
        end: What stands behind the padding; None: there is none.
        said: What the chunk says.
    """

    def __init__(self, before: str, after: str, end: str | None, said: Delta) -> None:
        self._before = before.encode()
        self._begin = f"data: {before}"
        self._after = after
        self._end = f"{after if end is None else end}\n\n"
        self._next = self._end + self._begin
        self._least = len(self._next)  # in less, the two would overlap
        # to be looked for in its place, since that takes a tenth of the time
        self._short = before[-_SHORT:]
        self._until_short = len(self._next) - len(self._short)
        self._padded = end is not None
        self._said: dict[str, Any] | None = None if said == delta(said["content"]) else dict(said)

    def begins(self, data: bytes) -> bool:
        """Whether a chunk begins as those of this form."""
        return data.startswith(self._before)

    def runs(self, events: bytes) -> list[list[Kept] | bytes]:
        """What the events say, in order; where that is in their words alone. The others have to be parsed."""
        try:
            text = events.decode()
        except UnicodeDecodeError:
            return [events]
        if not (text.startswith(self._begin) and text.endswith(self._end) and len(text) >= self._least):
            return [events]
        between = text[len(self._begin) : -len(self._end)]
        parts = between.split(self._short)
        if len(parts) > 1:
            parts = [*(part[: -self._until_short] for part in parts[:-1]), parts[-1]]
            if self._next.join(parts) != between:
                parts = between.split(self._next)
        run = self._run(parts)
        # one of them holds a line feed, a quotation mark, or another event
        return [run] if run is not None else [self._run([part]) or self._event(part) for part in parts]

    def _run(self, parts: list[str]) -> list[Kept] | None:
        words: list[Any] = parts
        if self._padded:
            words, paddings = [], []
            for part in parts:
                word, found, padding = part.partition(self._after)
                if not found:
                    return None
                words.append(word)
                paddings.append(padding)
            if _SPECIAL.search("".join(paddings)):
                return None
        if _SPECIAL.search("".join(words)):
            return None
        if self._said is None:
            return words
        run: list[Any] = [{**self._said, "content": word} for word in words]
        return run

    def _event(self, part: str) -> bytes:
        return f"{self._begin}{part}{self._end}".encode()


def form_of(data: bytes, chunk: dict[str, Any], said: Delta) -> ChunkForm | None:
    """The form of a chunk that says nothing but its words; None if it says more, or is written otherwise.

    Args:
        data: The chunk.
        chunk: What it was parsed to.
        said: What it says.
    """
    content, padding = said["content"], chunk.get("obfuscation")
    if chunk.get("usage") or len(chunk["choices"]) != 1 or chunk["choices"][0].get("finish_reason"):
        return None
    if not (content and all(isinstance(value, _SCALARS) for value in said.values())):
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    begin = text.find('"', text.find(_CONTENT) + len(_CONTENT)) + 1
    before, after, end = text[:begin], text[begin + len(content) :], None
    if isinstance(padding, str):
        after, _, end = after.partition(_PADDING + padding)
        after += _PADDING
    # the proof: with other words in these places it says these other words, and else the same
    changed = from_json(data)
    changed["choices"][0]["delta"]["content"] = _OTHER
    other = f"{before}{_OTHER}{after}"
    if end is not None:
        changed["obfuscation"] = _OTHER
        other += f"{_OTHER}{end}"
    try:
        proven = from_json(other) == changed and "\n" not in text
    except ValueError:
        return None
    return ChunkForm(before, after, end, said) if proven else None
