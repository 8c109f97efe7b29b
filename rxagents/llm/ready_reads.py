"""The reads of a body, with all that are there already as one.

A transport that frames HTTP in Python gives one read for each chunk of the body, also of a burst that came
all at once. What follows would then be done for each token anew. So the next read is asked for before
this one is given: when it is there, they are one; when it is to be waited for, this one is given first.
A read that was waited for is given at once: mostly there is none behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

__all__ = ["ReadyReads"]

_EVENT = b"\n\n"


class ReadyReads(AsyncIterator[bytes]):
    """The reads of a body, joined as far as nothing is to be waited for. For one task.

    Args:
        chunks: The reads.
        most: Bytes: with so many, no more are joined, and what is longer is cut.
        room: How many events may be given at once. No read is asked for ahead that nobody may want then:
            it would be waited for, and counted as the service's silence, while nobody reads.

    Attributes:
        waits: Whether a read has been asked for, and has not come yet.
        received: How many bytes have come.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None], most: int, room: Callable[[], int]) -> None:
        self._chunks = chunks
        self._most = most
        self._room = room
        self._step: Any = None
        self._awaited: Any = None
        self._end: Exception | None = None
        self._there: list[bytes] = []  # the next one last
        self.received = 0

    def put_back(self, read: bytes) -> None:
        """The next read is this one."""
        self._there.append(read)
        self.received -= len(read)

    @property
    def waits(self) -> bool:
        return self._step is not None

    @coroutine
    def __anext__(self) -> Generator[Any, Any, bytes]:
        if self._there:
            read = self._there.pop()
        elif self._end is not None:
            end, self._end = self._end, None
            try:
                raise end
            finally:
                del end  # which refers to this frame: else all of the answer waits for the collector
        else:
            step, awaited = self._step, self._awaited
            self._step = self._awaited = None
            try:
                if step is None:
                    step = self._chunks.__anext__()
                    awaited = step.send(None)  # as `await` begins; what is there ends it at once
            except StopIteration as there:
                read = self._with_those_behind(there.value)
            else:
                try:
                    yield awaited
                except BaseException as error:
                    read = yield from _thrown(step, error)
                else:
                    read = yield from step
        if len(read) > self._most:
            read = self._cut(read)
        self.received += len(read)
        return read

    def _cut(self, read: bytes) -> bytes:
        """The beginning of a read, so that however much a transport reads, little of it comes at once."""
        pieces, begin = [], 0
        while len(read) - begin > self._most:
            # between two events, if that can be: so they are decoded fastest
            end = read.rfind(_EVENT, begin, begin + self._most) + len(_EVENT)
            end = end if end > begin + 1 else begin + self._most
            pieces.append(read[begin:end])
            begin = end
        self._there += [read[begin:], *pieces[:0:-1]]
        return pieces[0]

    def _with_those_behind(self, read: bytes) -> bytes:
        """A read that was there, and all behind it that are; the first that is not is asked for then."""
        reads = [read]
        # an event has two lines, at least: so it counts where it comes in pieces, or with CRLF
        left, lines = self._most - len(read), 2 * self._room() - read.count(b"\n")
        try:
            while left > 0 and lines > 0:
                step = self._chunks.__anext__()
                try:
                    self._awaited = step.send(None)
                except StopIteration as there:
                    reads.append(there.value)
                    left -= len(there.value)
                    lines -= there.value.count(b"\n")
                else:
                    self._step = step
                    break
        except (StopAsyncIteration, Exception) as end:  # what had arrived comes first
            self._end = end
        return b"".join(reads)

    async def aclose(self) -> None:
        """Gives up the read that was asked for, if one was, and only then lets its task be cancelled.

        In the task that asked for it, which the transports expect; so `to_its_end` cannot do it.
        """
        self._end = None  # which refers to this
        step, self._step = self._step, None
        if step is None:
            return
        cancelled: asyncio.CancelledError | None = None
        with suppress(_GivenUp, StopIteration, StopAsyncIteration, Exception):
            awaited = step.throw(_GivenUp())
            while True:
                try:
                    await _shielded(awaited)
                except asyncio.CancelledError as error:
                    cancelled = error
                else:
                    awaited = step.send(None)
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled  # which refers to this frame


def _thrown(step: Any, error: BaseException) -> Generator[Any, Any, Any]:
    """Goes on with an `await` into which an error is thrown, as `await` does."""
    try:
        while True:
            if isinstance(error, GeneratorExit):
                step.close()
                raise error
            awaited = step.throw(error)
            try:
                yield awaited
            except BaseException as another:
                error = another
            else:
                return (yield from step)
    except StopIteration as came:
        return came.value
    finally:
        del error  # which refers to this frame, too


async def _shielded(awaited: Any) -> None:
    """Awaits what a coroutine awaits, which is a future or, for the loop's next round, None."""
    if awaited is None:
        await asyncio.sleep(0)
        return
    awaited._asyncio_future_blocking = False  # it was meant for the task, which gets another in its place
    await asyncio.wait((awaited,))


class _GivenUp(BaseException):
    """No cancellation: one that comes meanwhile is another's."""
