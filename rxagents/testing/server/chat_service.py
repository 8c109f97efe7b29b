"""What an OpenAI-compatible service answers to a request: the paths, the keys, the script."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ...errors import ScriptError
from ...llm.scripts import Script
from .chat_format import chat_completion, chat_events, error_document, model_list
from .faults import HTTPFault, Step, plan
from .http_wire import HTTPRequest

__all__ = ["ChatService", "Response", "failed"]

_AZURE_PATH = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_CHAT_PATH = "/v1/chat/completions"
_MODELS_PATH = "/v1/models"


@dataclass(frozen=True, slots=True)
class Response:
    """A response, planned.

    Args:
        steps: The events or documents of its body, and what the connection does between them.
        status: The HTTP status code.
        headers: Its headers, without those that say how the body is framed.
    """

    steps: Sequence[Step]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def failed(fault: HTTPFault) -> Response:
    """The response that is an HTTP error."""
    return Response(
        error_document(fault), fault.status, {"content-type": "application/json", **fault.headers}
    )


class ChatService:
    """Answers requests from a script.

    Args:
        script: What it answers to chat completions.
        models: What it lists as its models.
        api_keys: The only keys that it takes; None takes any, but asks for one.
    """

    def __init__(self, script: Script, models: Sequence[str], api_keys: Collection[str] | None) -> None:
        self._script = script
        self._models = models
        self._api_keys = api_keys
        self._numbers = count(1)

    def respond(self, request: HTTPRequest, body: object) -> Response:
        """The response to a request.

        Args:
            request: The request.
            body: The JSON of its body; None if that is no JSON.
        """
        fault = self._objection(request, body)
        if fault:
            return failed(fault)
        if request.path == _MODELS_PATH or not isinstance(body, dict):
            return Response(model_list(self._models))
        try:
            return self._answer(request, body)
        except ScriptError as error:
            # No 5xx: clients repeat those, and the script would have no answer then either.
            return failed(HTTPFault(400, str(error), code="script_error"))
        except Exception as error:
            return failed(HTTPFault(500, f"{type(error).__name__}: {error}"))

    def _objection(self, request: HTTPRequest, body: object) -> HTTPFault | None:
        azure = _AZURE_PATH.fullmatch(request.path)
        if azure and "api-version" not in request.query:
            return HTTPFault(404, "Resource not found: the query has no api-version.", code="404")
        method = "GET" if request.path == _MODELS_PATH else "POST"
        if not azure and request.path not in (_CHAT_PATH, _MODELS_PATH):
            return HTTPFault(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
        if request.method != method:
            return HTTPFault(405, f"Not allowed to {request.method} on {request.path}.", {"Allow": method})
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("api-key") or (token.strip() if kind.lower() == "bearer" else "")
        if not key:
            return HTTPFault(401, "You didn't provide an API key.", code="missing_api_key")
        if self._api_keys is not None and key not in self._api_keys:
            return HTTPFault(401, "Incorrect API key provided.", code="invalid_api_key")
        if method == "GET":
            return None
        if not isinstance(body, dict):
            return HTTPFault(400, "We could not parse the JSON body of your request.")
        if not isinstance(body.get("messages"), list):
            return HTTPFault(400, "Missing required parameter: 'messages'.")
        if not azure and not body.get("model"):
            return HTTPFault(400, "you must provide a model parameter")
        return None

    def _answer(self, request: HTTPRequest, body: dict[str, Any]) -> Response:
        answer = self._script.pick(body)
        if isinstance(answer, HTTPFault):
            return failed(answer)
        identifier = f"chatcmpl-{next(self._numbers)}"
        azure = _AZURE_PATH.fullmatch(request.path)
        model = str(body.get("model") or (azure and azure[1]))
        streaming = bool(body.get("stream"))
        headers = {
            "content-type": "text/event-stream; charset=utf-8" if streaming else "application/json",
            "x-request-id": f"req_{identifier}",
        }
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))

        def render(plain: object) -> list[Step]:
            deltas, completion = self._script.render(plain, body)
            if not streaming:
                return chat_completion(deltas, completion, identifier=identifier, model=model)
            return chat_events(
                deltas, completion, identifier=identifier, model=model, include_usage=include_usage
            )

        return Response(plan(answer, render, streaming=streaming), 200, headers)
