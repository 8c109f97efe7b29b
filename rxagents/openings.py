"""With what a turn begins: the messages of its first request, in wire form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .values import Usage

__all__ = ["Opening", "instructed"]


@dataclass(frozen=True, slots=True)
class Opening:
    """With what a turn begins.

    Args:
        messages: In wire form, with `__context__` where the variables are to stand.
        usage: What the reading of the conversation took.
    """

    messages: list[dict[str, Any]]
    usage: Usage | None = None


def instructed(messages: list[dict[str, Any]], instructions: str) -> list[dict[str, Any]]:
    """The messages with instructions: in the system message, since some models take no second one."""
    if messages and messages[0]["role"] == "system" and isinstance(messages[0]["content"], str):
        first, *others = messages
        return [{**first, "content": f"{first['content']}\n\n{instructions}"}, *others]
    return [{"role": "system", "content": instructions}, *messages]
