"""One HTTP client for each event loop, closed with its loop.

The sockets of a client belong to the loop on which they were opened, and one model may be asked on
several loops, at once and one after the other. So each loop gets a client of its own, made when it
is first asked for.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable, MutableMapping
from ssl import SSLContext
from typing import TypeAlias
from weakref import WeakKeyDictionary, WeakSet, finalize

from openai import AsyncOpenAI

from ..engine.loops import hop
from ..engine.tasks import keep, to_its_end
from .certificates import tls_context

__all__ = ["LoopClients"]

# Seconds.
_GRACE = 0.1

_Opening: TypeAlias = Callable[[SSLContext], AsyncGenerator[AsyncOpenAI, None]]

_Held: TypeAlias = tuple[AsyncGenerator[AsyncOpenAI, None], AsyncOpenAI]


class LoopClients:
    """The clients of one model, one for each event loop.

    Each is held by an async generator that has been started on its loop: the loop knows such
    generators, and `shutdown_asyncgens` (which `asyncio.run` calls, and the shared loop at its end)
    runs them to their end, while the loop can still close the client's idle sockets. If the model
    is dropped first, its clients are closed a moment later: not at once, because it is often dropped
    when its loop is about to end, which would cut a closing that has begun. Only a loop that is
    closed without `shutdown_asyncgens` leaves sockets open, and then asyncio itself warns of them.

    Args:
        opening: An async generator function that is given what TLS trusts, yields one client, and
            closes it afterwards. It must not await anything before the yield, so that a loop gets one
            client, not two. It must not refer to the model, so that the model can be dropped.
    """

    def __init__(self, opening: _Opening) -> None:
        self._opening = opening
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[AbstractEventLoop, _Held] = WeakKeyDictionary()
        _all.add(self)
        # The finalizer holds the clients: dropped in a cycle with the model, they would be torn down
        # by the garbage collector, open sockets first, instead of by their generators.
        finalize(self, _close_soon, self._held).atexit = False

    async def current(self) -> AsyncOpenAI:
        """The client of the running loop, made if there is none yet.

        Raises:
            Exception: What making it raises.
        """
        loop = asyncio.get_running_loop()
        if client := self._found(loop):
            return client
        context = await tls_context()
        if client := self._found(loop):  # another task has made it meanwhile
            return client
        generator = self._opening(context)
        client = await anext(generator)
        with self._lock:
            # An open socket refers to its loop, so such an entry would outlive its loop.
            for other in [other for other in self._held if other.is_closed()]:
                del self._held[other]
            self._held[loop] = (generator, client)
        return client

    def _found(self, loop: AbstractEventLoop) -> AsyncOpenAI | None:
        with self._lock:
            held = self._held.get(loop)
        return None if held is None or held[1].is_closed() else held[1]

    async def aclose(self) -> None:
        """Closes the client of the running loop; it gets a new one when it asks again."""
        with self._lock:
            held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held[0].aclose()

    def forget(self) -> list[_Held]:
        """Lets go of all clients without closing them; the result keeps them from being finalized."""
        held = list(self._held.values())
        self._held.clear()
        self._lock = threading.Lock()
        return held


# What is to be closed since its model was dropped, with its loop: kept, so that a loop which ends
# before that still knows it.
_left: dict[AsyncGenerator[AsyncOpenAI, None], AbstractEventLoop] = {}


def _close_soon(clients: MutableMapping[AbstractEventLoop, _Held]) -> None:
    # runs in a finalizer, in any thread: it only leaves word for the loops
    for generator in [each for each, loop in list(_left.items()) if loop.is_closed()]:
        _left.pop(generator, None)
    for loop, (generator, _) in list(clients.items()):
        _left[generator] = loop
        hop(loop, loop.call_later, _GRACE, _close, generator)
    clients.clear()


def _close(generator: AsyncGenerator[AsyncOpenAI, None]) -> None:
    async def close() -> None:
        await generator.aclose()
        _left.pop(generator, None)

    async def close_to_the_end() -> None:
        # made within: a loop that ends may cancel this task before its first step, and what had been
        # handed to it would never be awaited
        await to_its_end(close())

    keep(asyncio.ensure_future(close_to_the_end()))


_all: WeakSet[LoopClients] = WeakSet()
_inherited: list[_Held] = []


def _forget_after_fork() -> None:
    # The child has the parent's sockets and must not talk on them. It must not close them either:
    # closing wakes the parent's loop and ends its TLS sessions. So they are kept, untouched.
    for clients in list(_all):
        _inherited.extend(clients.forget())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
