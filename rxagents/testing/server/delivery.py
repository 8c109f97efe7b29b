"""How a planned response goes over its connection, step by step."""

from __future__ import annotations

import asyncio

from .faults import Act
from .http_wire import LAST_CHUNK, Connection, chunk, response_head
from .model_service import Response
from .request_log import RecordedRequest

__all__ = ["deliver"]

_AT_ONCE = 50


async def deliver(
    connection: Connection,
    response: Response,
    record: RecordedRequest,
    *,
    keep_alive: bool,
    delay: float,
    burst: bool,
) -> bool:
    """Sends a response and writes in its record how far it came.

    The record is written before the bytes, so that a client which has read an event finds it counted.

    Args:
        connection: Where it goes.
        response: Its head and its steps.
        record: Of the request that it answers.
        keep_alive: Whether the client wants to use the connection again.
        delay: Seconds between two events; without effect in a burst.
        burst: Whether events are sent together, up to the next act of the connection.

    Returns:
        Whether the connection may be used again.

    Raises:
        ConnectionError: The client has left.
    """
    closing = {} if keep_alive else {"connection": "close"}
    head = response_head(response.status, {**response.headers, **closing})
    events: list[bytes] = []

    async def flush(end: bytes = b"") -> None:
        nonlocal head
        data = head + (chunk(b"".join(events)) if events else b"") + end
        head = b""
        events.clear()
        if data:
            await connection.send(data, record.mark_held_back)

    async def repeat(event: bytes) -> None:
        while not await record.goes_on():
            record.events_sent += _AT_ONCE
            events.extend([event] * _AT_ONCE)
            await flush()

    last = b""
    for step in response.steps:
        if not burst or isinstance(step, Act):
            await flush()
        if isinstance(step, bytes):
            if delay and not burst and record.events_sent:
                await asyncio.sleep(delay)
            record.events_sent += 1
            events.append(step)
            last = step
        elif step is Act.PAUSE:
            await record.pause()
        elif step is Act.REPEAT:
            await repeat(last)
        elif step is Act.STALL:
            await asyncio.Event().wait()
        else:
            if step is Act.RESET:
                connection.reset()
            return False
    record.completed = True
    await flush(LAST_CHUNK)
    return keep_alive
