"""`block_model_requests`: real clients of every kind, and not one request that leaves the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import httpx2
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from rxagents import Agent, AzureOpenAILLM, ModelError, ModelRequestBlockedError, OpenAILLM, Workflow
from rxagents.engine.bridges import forward
from rxagents.llm import ChatRequest
from rxagents.testing import OpenAIServer, VirtualClock
from rxagents.testing.guards import block_model_requests

HOST = "models.invalid"
ASK = ChatRequest(({"role": "user", "content": "hi"},))
HI: list[Any] = [{"role": "user", "content": "hi"}]
AZURE: dict[str, Any] = {"azure_endpoint": f"https://{HOST}", "api_version": "2024-10-21"}


def words(address: str) -> str:
    return (
        f"a request to {address} was blocked by block_model_requests, which lets only the loopback pass; "
        "give the agent a ScriptedLLM or `marbles.llm(…)`, or its client the `base_url` of an OpenAIServer"
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The hosts that are looked up, which comes before a socket; the loopback apart, there must be none."""
    asked: list[Any] = []
    look_up = socket.getaddrinfo

    def watch(host: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return look_up("127.0.0.1" if host == HOST else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", watch)
    yield asked
    assert HOST not in asked


def blocking(**settings: Any) -> OpenAI:
    return OpenAI(api_key="sk-secret", **{"base_url": f"https://{HOST}/v1", **settings})


def in_async(**settings: Any) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="sk-secret", **{"base_url": f"https://{HOST}/v1", **settings})


def answering(**settings: Any) -> tuple[OpenAI, list[httpx2.URL]]:
    """A client whose transport answers by itself, and the addresses that it was asked for."""
    asked: list[httpx2.URL] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        return httpx2.Response(200, json={"object": "list", "data": []})

    return blocking(http_client=httpx2.Client(transport=httpx2.MockTransport(respond)), **settings), asked


CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "chat": (lambda client: client.chat.completions.create(model="m", messages=HI), "/v1/chat/completions"),
    "chat, streamed": (
        lambda client: client.chat.completions.create(model="m", messages=HI, stream=True),
        "/v1/chat/completions",
    ),
    "chat, raw": (
        lambda client: client.chat.completions.with_raw_response.create(model="m", messages=HI),
        "/v1/chat/completions",
    ),
    "chat, parsed": (
        lambda client: client.chat.completions.parse(model="m", messages=HI),
        "/v1/chat/completions",
    ),
    "responses": (lambda client: client.responses.create(model="m", input="hi"), "/v1/responses"),
    "embeddings": (lambda client: client.embeddings.create(model="m", input="hi"), "/v1/embeddings"),
    "images": (lambda client: client.images.generate(prompt="a cat"), "/v1/images/generations"),
    "audio": (
        lambda client: client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF")),
        "/v1/audio/transcriptions",
    ),
    "a file": (
        lambda client: client.files.create(file=("a.txt", b"hi"), purpose="user_data"),
        "/v1/files",
    ),
    "deleting": (lambda client: client.models.delete("m"), "/v1/models/m"),
    "other settings": (
        lambda client: client.with_options(max_retries=5, timeout=1.0).models.retrieve("m"),
        "/v1/models/m",
    ),
    "by hand": (lambda client: client.post("/own", cast_to=object, body={}), "/v1/own"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_blocking_client_is_refused(name: str) -> None:
    call, path = CALLS[name]
    with block_model_requests(), blocking() as client, pytest.raises(ModelRequestBlockedError) as caught:
        call(client)
    assert str(caught.value) == words(f"https://{HOST}{path}")


@pytest.mark.parametrize("name", CALLS)
def test_an_async_client_is_refused(name: str) -> None:
    call, path = CALLS[name]

    async def main() -> None:
        async with in_async() as client:
            await call(client)

    with block_model_requests(), pytest.raises(ModelRequestBlockedError) as caught:
        asyncio.run(main())
    assert str(caught.value) == words(f"https://{HOST}{path}")


def test_lists_are_refused_at_the_call_or_where_they_are_read() -> None:
    async def main() -> None:
        async with in_async() as client:
            async for model in client.models.list():
                raise AssertionError(f"heard of {model}")

    with block_model_requests(), blocking() as client:
        with pytest.raises(ModelRequestBlockedError):
            client.models.list()
        with pytest.raises(ModelRequestBlockedError):
            asyncio.run(main())


def test_streams_as_context_managers_are_refused() -> None:
    async def main() -> None:
        client = in_async()
        async with client, client.chat.completions.stream(model="m", messages=HI):
            raise AssertionError("it streams")

    with block_model_requests(), blocking() as client:
        with (
            pytest.raises(ModelRequestBlockedError),
            client.chat.completions.with_streaming_response.create(model="m", messages=HI),
        ):
            raise AssertionError("it streams")
        with pytest.raises(ModelRequestBlockedError):
            asyncio.run(main())


def test_the_client_of_the_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "api_key", "sk-secret")
    monkeypatch.setattr(openai, "base_url", f"https://{HOST}/v1/")
    monkeypatch.setattr(openai, "_client", None)
    with block_model_requests(), pytest.raises(ModelRequestBlockedError):
        openai.embeddings.create(model="m", input="hi")


@pytest.mark.parametrize(
    ("settings", "path"),
    [({"azure_deployment": "d"}, "/openai/deployments/d/chat/completions"), ({}, "/openai/chat/completions")],
)
def test_clients_of_azure_are_refused_before_they_fetch_a_token(settings: dict[str, str], path: str) -> None:
    fetched: list[str] = []

    def token() -> str:
        fetched.append("a token")
        return "secret"

    async def main() -> None:
        async with AsyncAzureOpenAI(**AZURE, **settings, azure_ad_token_provider=token) as client:
            await client.chat.completions.create(model="m", messages=HI)

    with (
        block_model_requests(),
        AzureOpenAI(**AZURE, **settings, azure_ad_token_provider=token) as client,
    ):
        with pytest.raises(ModelRequestBlockedError) as caught:
            client.chat.completions.create(model="m", messages=HI)
        assert str(caught.value) == words(f"https://{HOST}{path}")
        with pytest.raises(ModelRequestBlockedError) as caught:
            asyncio.run(main())
        assert str(caught.value) == words(f"https://{HOST}{path}")
    assert fetched == []


def test_azure_may_go_another_way_than_its_base_url_and_that_counts() -> None:
    client = AzureOpenAI(**AZURE, azure_deployment="d", api_key="k")
    client.base_url = "http://localhost/openai"
    with block_model_requests(), client, pytest.raises(ModelRequestBlockedError) as caught:
        client.models.list()
    assert str(caught.value) == words(f"https://{HOST}/openai/models")


def test_a_whole_address_counts_instead_of_the_base_url() -> None:
    client, asked = answering(base_url="http://localhost/v1")
    with block_model_requests():
        with pytest.raises(ModelRequestBlockedError) as caught:
            client.get(f"https://{HOST}/x?key=secret", cast_to=object)
        client.get("/x", cast_to=object)
    assert str(caught.value) == words(f"https://{HOST}/x")
    assert [str(url) for url in asked] == ["http://localhost/v1/x"]


def test_the_error_names_no_secret() -> None:
    with block_model_requests(), blocking(base_url=f"https://me:pass@{HOST}:8443/v1") as client:
        with pytest.raises(ModelRequestBlockedError) as caught:
            client.get("/x?key=secret", cast_to=object)
        assert str(caught.value) == words(f"https://{HOST}:8443/v1/x")


@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost/v1", "http://LOCALHOST:8000/v1", "http://127.0.0.1:1/v1", "http://127.45.6.7/v1",
        "http://[::1]:8000/v1", "https://me:pass@localhost/v1", "http://localhost/v1/http://api.example",
    ],
)  # fmt: skip
def test_the_loopback_passes(base_url: str) -> None:
    client, asked = answering(base_url=base_url)
    with block_model_requests():
        client.models.list()
    assert len(asked) == 1


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1", "http://10.0.0.1/v1", "http://128.0.0.1/v1", "http://[::2]/v1",
        "http://[2001:db8::1]/v1", "http://localhost.example/v1", "http://127.0.0.1.example/v1",
        "http://localhost@example.org/v1", "http://example.org/localhost", "http://0.0.0.0:8000/v1",
    ],
)  # fmt: skip
def test_all_else_is_refused(base_url: str) -> None:
    client, asked = answering(base_url=base_url)
    with block_model_requests(), pytest.raises(ModelRequestBlockedError):
        client.models.list()
    assert asked == []


