"""A model behind a service: one request, one streamed answer, over whichever API it speaks.

Authentication, pool and retries are those of the `openai` client. The body goes out as bytes and
the answer is decoded from bytes, because the client's own way costs 118 µs for each message of the
history and 80 µs for each token.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Literal, TypeAlias, cast

import httpx2
from openai import NOT_GIVEN, AsyncOpenAI, AsyncStream
from reactivex import Observable

from ..engine.bridges import fed
from ..engine.sinks import Sink
from ..errors import ConfigurationError
from ..values import Completion, Delta
from .chat_completions import CHAT
from .clients import LoopClients
from .failures import model_error
from .http_answers import AnswerDecoder, HTTPAnswer
from .json_bodies import encoded
from .repeated_requests import whole_address
from .requests import ChatRequest, LLMConstraints
from .responses_bodies import RESPONSES
from .wire_apis import WireAPI

__all__ = ["API", "ServedModel"]

_log = logging.getLogger("rxagents.llm")

API: TypeAlias = Literal["chat", "responses"]

_APIS = {"chat": CHAT, "responses": RESPONSES}


class ServedModel:
    """A model behind a service; see OpenAILLM for what it does.

    Args:
        model: The model's name.
        clients: Where its clients come from, if none is given.
        client: The client to use, or None.
        settings: `api`, `constraints`, `timeout`, `max_retries`; all others are parameters of the
            requests.

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
        self._api = _api(settings.pop("api", None))
        self._client = client
        self._clients = clients
        self._address_known: tuple[httpx2.URL, str, str] | None = None
        # what is not given would be copied from the client's defaults, each time and deeply
        self._options: dict[str, Any] = {
            "headers": {"content-type": "application/json"},
            "params": {},
            "max_retries": NOT_GIVEN,
            "timeout": NOT_GIVEN,
        }
        self._options |= _limits(settings.pop("timeout", None), settings.pop("max_retries", None))
        self._params = settings

    def __call__(self, request: ChatRequest, /) -> Observable[Delta | Completion]:
        return fed(partial(self._answer, request))

    async def aclose(self) -> None:
        """Closes the idle connections of the running loop now; by itself that happens at the loop's end.

        The model can be asked again afterwards. A `client` that was given stays open.
        """
        await self._clients.aclose()

    async def _answer(self, request: ChatRequest, sink: Sink[Delta | Completion]) -> None:
        body = self._api.body(request, {**self._params, "model": self.model}, self.constraints)
        content = encoded(body)
        client = self._client or await self._clients.current()
        model, agent = body["model"], request.agent
        _log.debug("request: model %s, %d messages, agent %s", model, len(request.messages), agent)
        answer: HTTPAnswer | None = None
        decoder: AnswerDecoder | None = None
        try:
            response = await self._sent(client, self._path(client, model), content)
            decoder = self._api.decoder(response.headers.get("x-request-id"))
            answer = HTTPAnswer(response)
            completion = await answer.read(decoder, sink.on_many)
        except Exception as error:
            _log.debug("failed: model %s, agent %s, %s", model, agent, type(error).__name__)
            if decoder is not None and decoder.completion.usage:
                sink.on_next(decoder.completion)  # an answer that failed is paid for all the same
            mapped = model_error(
                error,
                host=client.base_url.netloc.decode(),
                setting=self._address,
                received=None if answer is None else answer.received,
            )
            if mapped is error:
                raise
            raise mapped from error
        usage, reason = completion.usage, completion.finish_reason
        _log.debug("answer: model %s, agent %s, finish_reason %s, usage: %s", model, agent, reason, usage)
        sink.on_next(completion)

    def _path(self, client: AsyncOpenAI, model: str) -> str:
        path = self._api.path(client, model)
        if self._client is not None or type(client) is not AsyncOpenAI:
            return path  # it may look at the path, and make another of it
        known = self._address_known
        if known is None or known[0] is not client.base_url or known[1] != path:
            known = self._address_known = client.base_url, path, whole_address(client.base_url, path)
        return known[2]

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


def _api(given: object) -> WireAPI:
    if given is None:
        return CHAT
    if not isinstance(given, str) or given not in _APIS:
        raise ConfigurationError(f"`api` is 'chat' or 'responses', not {given!r}")
    return _APIS[given]


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
