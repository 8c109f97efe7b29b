"""What fails on the way to a service, as errors of rxagents.

The `openai` client raises errors of its own until the headers of an answer are there; after that
they come bare from the transport: httpx2, the older httpx, or aiohttp. The transports other than
httpx2 may not be installed, so their errors are known by their names.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError
from pydantic_core import to_json

from ..errors import (
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    ModelTimeoutError,
)

__all__ = ["model_error"]

_TRANSPORTS = frozenset(("aiohttp", "anyio", "httpcore", "httpcore2", "httpx", "httpx2"))
_EXCERPT = 300


def model_error(error: Exception, *, host: str, setting: str, received: int | None) -> Exception:
    """The error of rxagents for what the client or its transport raised.

    Args:
        error: What was raised.
        host: Host and port of the service, as errors name them.
        setting: The setting that holds the service's address.
        received: How many bytes of the answer had come; None before its headers.

    Returns:
        The error to raise instead, or the error itself if it is none of the client or its transport.
    """
    if isinstance(error, APIStatusError):
        return _status_error(error, host, setting)
    if not isinstance(error, APIConnectionError | ssl.SSLError) and not _of_transport(error):
        return error
    chain = [each for each in _causes(error) if isinstance(each, OSError) or _of_transport(each)]
    names = {base.__name__ for each in chain for base in type(each).__mro__}
    if "DecodingError" in names:
        return ModelProtocolError(f"the answer of {host} cannot be decoded as its headers say: {error}")
    if names & {"UnsupportedProtocol", "InvalidURL"}:
        return ConfigurationError(f"{setting} is no address of a service: {error.__cause__ or error}")
    if "LocalProtocolError" in names:  # its words may hold the header with the key
        return ConfigurationError(
            f"the request to {host} has a header that HTTP does not allow; check the key and the headers "
            "of the client for line breaks"
        )
    # The innermost cause decides: aiohttp's transport shows a refused connection as a timeout.
    innermost = chain[-1] if chain else error
    if _is_timeout(innermost):
        return _timeout_error(error, innermost, names, host, received)
    return _connection_error(error, innermost, names, host, setting, received)


def _timeout_error(
    error: Exception, innermost: BaseException, names: set[str], host: str, received: int | None
) -> ModelError:
    limits = _timeouts(error)
    if "PoolTimeout" in names:
        return ModelTimeoutError(
            f"no connection to {host} became free{_within(limits, 'pool')}; ask less at once, "
            "or give a client with a larger pool"
        )
    if names & {"ConnectTimeout", "ConnectionTimeoutError"}:
        return ModelTimeoutError(
            f"{host} took no connection{_within(limits, 'connect')}; check that it can be reached, "
            "or raise `timeout`"
        )
    when = "it began to answer" if received is None else f"the answer was whole, after {received} bytes of it"
    return ModelTimeoutError(
        f"nothing came from {host}{_within(limits, 'read')} before {when}; ask again, or raise `timeout`"
    )


def _connection_error(
    error: Exception,
    innermost: BaseException,
    names: set[str],
    host: str,
    setting: str,
    received: int | None,
) -> ModelError:
    # Only the system's own words: those of a transport may hold the header with the key.
    reason = str(innermost) if isinstance(innermost, OSError) else ""
    reason = _excerpt(reason) or type(next(_of_transports(error), innermost)).__name__
    if received is not None:
        return ModelConnectionError(
            f"lost the connection to {host} before the answer was whole, after {received} bytes of it "
            f"({reason}); ask again"
        )
    if names & {"ConnectError", "ProxyError", "ClientConnectorError", "gaierror", "SSLError"}:
        return ModelConnectionError(
            f"cannot connect to {host} ({reason}); check {setting}, the network, and that the service runs"
        )
    return ModelConnectionError(f"lost the connection to {host} before it answered ({reason}); ask again")


def _status_error(error: APIStatusError, host: str, setting: str) -> ModelStatusError:
    words = _words(error.body)
    if words.startswith("<") or not words:
        page = f" with the page {words}" if words else ""
        words = f"{host} answered with status {error.status_code}{page}; check {setting}"
    return ModelStatusError(
        words,
        status=error.status_code,
        request_id=error.request_id,
        retry_after=_retry_after(error.response.headers),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds. A date counts from the `Date` of the answer: the service's clock need not be ours."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < math.inf:
            return seconds
    try:
        again, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
        return max(0.0, (again - now).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _words(body: Any) -> str:
    """What the service says in the body of an error, in whatever shape (OpenAI, FastAPI, Ollama, text)."""
    said = body
    if isinstance(body, dict):
        said = body.get("message") or body.get("detail") or body.get("error") or body
        if isinstance(said, str):
            return said
    if not said:
        return ""
    return _excerpt(said if isinstance(said, str) else to_json(said, fallback=str).decode())


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, from the outside in."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        # The pool of httpcore raises again `from None`, and so only the context is left of the cause.
        cause = cause.__cause__ or cause.__context__


def _of_transport(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _TRANSPORTS


def _of_transports(error: BaseException) -> Iterator[BaseException]:
    return (each for each in _causes(error) if _of_transport(each))


def _is_timeout(error: BaseException) -> bool:
    return any("Timeout" in base.__name__ for base in type(error).__mro__)


def _timeouts(error: Exception) -> dict[str, Any]:
    """The timeouts, in seconds, of the request that failed."""
    try:
        request: httpx2.Request = error.request  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # httpx raises the latter where it has none
        return {}
    return dict(request.extensions.get("timeout") or {})


def _within(limits: dict[str, Any], kind: str) -> str:
    limit = limits.get(kind)
    return "" if limit is None else f" for {limit:g} s"


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"
