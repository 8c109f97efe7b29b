"""OpenAI's models on Azure."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from ssl import SSLContext
from typing import Any, TypeAlias

import httpx2
from openai import AsyncAzureOpenAI, AsyncOpenAI

from ..engine.tasks import to_its_end
from ..engine.threads import call_in_thread
from ..errors import ConfigurationError
from .certificates import begin_reading
from .client_settings import merged_settings, new_client, shown_address
from .clients import LoopClients
from .requests import LLMConstraints
from .served_models import API, ServedModel
from .transports import Transport, chosen_transport, new_http_client

__all__ = ["AzureOpenAILLM"]

_ADDRESS = "`azure_endpoint` (or AZURE_OPENAI_ENDPOINT)"
_VARIABLES = {
    "azure_deployment": ("AZURE_OPENAI_MODEL",),
    "azure_endpoint": ("AZURE_OPENAI_ENDPOINT",),
    "api_version": ("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"),
    "api_key": ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY"),
}
_OF_CLIENT = ("azure_endpoint", "api_version", "api_key", "azure_ad_token_provider")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)")
_SCOPE = "https://cognitiveservices.azure.com/.default"

_TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]


class AzureOpenAILLM(ServedModel):
    """A model of OpenAI that is deployed on Azure; it emits and fails as an OpenAILLM does.

    A setting that is missing or None is looked up in the environment: endpoint, deployment and
    version when the model is made, the key at the first request. Without a key and a token
    provider, it asks Microsoft Entra ID with the default credential of `azure.identity`, which
    `pip install rxagents[azure]` brings. Source: Azure OpenAI REST API reference, "Chat completions"
    and "Responses".

    Args:
        config: A dict with any of the other arguments by their names; what is given beside it wins.
        api: `chat` (chat completions, the default) or `responses`; see OpenAILLM.
        constraints: What the model cannot do. A temperature in it overrules all others.
        client: An AsyncAzureOpenAI, to be used as it is and never closed. By default there is one
            for each event loop, closed with the loop.
        azure_endpoint: The address of the resource; by default `AZURE_OPENAI_ENDPOINT`.
        azure_deployment: The name of the deployment; by default that of the client, or
            `AZURE_OPENAI_MODEL`.
        api_key: The key; by default `AZURE_OPENAI_API_KEY` or `AZURE_OPENAI_KEY`.
        api_version: The version of the API, a date; by default `AZURE_OPENAI_API_VERSION` or
            `OPENAI_API_VERSION`.
        azure_ad_token_provider: A function that gives a token for each request, instead of a key. An
            async one is called on the loop, another in a thread of its own.
        temperature: Sent with each request that does not name one itself.
        timeout: Seconds in which the service must send something, or an `httpx2.Timeout`.
        max_retries: How often a request is sent again.
        transport: What carries the requests, `aiohttp` or `httpx`; see OpenAILLM.
        params: Further parameters of each request.

    Attributes:
        model: The name of the deployment.
        constraints: What the model cannot do.

    Raises:
        ConfigurationError: A setting is missing (the text names its key and its variables), not of
            its type, or given twice.
    """

    _address = _ADDRESS

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        api: API | None = None,
        constraints: LLMConstraints | None = None,
        client: AsyncOpenAI | None = None,
        azure_endpoint: str | None = None,
        azure_deployment: str | None = None,
        api_key: str | None = None,
        api_version: str | None = None,
        azure_ad_token_provider: _TokenProvider | None = None,
        temperature: float | None = None,
        timeout: float | httpx2.Timeout | None = None,
        max_retries: int | None = None,
        transport: Transport | None = None,
        **params: Any,
    ) -> None:
        if config is not None and not isinstance(config, Mapping):
            raise ConfigurationError(f"the config of AzureOpenAILLM is a dict, not {type(config).__name__}")
        settings = merged_settings(
            config or {},
            {
                "api": api,
                "constraints": constraints,
                "client": client,
                "azure_endpoint": azure_endpoint,
                "azure_deployment": azure_deployment,
                "api_key": api_key,
                "api_version": api_version,
                "azure_ad_token_provider": azure_ad_token_provider,
                "temperature": temperature,
                "timeout": timeout,
                "max_retries": max_retries,
                "transport": transport,
            },
            params,
        )
        chosen = settings.pop("client", None)
        deployment = settings.pop("azure_deployment", None)
        own = {name: settings.pop(name, None) for name in _OF_CLIENT}
        self._secrets = tuple(
            own[name] for name in ("api_key", "azure_ad_token") if isinstance(own.get(name), str)
        )
        key, provider = own.pop("api_key"), own.pop("azure_ad_token_provider")
        if chosen is not None:
            if key or provider or any(own.values()):
                raise ConfigurationError(f"give `client`, or {', '.join(_OF_CLIENT)}: a client has its own")
            found = _DEPLOYMENT.search(str(getattr(chosen, "base_url", "")))
            if found and deployment not in (None, found[1]):
                raise ConfigurationError(
                    f"`azure_deployment` is {deployment!r}, and the deployment of `client` is {found[1]!r}"
                )
            deployment = found[1] if found else deployment
            self._connection = _looked_up(azure_deployment=deployment)
        else:
            if key and provider:
                raise ConfigurationError("give `api_key` or `azure_ad_token_provider`, not both")
            self._connection = _looked_up(azure_deployment=deployment, **own)
        carried = chosen_transport(settings.pop("transport", None), chosen)
        if chosen is None:
            begin_reading()
        clients = LoopClients(partial(_opened, self._connection, key, provider, carried))
        super().__init__(self._connection["azure_deployment"], clients, chosen, settings)

    def __repr__(self) -> str:
        address = self._connection.get("azure_endpoint") or str(getattr(self._client, "base_url", ""))
        return f"{type(self).__name__}({self.model!r}{shown_address(address)})"


async def _opened(
    connection: dict[str, str],
    api_key: str | None,
    provider: _TokenProvider | None,
    transport: Transport,
    context: SSLContext,
) -> AsyncGenerator[AsyncOpenAI, None]:
    """One client for one loop; see LoopClients."""
    async with AsyncExitStack() as stack:
        access: dict[str, Any] = {}
        if provider is not None:
            access["azure_ad_token_provider"] = _token_on_loop(provider)
        elif key := api_key or _from_environment("api_key"):
            access["api_key"] = key
        else:
            access["azure_ad_token_provider"] = _default_token_provider(stack)
        http_client = new_http_client(transport, context)
        client = new_client(AsyncAzureOpenAI, _ADDRESS, http_client, **connection, **access)
        stack.push_async_callback(lambda: to_its_end(client.close()))
        yield client


def _looked_up(**settings: Any) -> dict[str, str]:
    """The settings, with those that are missing from the environment."""
    found: dict[str, Any] = {name: value or _from_environment(name) for name, value in settings.items()}
    missing = [f"`{name}` (or {' or '.join(_VARIABLES[name])})" for name, value in found.items() if not value]
    if missing:
        raise ConfigurationError(f"AzureOpenAILLM lacks {', '.join(missing)}")
    for name, value in found.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"`{name}` is text, not {type(value).__name__}")
    return found


def _from_environment(name: str) -> str | None:
    return next((value for variable in _VARIABLES[name] if (value := os.environ.get(variable))), None)


def _token_on_loop(provider: _TokenProvider) -> Callable[[], Awaitable[str]]:
    """The provider as an async function; one that blocks must not block the loop."""

    async def token() -> str:
        given = provider() if iscoroutinefunction(provider) else await call_in_thread(provider)
        if isawaitable(given):
            given = await given
        if not isinstance(given, str) or not given:
            raise ConfigurationError(
                f"`azure_ad_token_provider` gave {type(given).__name__} instead of a token, which is text"
            )
        return given

    return token


def _default_token_provider(stack: AsyncExitStack) -> Callable[[], Awaitable[str]]:
    """Tokens of the default credential of `azure.identity`, which is closed with the stack."""
    try:
        identity = import_module("azure.identity.aio")
        credential = identity.DefaultAzureCredential()
    except ImportError as error:
        raise ConfigurationError(
            "there is no key for the service: set AZURE_OPENAI_API_KEY (or AZURE_OPENAI_KEY), or give "
            "`api_key` or `azure_ad_token_provider`; or, to use Microsoft Entra ID, "
            "pip install rxagents[azure]"
        ) from error
    stack.push_async_callback(lambda: to_its_end(credential.close()))
    provider = identity.get_bearer_token_provider(credential, _SCOPE)

    async def token() -> str:
        try:
            return str(await provider())
        except Exception as error:
            raise ConfigurationError(
                "there is no AZURE_OPENAI_API_KEY, and Microsoft Entra ID gave no token; set the key, "
                f"or sign in: {error}"
            ) from error

    return token
