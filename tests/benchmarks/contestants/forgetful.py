"""One that leaves without closing, and keeps what it should have dropped: for the test of the benchmark."""

from __future__ import annotations

import asyncio

from . import Heard, Message
from .floor import Floor


class Forgetful(Floor):
    async def read(self, model: str, conversation: list[Message], heard: Heard) -> None:
        left = asyncio.Event()

        def hear(text: str) -> None:
            if heard(text):
                left.set()

        self.kept = asyncio.ensure_future(super().read(model, conversation, hear))
        await left.wait()


async def opened(url: str) -> Forgetful:
    return Forgetful(url)
