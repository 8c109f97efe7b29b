"""The exchange with a chat-completions service: one request, one streamed answer.

Authentication, pool and retries are those of the `openai` client. The body goes out as bytes and
the answer is decoded from bytes, because the client's own way costs 118 µs for each message of the
history and 80 µs for each token.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, cast
from urllib.parse import quote

import httpx2
from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream, NotGiven, Omit
from reactivex import Observable

from ..bridges import from_async
from ..errors import ConfigurationError
from ..values import Completion, Delta
from .chat_answers import read_answer
from .chat_bodies import encoded
from .clients import LoopClients
from .failures import model_error
from .requests import ChatRequest, LLMConstraints

__all__ = ["ChatCompletions"]

_log = logging.getLogger("rxagents.llm")

_ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")

_Emit: TypeAlias = Callable[[Delta | Completion], None]


class ChatCompletions:
    """A model behind a chat-completions service; see OpenAILLM for what it does.

    Args:
        model: The model's name.
        clients: Where its clients come from, if none is given.
        client: The client to use, or None.
        settings: `constraints`, `timeout`, `max_retries`; all others are parameters of the requests.

    Raises:
        ConfigurationError: A setting is not of its type.
    """

    # The setting that says where the service is, as errors name it.
    _address: str

    def __init__(self, model: object, clients: LoopClients, client: object, settings: dict[str, Any]) -> None:
        if client is not None and not isinstance(client, AsyncOpenAI):
            raise ConfigurationError(
                f"`client` is a {type(client).__name__}; give an AsyncOpenAI or AsyncAzureOpenAI, "
                "which take the same arguments as their blocking counterparts"
            )
        if not isinstance(model, str):
            raise ConfigurationError(f"`model` is a name, not {type(model).__name__}")
        self.model = model
        self.constraints = _constraints(settings.pop("constraints", None))
        self._client = client
        self._clients = clients
        self._options: dict[str, Any] = {"headers": {"content-type": "application/json"}}
        self._options |= _limits(settings.pop("timeout", None), settings.pop("max_retries", None))
        self._params = settings

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion]:
        return from_async(partial(self._answer, request))

    async def aclose(self) -> None:
        """Closes the idle connections of the running loop now; by itself that happens at the loop's end.

        The model can be asked again afterwards. A `client` that was given stays open.
        """
        await self._clients.aclose()

    async def _answer(self, request: ChatRequest, emit: _Emit) -> None:
        body = self._body(request)
        content = encoded(body)
        client = self._client or await self._clients.current()
        model, agent = body["model"], request.agent
        _log.debug("request: model %s, %d messages, agent %s", model, len(body["messages"]), agent)
        response: httpx2.Response | None = None
        try:
            response = await self._sent(client, _path(client, model), content)
            completion = await read_answer(response, emit)
        except Exception as error:
            _log.debug("failed: model %s, agent %s, %s", model, agent, type(error).__name__)
            mapped = model_error(
                error,
                host=client.base_url.netloc.decode(),
                setting=self._address,
                received=None if response is None else response.num_bytes_downloaded,
            )
            if mapped is error:
                raise
            raise mapped from error
        usage, reason = completion.usage, completion.finish_reason
        _log.debug("answer: model %s, agent %s, finish_reason %s, usage: %s", model, agent, reason, usage)
        emit(completion)

    async def _sent(self, client: AsyncOpenAI, path: str, content: bytes) -> httpx2.Response:
        """The live response, its headers read and its body not."""
        response = await client.post(
            path,
            content=content,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=AsyncStream[Any],
            options=cast(Any, self._options),
        )
        # The client gives what `cast_to` asks for, though it is typed to give a stream.
        return cast(httpx2.Response, response)

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        asked = request.body()
        own = {"stream_options": {}, **self._params, "model": self.model}
        if not asked.get("tools"):
            # OpenAI refuses these where there are no tools, and not every agent of a model has some.
            own = {key: value for key, value in own.items() if key not in _ONLY_WITH_TOOLS}
        body: dict[str, Any] = own | asked | {"stream": True}
        if isinstance(body["stream_options"], Mapping):
            body["stream_options"] = {"include_usage": True, **body["stream_options"]}
        if self.constraints.temperature is not None:
            body["temperature"] = self.constraints.temperature
        if not self.constraints.structured_output:
            body.pop("response_format", None)
        if not self.constraints.system_message:
            body["messages"] = [
                {**message, "role": "user"} if message.get("role") == "system" else message
                for message in body["messages"]
            ]
        return {
            key: value
            for key, value in body.items()
            if value is not None and not isinstance(value, NotGiven | Omit)
        }


def _path(client: AsyncOpenAI, model: str) -> str:
    """Where the request goes. Azure's client puts the deployment into it only if it reads the body."""
    if isinstance(client, AsyncAzureOpenAI) and "/deployments" not in client.base_url.path:
        return f"/deployments/{quote(model, safe='')}/chat/completions"
    return "/chat/completions"


def _constraints(given: object) -> LLMConstraints:
    if given is None:
        return LLMConstraints()
    if not isinstance(given, LLMConstraints):
        raise ConfigurationError(f"`constraints` is a LLMConstraints, not {type(given).__name__}")
    return given


def _limits(timeout: Any, max_retries: Any) -> dict[str, Any]:
    """The options of a request that were given; for the others the client decides."""
    limits: dict[str, Any] = {}
    if timeout is not None:
        if not isinstance(timeout, httpx2.Timeout) and not (isinstance(timeout, int | float) and timeout > 0):
            raise ConfigurationError(f"`timeout` is a number of seconds above 0, not {timeout!r}")
        limits["timeout"] = timeout
    if max_retries is not None:
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ConfigurationError(f"`max_retries` is 0 or a whole number above it, not {max_retries!r}")
        limits["max_retries"] = max_retries
    return limits
