"""The settings of a model's client: merged from a dict and arguments, checked, and shown without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from openai import AsyncOpenAI, OpenAIError

from ..errors import ConfigurationError

__all__ = ["merged_settings", "new_client", "shown_address"]


def merged_settings(
    config: Mapping[str, Any], arguments: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a dict, overruled by the arguments that are not None and by the parameters.

    A parameter overrules with None too: that says that it shall not be sent.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**config, **given, **params}


def new_client(
    kind: Callable[..., AsyncOpenAI], setting: str, http_client: httpx2.AsyncClient, **arguments: Any
) -> AsyncOpenAI:
    """A client with an HTTP client of its own, which its closing closes.

    Args:
        kind: The class of the client.
        setting: The setting that holds the service's address, for errors.
        http_client: Not the client's default one: that one's finalizer closes it on whatever loop is then
            running.
        arguments: What the class takes; an `api_key` among them is checked.

    Raises:
        ConfigurationError: The settings make no client.
    """
    key = arguments.get("api_key")
    if isinstance(key, str) and not (key.isascii() and key.isprintable() and key.strip() == key):
        # The transport would refuse the header, and quote it.
        raise ConfigurationError(
            "the key holds characters that no HTTP header may hold; is there a line break at its end?"
        )
    try:
        client = kind(http_client=http_client, **arguments)
    except (OpenAIError, httpx2.InvalidURL, ValueError) as error:
        raise ConfigurationError(f"the settings make no client: {error}") from error
    if client.base_url.scheme not in ("http", "https") or not client.base_url.host:
        raise ConfigurationError(f"{setting} must begin with http:// or https:// and a host")
    return client


def shown_address(address: str | None) -> str:
    """An address as it may stand in a repr: without a password before the host or a key in the query."""
    try:
        url = httpx2.URL(address or "")
    except httpx2.InvalidURL:
        return ""
    return f", base_url='{url.scheme}://{url.netloc.decode()}{url.path}'" if url.host else ""
