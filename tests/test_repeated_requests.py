"""Requests that are made like the last: they are what the client itself would have made."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from rxagents.llm.repeated_requests import RepeatingClient, whole_address

URL = "http://localhost:8000/v1/chat/completions"


def told(request: httpx2.Request) -> tuple[Any, ...]:
    return (
        request.method,
        str(request.url),
        request.headers.raw,
        request.content,
        request.extensions,
        dict(request.headers.items()),
    )


def both(client: RepeatingClient, method: str, url: str, **parts: Any) -> httpx2.Request:
    made = client.build_request(method, url, **parts)
    assert told(made) == told(DefaultAsyncHttpxClient.build_request(client, method, url, **parts))
    return made


def asked(key: str = "a", **more: Any) -> dict[str, Any]:
    return {"headers": [("Authorization", f"Bearer {key}"), ("x-try", "0")], "timeout": 5.0, **more}


def test_a_request_like_the_last_is_made_as_ever() -> None:
    client = RepeatingClient()
    first = both(client, "post", URL, content=b"one", **asked())
    second = both(client, "post", URL, content=b"a longer one", **asked())
    assert second.headers is not first.headers
    assert second.headers["content-length"] == "12"
    both(client, "post", URL, content=b"", **asked())
    both(client, "post", URL, content="text", **asked())
    second.headers["authorization"] = "changed by a hook"
    second.extensions["timeout"]["read"] = 0
    both(client, "post", URL, content=b"three", **asked())


def test_whatever_has_changed_is_seen() -> None:
    client = RepeatingClient()
    both(client, "post", URL, content=b"one", **asked())
    assert both(client, "post", URL, content=b"two", **asked("b")).headers["authorization"] == "Bearer b"
    both(client, "post", URL, content=b"two", **(asked() | {"timeout": httpx2.Timeout(1, connect=2)}))
    both(client, "post", URL + "?v=2", content=b"two", **asked())
    both(client, "post", URL, content=b"two", params={"v": "3"}, **asked())
    both(client, "put", URL, content=b"two", **asked())
    client.headers["x-more"] = "1"
    assert both(client, "put", URL, content=b"two", **asked()).headers["x-more"] == "1"
    client.cookies.set("c", "1")
    assert both(client, "put", URL, content=b"two", **asked()).headers["cookie"] == "c=1"
    client.cookies.clear()
    client.params = httpx2.QueryParams({"q": "1"})
    both(client, "put", URL, content=b"two", **asked())
    client.params = httpx2.QueryParams()
    for _ in range(2):
        own = [("Content-Length", "3"), ("Transfer-Encoding", "chunked")]
        both(client, "put", URL, content=b"two", headers=own)
        both(client, "put", URL, json={"a": 1}, headers=own[:0])


@pytest.mark.parametrize(
    "base",
    ["http://localhost:8000/v1", "https://é.example/a b/", "http://u:p@h/v1", "http://h/v1?x=1", "http://h"],
)
def test_a_whole_address_is_the_one_that_the_client_puts_together(base: str) -> None:
    client = AsyncOpenAI(api_key="none", base_url=base)
    address = whole_address(client.base_url, "/chat/completions")
    assert client._prepare_url(address) == client._prepare_url("/chat/completions")
    assert address.startswith("http") == ("@" not in base and "?" not in base)
