"""A server's life: an event loop in a thread of its own, and all that it must let go of at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress

from ...errors import ConfigurationError
from .http_wire import Connection

__all__ = ["StreamServer"]


class StreamServer:
    """Listens on an event loop in a thread of its own and serves each connection in a task.

    Args:
        serve: Serves one connection; when it returns, the connection is closed.
        host: Where it listens.
        port: Where it listens; 0 takes a free one.
    """

    def __init__(self, serve: Callable[[Connection], Awaitable[None]], host: str, port: int) -> None:
        self.host = host
        self.open_connections = 0
        self._serve = serve
        self._wanted_port = port
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens, or has listened last.

        Raises:
            ConfigurationError: It has never been started.
        """
        if self._port is None:
            raise ConfigurationError(
                "the server has no address yet; call its start(), or use it in a with statement"
            )
        return self._port

    def start(self) -> None:
        """Starts the thread and returns when the server listens.

        Raises:
            ConfigurationError: It runs already, or cannot listen on its address.
        """
        if self._thread is not None:
            raise ConfigurationError(f"the server runs already, on {self.host}:{self.port}")
        started: Future[int] = Future()
        # A daemon, so that a server which nobody stops does not keep a program from ending.
        thread = threading.Thread(target=lambda: asyncio.run(self._main(started)), daemon=True)
        thread.name = f"rxagents server on {self.host}"
        thread.start()
        try:
            self._port = started.result()
        except OSError as error:
            thread.join()
            raise ConfigurationError(
                f"the server cannot listen on {self.host}:{self._wanted_port}: {error}"
            ) from error
        self._thread = thread

    def stop(self) -> None:
        """Closes all connections, whatever they are doing, and returns when the thread has ended."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._halt is not None:
            self._loop.call_soon_threadsafe(self._halt.set)
            thread.join()

    async def _main(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._halt = asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, self.host, self._wanted_port)
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(server.sockets[0].getsockname()[1])
        await self._halt.wait()
        server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._halt is None or self._halt.is_set():
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._attend(Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, connection: Connection) -> None:
        self.open_connections += 1
        # The first witness, so that whoever has waited for the closing finds it counted.
        connection.on_closed(self._count_closed)
        stopped = True
        try:
            with suppress(ConnectionError):
                await self._serve(connection)
            stopped = False
        finally:
            await connection.close(flush=not stopped)

    def _count_closed(self) -> None:
        self.open_connections -= 1
