"""An event loop that opens no socket: what would need the world outside raises NoRealTimeError."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...errors import NoRealTimeError

__all__ = ["SocketlessLoop"]


class SocketlessLoop(asyncio.BaseEventLoop):
    """A loop without sockets, file descriptors, signals and processes; each of their methods raises."""

    def remove_reader(self, fd: Any) -> bool:
        """There is never one to remove."""
        return False

    def remove_writer(self, fd: Any) -> bool:
        """There is never one to remove."""
        return False


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: SocketlessLoop, *args: object, **kwargs: object) -> Any:
        raise NoRealTimeError(
            f"{name}() was called under the virtual clock, where no real time passes, and what comes from "
            "outside the process would never be in time. Use a scripted model (ScriptedLLM) and fake tools, "
            "or test in real time (asyncio.run) against rxagents.testing.OpenAIServer."
        )

    refuse.__name__ = name
    refuse.__qualname__ = f"SocketlessLoop.{name}"
    refuse.__doc__ = "Raises NoRealTimeError."
    return refuse


for _name in (
    *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
    *("create_datagram_endpoint", "connect_accepted_socket", "start_tls", "sendfile"),
    *("sock_connect", "sock_accept", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
    *("sock_sendall", "sock_sendto", "sock_sendfile", "add_reader", "add_writer", "add_signal_handler"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell"),
    *("getaddrinfo", "getnameinfo"),
):
    setattr(SocketlessLoop, _name, _refusing(_name))
