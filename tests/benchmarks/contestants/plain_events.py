"""Events taken out of bytes by hand, and jiter: the least that any client does for a token."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from jiter import from_json

from . import Heard

__all__ = ["listened"]


async def listened(body: AsyncIterable[bytes], heard: Heard) -> None:
    """Tells the text of each token, to the end of the body or until enough was heard."""
    events = b""
    async for data in body:
        *whole, events = (events + data).split(b"\n\n")
        for event in whole:
            if event == b"data: [DONE]":
                continue
            choices = from_json(event[6:])["choices"]
            text: Any = choices[0]["delta"].get("content") if choices else None
            if text and heard(text):
                return
