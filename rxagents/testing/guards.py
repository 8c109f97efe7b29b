"""A guard for tests: while it stands, no request for a model leaves this machine.

```
client.chat… · responses… · embeddings… ──▶ client.request ──▶ retries, tokens, sockets
                                               │
                                   blocked here, unless the host is the loopback
```

All that a client of the `openai` package asks for passes its method `request`, also what rxagents'
own models and Azure's clients ask for. So a blocked request fetches no token and is never tried again.
"""

from __future__ import annotations

import functools
import ipaddress
import threading
from collections.abc import Callable
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self

import httpx2
from openai import AsyncOpenAI, OpenAI

from ..errors import ModelRequestBlockedError

__all__ = ["ModelRequestBlock", "block_model_requests"]

_CLIENTS: tuple[type[Any], ...] = (OpenAI, AsyncOpenAI)

_lock = threading.Lock()
_standing: set[ModelRequestBlock] = set()
# For each client class its guard, and what its own `request` was before, if it had one.
_guards: dict[type[Any], tuple[Callable[..., Any], Callable[..., Any] | None]] = {}


class ModelRequestBlock:
    """What `block_model_requests` returns: a block that stands until `release()` or the end of its `with`."""

    def __init__(self) -> None:
        with _lock:
            if not _standing:
                _guard_clients()
            _standing.add(self)

    def release(self) -> None:
        """Takes the block away; others may still stand. Again, it does nothing."""
        with _lock:
            if self not in _standing:
                return
            _standing.remove(self)
            if not _standing:
                _leave_clients()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def block_model_requests() -> ModelRequestBlock:
    """Blocks each request of each OpenAI client, in all threads, that is not for the loopback.

    From the call on, a client whose request would go to another host than localhost, 127.0.0.0/8 or
    ::1 raises a ModelRequestBlockedError, and no socket is opened. That holds for OpenAILLM,
    AzureOpenAILLM, and the `openai` package's own clients, blocking or async, made before or after. The
    host decides, so a client with a mock transport is blocked too; give it `base_url="http://localhost"`.
    Web sockets, as the realtime API opens them, are not looked at.

    ```python
    with block_model_requests():
        workflow.run("hi")
    ```

    For a whole test suite: `pytest --block-model-requests`, or `block_model_requests = true` in its
    configuration.

    Returns:
        The block, which is a context manager; `release()` takes it away too. Blocks may be nested and
        overlap: requests pass again when all are released.
    """
    return ModelRequestBlock()


def _guard_clients() -> None:
    for kind in _CLIENTS:
        guard = _guarded(kind.request)
        _guards[kind] = guard, vars(kind).get("request")
        kind.request = guard


def _leave_clients() -> None:
    for kind, (guard, before) in _guards.items():
        if vars(kind).get("request") is not guard:
            continue  # a mock lies over the guard, and will put it back: it lets all pass from now on
        if before is None:
            del kind.request
        else:
            kind.request = before


def _guarded(request: Callable[..., Any]) -> Callable[..., Any]:
    """The client's method, behind a look at where the request would go."""
    if iscoroutinefunction(request):

        @functools.wraps(request)
        async def ask_async(client: Any, cast_to: Any, options: Any, **more: Any) -> Any:
            _check(client, options)
            return await request(client, cast_to, options, **more)

        return ask_async

    @functools.wraps(request)
    def ask(client: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        _check(client, options)
        return request(client, cast_to, options, **more)

    return ask


def _check(client: Any, options: Any) -> None:
    if not _standing:
        return
    # The client's own way to the address: Azure's has several, and a path may be a whole address.
    url: httpx2.URL = client._prepare_url(options.url)
    if not _is_loopback(url.host):
        address = f"{url.scheme}://{url.netloc.decode()}{url.path}"  # neither password nor query
        raise ModelRequestBlockedError(
            f"a request to {address} was blocked by block_model_requests, which lets only the loopback "
            "pass; give the agent a ScriptedLLM or `marbles.llm(…)`, or its client the `base_url` of an "
            "OpenAIServer"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
