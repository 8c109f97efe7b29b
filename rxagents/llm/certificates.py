"""What TLS trusts, read once and shared by all clients of the process.

Reading the system's certificates takes 15 to 20 ms. On the loop that asks first, nothing else would run
meanwhile; so it is begun in a thread when a model's class is imported, and again when a model is made, if
the environment has changed by then. The first request waits for it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from ssl import SSLContext
from typing import TypeAlias

import httpcore2  # noqa: F401 (httpx2 imports it when a context is made, and the thread must import nothing)
import httpx2

from ..errors import ConfigurationError

__all__ = ["begin_reading", "tls_context"]

# What decides which certificates count. The time of a file too: it may be replaced.
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")

_Key: TypeAlias = tuple[str | float | None, ...]

_lock = threading.Lock()
_read: dict[_Key, Future[SSLContext]] = {}
_threads: list[threading.Thread] = []


def begin_reading() -> None:
    """Reads the certificates that the environment names, in a thread, unless that has been done."""
    _reading()


async def tls_context() -> SSLContext:
    """The context with the certificates that the environment names.

    Raises:
        ConfigurationError: They cannot be read.
    """
    reading = _reading()
    try:
        # no await where it is there already: then nothing else runs in between
        return reading.result() if reading.done() else await asyncio.wrap_future(reading)
    except (OSError, ValueError) as error:
        names = " or ".join(name for name in _VARIABLES if os.environ.get(name)) or "the system"
        raise ConfigurationError(f"the certificates of {names} cannot be read: {error}") from error


def _reading() -> Future[SSLContext]:
    key = _key()
    with _lock:
        reading = _read.get(key)
        if reading is None or (reading.done() and reading.exception() is not None):
            reading = _read[key] = Future()
            reading.set_running_or_notify_cancel()  # so that whoever waits for it cannot cancel it
            _begin(reading)
    return reading


def _begin(reading: Future[SSLContext]) -> None:
    thread = threading.Thread(target=_build, args=(reading,), name="rxagents-certificates")
    try:
        thread.start()
    except RuntimeError:  # no thread can be had, at the end of the process for one
        _build(reading)
    else:
        _threads[:] = [thread, *(each for each in _threads if each.is_alive())]


def _build(reading: Future[SSLContext]) -> None:
    try:
        context = httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
    except BaseException as error:
        reading.set_exception(error)
    else:
        reading.set_result(context)


def _key() -> _Key:
    key: list[str | float | None] = [os.environ.get(name) for name in _VARIABLES]
    try:
        key.append(os.stat(os.environ["SSL_CERT_FILE"]).st_mtime)
    except (KeyError, OSError, ValueError):
        key.append(None)
    return tuple(key)


def _settle() -> None:
    # A fork in the middle would leave the child without the thread, and with the locks that it held.
    for thread in list(_threads):
        thread.join(1)


def _renew() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_settle, after_in_child=_renew)