def test_the_embedded_server_can_be_asked_over_sockets() -> None:
    with block_model_requests(), OpenAIServer(["one", "two", "three", "four"]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k")
        azure = AzureOpenAILLM(
            azure_endpoint=server.azure_endpoint, azure_deployment="d", api_version="1", api_key="k"
        )
        assert Workflow(Agent("a", llm)).run("hi").text == "one"
        assert Workflow(Agent("a", azure)).run("hi").text == "two"
        with blocking(base_url=server.base_url) as client:
            answer = client.chat.completions.create(model="gpt-test", messages=HI)
            assert answer.choices[0].message.content == "three"


def ours(name: str) -> OpenAILLM | AzureOpenAILLM:
    if name == "OpenAILLM":
        return OpenAILLM("m", base_url=f"https://{HOST}/v1", api_key="sk-secret")
    if name == "AzureOpenAILLM":
        return AzureOpenAILLM(**AZURE, azure_deployment="d", api_key="sk-secret")
    return OpenAILLM("m", client=in_async(max_retries=3))


PATHS = {
    "OpenAILLM": "/v1/chat/completions",
    "AzureOpenAILLM": "/openai/deployments/d/chat/completions",
    "a client of one's own": "/v1/chat/completions",
}


@pytest.mark.parametrize("name", PATHS)
def test_a_model_of_rxagents_is_refused(name: str) -> None:
    async def main() -> None:
        await forward(ours(name)(ASK), lambda item: None)

    with block_model_requests(), pytest.raises(ModelRequestBlockedError) as caught:
        asyncio.run(main())
    assert str(caught.value) == words(f"https://{HOST}{PATHS[name]}")
    assert isinstance(caught.value, ModelError)


@pytest.mark.parametrize("name", PATHS)
def test_the_error_marker_of_a_workflow_says_so(name: str) -> None:
    with block_model_requests():
        markers = list(Workflow(Agent("bot", ours(name))).run_stream("hi"))
    said = words(f"https://{HOST}{PATHS[name]}")
    assert markers == [
        ("start", "bot"),
        ("error", {"type": "ModelRequestBlockedError", "message": said, "where": "bot"}),
        ("end", "bot"),
        ("result", "agent-error"),
    ]


def test_under_the_virtual_clock_it_is_the_guard_that_speaks() -> None:
    async def main() -> None:
        llm = ours("OpenAILLM")
        try:
            await forward(llm(ASK), lambda item: None)
        finally:
            await llm.aclose()

    with block_model_requests(), pytest.raises(ModelRequestBlockedError):
        VirtualClock().run(main())


def passes(client: OpenAI) -> bool:
    try:
        client.models.list()
    except ModelRequestBlockedError:
        return False
    return True


def test_a_block_stands_from_the_call_on_until_it_is_released() -> None:
    before, asked = answering()
    assert passes(before)
    block = block_model_requests()
    after, _ = answering()
    assert (passes(before), passes(after)) == (False, False)
    block.release()
    assert (passes(before), passes(after)) == (True, True)
    block.release()  # again: nothing
    assert len(asked) == 2


def test_blocks_overlap() -> None:
    client, _ = answering()
    first, second = block_model_requests(), block_model_requests()
    first.release()
    first.release()  # takes nothing away from the second
    assert not passes(client)
    with block_model_requests():
        second.release()
        assert not passes(client)
    assert passes(client)


def test_an_error_in_the_block_releases_it_and_is_passed_on() -> None:
    client, _ = answering()

    def fail() -> None:
        assert not passes(client)
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"), block_model_requests():
        fail()
    assert passes(client)


def test_the_clients_are_left_as_they_were() -> None:
    kinds = OpenAI, AsyncOpenAI, AzureOpenAI, AsyncAzureOpenAI
    before = [(dict(vars(kind)), kind.request) for kind in kinds]
    with block_model_requests(), block_model_requests():
        assert [kind.request for kind in kinds] != [request for _, request in before]
        assert asyncio.iscoroutinefunction(AsyncOpenAI.request)
        assert OpenAI.request.__name__ == "request"
    assert [(dict(vars(kind)), kind.request) for kind in kinds] == before


def test_a_mock_over_the_guard_may_outlive_it() -> None:
    client, _ = answering()
    block = block_model_requests()
    with mock.patch.object(OpenAI, "request", return_value="mocked") as mocked:
        assert client.models.list() == "mocked"
        block.release()
        assert client.models.list() == "mocked"
    assert mocked.call_count == 2
    assert passes(client)  # what the mock has put back is a guard without a block
    with block_model_requests():
        assert not passes(client)
    assert passes(client)
    del OpenAI.request  # the guard that the mock has put back
    assert passes(client)


def test_a_guard_over_a_mock_puts_it_back() -> None:
    client, asked = answering()
    with mock.patch.object(OpenAI, "request", return_value="mocked"):
        with block_model_requests():
            assert not passes(client)
        assert client.models.list() == "mocked"
    assert passes(client)
    assert len(asked) == 1


def test_subclasses_are_refused() -> None:
    class Own(OpenAI):
        def request(self, *args: Any, **more: Any) -> Any:
            return super().request(*args, **more)

    with block_model_requests(), Own(api_key="k", base_url=f"https://{HOST}/v1") as client:
        assert not passes(client)


def test_blocks_come_and_go_in_many_threads() -> None:
    client, asked = answering()
    seen: list[bool] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(200):
            with block_model_requests():
                seen.append(passes(client))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(False), len(asked)) == (1600, 0)
    assert "request" not in vars(OpenAI)
    assert passes(client)
