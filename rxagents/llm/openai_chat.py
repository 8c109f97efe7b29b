"""OpenAI's models, and those of all services that speak the same."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from ssl import SSLContext
from typing import Any

import httpx2
from openai import AsyncOpenAI

from ..engine.tasks import to_its_end
from ..errors import ConfigurationError
from .certificates import begin_reading
from .client_settings import merged_settings, new_client, shown_address
from .clients import LoopClients
from .requests import LLMConstraints
from .served_models import API, ServedModel
from .transports import Transport, chosen_transport, new_http_client

__all__ = ["OpenAILLM"]

_ADDRESS = "`base_url` (or OPENAI_BASE_URL)"


class OpenAILLM(ServedModel):
    """A model of OpenAI, or of a service that speaks the same.

    Called with a request, it gives a cold observable: each subscription is one streamed
    `POST /chat/completions`, or with `api="responses"` one streamed `POST /responses`. It emits a Delta
    for each increment that the service sends and one Completion, and completes; both APIs take the same
    requests and emit the same. Disposing closes the connection. It fails with a ModelError (see
    `rxagents.errors`); before an answer has begun, the client asks again after a lost connection
    and after the statuses 408, 409, 429 and 5xx.

    ```
    on the wire   event    event    event    usage    [DONE]
    emits         delta    delta    delta             completion |
    ```

    The body of the request holds the model's own parameters, overruled by those of the request.
    None stands for "not to be sent". `stream_options` is `{"include_usage": True}` besides what is
    given; for a service that does not know it, give `stream_options=None`. Source: OpenAI's API
    reference, "Create chat completion" and "Create a model response".

    Over the Responses API, parameters of chat completions go out under the names that they have there
    (`max_tokens` as `max_output_tokens`, `response_format` as `text.format`, `reasoning_effort` as
    `reasoning.effort`), and built-in tools are parameters: `tools=[{"type": "web_search"}]`. Nothing is
    kept by the service (`store` is False) unless `store`, `background`, `conversation` or
    `previous_response_id` asks for it: the conversation is sent whole, and belongs to the workflow.
    A model that reasons then needs its thoughts back with the results of its tools; with `reasoning` or
    `reasoning_effort` given they are asked for, encrypted, and otherwise by
    `include=["reasoning.encrypted_content"]`, which other models refuse. An answer in the background goes
    on at the service when its connection is closed. Beside the text there may be extra keys: `reasoning`,
    `annotations`, `logprobs`, `phases`, `output_items`, and one for each kind of built-in tool.

    Args:
        model: The model's name; or a dict that holds it and any of the other arguments by their
            names, where what is given beside the dict wins.
        api: `chat` (chat completions, the default) or `responses`.
        client: A client of the `openai` package, to be used as it is and never closed. By default
            there is one for each event loop, closed with the loop.
        api_key: The key, or an async function that gives it; by default `OPENAI_API_KEY`, looked up
            at the first request.
        base_url: The address of the service, such as `http://localhost:8000/v1`; by default
            `OPENAI_BASE_URL`, or else OpenAI's own.
        temperature: Sent with each request that does not name one itself.
        constraints: What the model cannot do. A temperature in it overrules all others.
        timeout: Seconds in which the service must send something, or an `httpx2.Timeout`; by
            default that of the client (600, and 5 to connect).
        max_retries: How often a request is sent again; by default that of the client (2).
        transport: What carries the requests of its own clients: `aiohttp`, which parses HTTP in C (the
            default where it is installed: `pip install rxagents[fast]`), or `httpx`.
        params: Further parameters of each request. `tool_choice` and `parallel_tool_calls` are sent
            only with tools, since OpenAI refuses them otherwise.

    Attributes:
        model: The model's name.
        constraints: What the model cannot do.

    Raises:
        ConfigurationError: There is no model, or a setting is not of its type.
    """

    _address = _ADDRESS

    def __init__(
        self,
        model: str | Mapping[str, Any] | None = None,
        *,
        api: API | None = None,
        client: AsyncOpenAI | None = None,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        base_url: str | None = None,
        temperature: float | None = None,
        constraints: LLMConstraints | None = None,
        timeout: float | httpx2.Timeout | None = None,
        max_retries: int | None = None,
        transport: Transport | None = None,
        **params: Any,
    ) -> None:
        config = model if isinstance(model, Mapping) else {"model": model}
        settings = merged_settings(
            config,
            {
                "api": api,
                "client": client,
                "api_key": api_key,
                "base_url": base_url,
                "temperature": temperature,
                "constraints": constraints,
                "timeout": timeout,
                "max_retries": max_retries,
                "transport": transport,
            },
            params,
        )
        name = settings.pop("model", None)
        if not name:
            raise ConfigurationError(
                "a model needs its name: OpenAILLM('gpt-4o-mini'), or `model` in the dict"
            )
        chosen = settings.pop("client", None)
        key = settings.pop("api_key", None)
        self._base_url = settings.pop("base_url", None)
        if chosen is not None and (key or self._base_url):
            raise ConfigurationError(
                "give `client`, or `api_key` and `base_url`, not both: a client has its own"
            )
        carried = chosen_transport(settings.pop("transport", None), chosen)
        if chosen is None:
            begin_reading()
        self._secrets = tuple(filter(None, [key if isinstance(key, str) else None]))
        clients = LoopClients(partial(_opened, key, self._base_url, carried))
        super().__init__(name, clients, chosen, settings)

    def __repr__(self) -> str:
        address = self._base_url or os.environ.get("OPENAI_BASE_URL")
        if self._client is not None:
            address = str(self._client.base_url)
        return f"{type(self).__name__}({self.model!r}{shown_address(address)})"


async def _opened(
    api_key: Any, base_url: str | None, transport: Transport, context: SSLContext
) -> AsyncGenerator[AsyncOpenAI, None]:
    """One client for one loop; see LoopClients."""
    key = api_key or os.environ.get("OPENAI_API_KEY")
    if not key:
        raise ConfigurationError(
            "there is no key for the service: set OPENAI_API_KEY, or give `api_key` "
            "(any text, where the service asks for none)"
        )
    http_client = new_http_client(transport, context)
    client = new_client(AsyncOpenAI, _ADDRESS, http_client, api_key=key, base_url=base_url)
    try:
        yield client
    finally:
        await to_its_end(client.close())
