"""AzureOpenAILLM over real loopback HTTP: its settings, its paths, its ways to authenticate."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from types import ModuleType

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI

from rxagents.engine.bridges import forward
from rxagents.errors import ConfigurationError, ModelConnectionError, ModelStatusError, RxAgentsError
from rxagents.llm.azure_chat import AzureOpenAILLM
from rxagents.llm.openai_chat import OpenAILLM
from rxagents.llm.requests import LLM, ChatRequest, LLMConstraints
from rxagents.testing.server.faults import HTTPFault
from rxagents.testing.server.openai_server import OpenAIServer
from rxagents.values import Completion, Usage, delta

ASK = ChatRequest(({"role": "user", "content": "Hello there"},))
VERSION = "2024-10-21"
SOON = 20.0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server():
    with OpenAIServer(lambda body: "Hi.") as running:
        yield running


def config(server, **more):
    return {
        "azure_deployment": "gpt-test",
        "azure_endpoint": server.azure_endpoint,
        "api_key": "k1",
        "api_version": VERSION,
        **more,
    }


async def hear(source):
    """What a source emits, and the error that it ends with, if any."""
    items = []
    try:
        await forward(source, items.append)
    except RxAgentsError as error:
        return items, error
    return items, None


def ask(llm):
    return asyncio.run(hear(llm(ASK)))


def request_of(server, llm):
    items, error = ask(llm)
    assert error is None
    assert items[0] == delta("")
    return server.requests[-1]


def test_an_answer_streams_from_the_path_of_the_deployment(server):
    items, error = ask(AzureOpenAILLM(config(server)))
    assert error is None
    assert items == [
        *(delta(content) for content in ("", "Hi", ".", None)),
        Completion(
            usage=Usage(completion_tokens=2, prompt_tokens=2, total_tokens=4),
            finish_reason="stop",
            model="gpt-test",
            request_id="req_chatcmpl-1",
        ),
    ]
    [request] = server.requests
    assert request.path == "/openai/deployments/gpt-test/chat/completions"
    assert request.query == {"api-version": VERSION}
    assert request.headers["api-key"] == "k1"
    assert "authorization" not in request.headers
    assert request.body == {
        "messages": [{"role": "user", "content": "Hello there"}],
        "model": "gpt-test",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_it_is_a_model(server):
    assert isinstance(AzureOpenAILLM(config(server)), LLM)


def test_arguments_beside_the_dict_win_and_the_rest_are_parameters(server):
    llm = AzureOpenAILLM(
        config(server, temperature=0.1, top_p=0.5),
        azure_deployment="gpt-other",
        api_key="k2",
        temperature=0.9,
        seed=7,
        timeout=5,
        max_retries=0,
    )
    request = request_of(server, llm)
    assert request.path == "/openai/deployments/gpt-other/chat/completions"
    assert request.headers["api-key"] == "k2"
    assert {key: request.body[key] for key in ("temperature", "top_p", "seed")} == {
        "temperature": 0.9,
        "top_p": 0.5,
        "seed": 7,
    }
    assert not {"timeout", "max_retries", "api_key", "azure_endpoint"} & request.body.keys()


def test_the_constraints_hold(server):
    constraints = LLMConstraints(temperature=1.0)
    llm = AzureOpenAILLM(config(server), constraints=constraints, temperature=0.5)
    assert llm.constraints is constraints
    assert request_of(server, llm).body["temperature"] == 1.0


@pytest.mark.parametrize(
    "none", [{}, dict.fromkeys(("azure_deployment", "azure_endpoint", "api_key", "api_version"))]
)
@pytest.mark.parametrize("key", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY"])
@pytest.mark.parametrize("version", ["AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"])
def test_what_is_missing_or_none_comes_from_the_environment(server, monkeypatch, none, key, version):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.azure_endpoint)
    monkeypatch.setenv("AZURE_OPENAI_MODEL", "from-env")
    monkeypatch.setenv(version, "2025-01-01")
    llm = AzureOpenAILLM(none)
    monkeypatch.setenv(key, "k3")
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    request = request_of(server, llm)
    assert request.path == "/openai/deployments/from-env/chat/completions"
    assert request.query == {"api-version": "2025-01-01"}
    assert request.headers["api-key"] == "k3"


def test_of_two_variables_the_one_of_azure_counts(server, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2025-01-01")
    monkeypatch.setenv("OPENAI_API_VERSION", "2020-01-01")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k4")
    monkeypatch.setenv("AZURE_OPENAI_KEY", "k5")
    request = request_of(server, AzureOpenAILLM(config(server, api_key=None, api_version=None)))
    assert request.query == {"api-version": "2025-01-01"}
    assert request.headers["api-key"] == "k4"


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("azure_deployment", ["AZURE_OPENAI_MODEL"]),
        ("azure_endpoint", ["AZURE_OPENAI_ENDPOINT"]),
        ("api_version", ["AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"]),
    ],
)
def test_a_missing_setting_names_its_key_and_its_variables_at_construction(server, name, variables):
    with pytest.raises(ConfigurationError) as raised:
        AzureOpenAILLM(config(server, **{name: None}))
    assert all(each in str(raised.value) for each in (f"`{name}`", *variables))
    others = {"azure_deployment", "azure_endpoint", "api_version"} - {name}
    assert not any(other in str(raised.value) for other in others)


def test_all_missing_settings_are_named_at_once():
    with pytest.raises(
        ConfigurationError, match=r"AZURE_OPENAI_MODEL.*AZURE_OPENAI_ENDPOINT|ENDPOINT.*MODEL"
    ):
        AzureOpenAILLM()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"config": "gpt-test"}, "dict"),
        ({"api_version": 2024}, "`api_version`"),
        ({"api_key": "k1", "azure_ad_token_provider": lambda: "t"}, "not both"),
        (
            {"client": AzureOpenAI(azure_endpoint="http://a", api_key="k", api_version=VERSION)},
            "AsyncAzureOpenAI",
        ),
        (
            {
                "client": AsyncAzureOpenAI(azure_endpoint="http://a", api_key="k", api_version=VERSION),
                "azure_endpoint": "http://b",
            },
            "`client`",
        ),
        (
            {
                "client": AsyncAzureOpenAI(
                    azure_endpoint="http://a", azure_deployment="one", api_key="k", api_version=VERSION
                ),
                "azure_deployment": "two",
            },
            "'one'",
        ),
        ({"timeout": -1}, "`timeout`"),
    ],
)
def test_wrong_settings_are_named_at_construction(given, named, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://a")
    monkeypatch.setenv("AZURE_OPENAI_MODEL", "gpt-test")
    monkeypatch.setenv("OPENAI_API_VERSION", VERSION)
    with pytest.raises(ConfigurationError, match=named):
        AzureOpenAILLM(**given)


def test_the_repr_shows_deployment_and_endpoint_and_no_secret(server):
    llm = AzureOpenAILLM(config(server, azure_endpoint="https://me:secret@name.test/", api_key="sk-1"))
    assert repr(llm) == "AzureOpenAILLM('gpt-test', base_url='https://name.test/')"


def test_a_refusal_is_passed_on_and_a_lost_host_names_the_endpoint(server):
    with OpenAIServer([HTTPFault(404, "DeploymentNotFound")]) as refusing:
        _, error = ask(AzureOpenAILLM(config(refusing)))
        gone = config(refusing, max_retries=0)
    assert (type(error), str(error), error.status) == (ModelStatusError, "DeploymentNotFound", 404)
    _, error = ask(AzureOpenAILLM(gone))
    assert isinstance(error, ModelConnectionError)
    assert "`azure_endpoint` (or AZURE_OPENAI_ENDPOINT)" in str(error)


def test_an_endpoint_that_is_no_address_is_a_matter_of_configuration(server):
    _, error = ask(AzureOpenAILLM(config(server, azure_endpoint="name.openai.azure.com")))
    assert isinstance(error, ConfigurationError)
    assert "azure_endpoint" in str(error)


# A client of the user's own.


def own_client(server, **more):
    return AsyncAzureOpenAI(azure_endpoint=server.azure_endpoint, api_key="k9", api_version=VERSION, **more)


def asked_with(server, make_llm):
    """The request of a model whose client is closed by the test itself."""

    async def main():
        client, llm = make_llm()
        assert (await hear(llm(ASK)))[1] is None
        assert not client.is_closed()
        await client.close()

    asyncio.run(main())
    return server.requests[-1]


@pytest.mark.parametrize("kind", ["azure", "openai"])
def test_a_client_without_deployment_gets_the_model_in_its_path(server, kind):
    def make():
        client = own_client(server)
        if kind == "openai":
            return client, OpenAILLM("gpt 4.1", client=client)
        return client, AzureOpenAILLM(client=client, azure_deployment="gpt 4.1")

    request = asked_with(server, make)
    assert request.path == "/openai/deployments/gpt 4.1/chat/completions"
    assert request.headers["api-key"] == "k9"
    assert request.query == {"api-version": VERSION}


def test_the_deployment_of_a_client_is_the_model(server):
    def make():
        client = own_client(server, azure_deployment="gpt-theirs")
        return client, AzureOpenAILLM(client=client)

    request = asked_with(server, make)
    assert request.path == "/openai/deployments/gpt-theirs/chat/completions"
    assert request.body["model"] == "gpt-theirs"


def test_a_client_of_the_versionless_api_will_do_too(server):
    def make():
        client = AsyncOpenAI(base_url=server.base_url, api_key="k9")
        return client, AzureOpenAILLM({"azure_deployment": "gpt-test", "api_key": None}, client=client)

    assert asked_with(server, make).path == "/v1/chat/completions"


def test_a_client_without_deployment_needs_one(server):
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_MODEL"):
        AzureOpenAILLM(client=own_client(server))


# Tokens instead of keys.


def test_an_async_token_provider_is_called_on_the_loop(server):
    threads = []

    async def provider():
        threads.append(threading.current_thread())
        return "token-1"

    llm = AzureOpenAILLM(config(server, api_key=None, azure_ad_token_provider=provider))
    assert request_of(server, llm).headers["authorization"] == "Bearer token-1"
    assert threads == [threading.main_thread()]


def test_a_blocking_token_provider_does_not_block_the_loop(server):
    let_go = threading.Event()

    def provider():
        assert let_go.wait(SOON)
        return "token-2"

    async def main():
        llm = AzureOpenAILLM(config(server, api_key=None), azure_ad_token_provider=provider)
        asking = asyncio.ensure_future(hear(llm(ASK)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0, let_go.set)
        return await asking

    assert asyncio.run(main())[1] is None
    assert server.requests[0].headers["authorization"] == "Bearer token-2"
    assert "api-key" not in server.requests[0].headers


def test_a_function_that_gives_a_coroutine_is_a_token_provider_too(server, monkeypatch):
    async def provider():
        return "token-3"

    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "not this one")
    llm = AzureOpenAILLM(config(server, api_key=None, azure_ad_token_provider=lambda: provider()))
    headers = request_of(server, llm).headers
    assert headers["authorization"] == "Bearer token-3"
    assert "api-key" not in headers


@pytest.mark.parametrize("token", ["", None, 7])
def test_a_provider_without_a_token_is_named(server, token):
    _, error = ask(AzureOpenAILLM(config(server, api_key=None, azure_ad_token_provider=lambda: token)))
    assert isinstance(error, ConfigurationError)
    assert "`azure_ad_token_provider`" in str(error)
    assert server.requests == []


def test_what_a_provider_raises_is_passed_on(server):
    def provider():
        raise LookupError("no vault")

    with pytest.raises(LookupError, match="no vault"):
        ask(AzureOpenAILLM(config(server, api_key=None, azure_ad_token_provider=provider)))


def test_without_a_key_and_the_extra_both_ways_out_are_named(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    _, error = ask(AzureOpenAILLM(config(server, api_key=None)))
    assert isinstance(error, ConfigurationError)
    assert "AZURE_OPENAI_API_KEY" in str(error)
    assert "pip install rxagents[azure]" in str(error)


@pytest.fixture
def entra(monkeypatch):
    """Stands for `azure.identity.aio`; its list tells what was asked of it."""
    told = []

    class DefaultAzureCredential:
        def __init__(self):
            told.append("credential")

        async def close(self):
            told.append("closed")

    def get_bearer_token_provider(credential, *scopes):
        assert isinstance(credential, DefaultAzureCredential)
        told.append(scopes)

        async def provider():
            if "signed out" in told:
                raise PermissionError("run az login")
            return "token-4"

        return provider

    for name in ("azure", "azure.identity", "azure.identity.aio"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    aio = sys.modules["azure.identity.aio"]
    aio.DefaultAzureCredential = DefaultAzureCredential
    aio.get_bearer_token_provider = get_bearer_token_provider
    return told


def test_without_a_key_entra_id_is_asked_for_a_token_and_let_go_with_the_loop(server, entra):
    llm = AzureOpenAILLM(config(server, api_key=None))
    assert entra == []
    assert request_of(server, llm).headers["authorization"] == "Bearer token-4"
    assert entra == ["credential", ("https://cognitiveservices.azure.com/.default",), "closed"]
    assert request_of(server, llm).headers["authorization"] == "Bearer token-4"
    assert entra.count("credential") == entra.count("closed") == 2


def test_a_refusal_of_entra_id_names_the_key(server, entra):
    entra.append("signed out")
    _, error = ask(AzureOpenAILLM(config(server, api_key=None)))
    assert isinstance(error, ConfigurationError)
    assert "AZURE_OPENAI_API_KEY" in str(error)
    assert "run az login" in str(error)
    assert isinstance(error.__cause__, PermissionError)


def test_entra_id_is_not_asked_where_there_is_a_key(server, entra):
    request_of(server, AzureOpenAILLM(config(server)))
    assert entra == []
