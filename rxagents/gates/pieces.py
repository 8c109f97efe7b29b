"""Pieces: what the items of a message say as text, and one of them cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..values import FunctionResult, delta

__all__ = ["calls_tools", "cut", "done", "ends_a_window", "is_restart", "says_something", "text_of"]


def text_of(item: Any) -> str:
    """The text of an item; most of them have some."""
    if type(item) is not dict:
        return ""
    text: str | None = item.get("content")
    if text is None and "content_parts" in item:
        return "".join(part.get("text", "") for part in item["content_parts"] or ())
    return text or ""


def is_restart(item: Any) -> bool:
    """Whether it says that all before it is void."""
    return type(item) is dict and item.get("restart") is not None


def calls_tools(item: Any) -> bool:
    """Whether it is of a tool call that is being made."""
    return type(item) is dict and bool(item.get("tool_calls"))


def ends_a_window(item: Any) -> bool:
    """Whether the text before it is whole: a model calls its tools when it has said what it wanted to."""
    return isinstance(item, FunctionResult) or calls_tools(item)


def says_something(item: Any) -> bool:
    """Whether it is a delta with anything in it, and of the message itself."""
    return type(item) is dict and item.get("progress") is None and any(item.values())


def cut(item: Any, length: int) -> tuple[Any, Any]:
    """A delta as two. What it carries beside its text comes with the second: it must overtake nothing."""
    text = text_of(item)
    rest = {**item, "content": text[length:]}
    if "content_parts" in rest:  # which say the same text
        others = [part for part in rest.pop("content_parts") if part.get("type") != "text"]
        if others:
            rest["content_parts"] = others
    return delta(text[:length]), rest


def done(items: Sequence[Any]) -> list[Any]:
    """What stays of items that are void: what tools have done, and what was paid."""
    results = [at for at, item in enumerate(items) if isinstance(item, FunctionResult)]
    stays: list[Any] = []
    for at, item in enumerate(items):
        if calls_tools(item):
            if results and at < results[-1]:
                stays.append(delta(tool_calls=item["tool_calls"]))
        elif type(item) is not dict or item.get("progress") is not None:
            stays.append(item)
    return stays
