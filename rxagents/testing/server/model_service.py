"""What an OpenAI-compatible service answers to a request: the paths, the keys, the script."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ...errors import ScriptError
from ...llm.scripts import Script
from .chat_format import CHAT
from .documents import error_document, model_list
from .faults import HTTPFault, Step, plan
from .http_wire import HTTPRequest
from .responses_format import RESPONSES
from .served_apis import Asked, ServedAPI

__all__ = ["ModelService", "Response", "failed"]

_AZURE = "/openai/"
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_MODELS_PATH = "/v1/models"
_APIS = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/openai/responses": RESPONSES,
}


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


class ModelService:
    """Answers requests from a script, over each API with the same answers.

    Args:
        script: What it answers. It gets to see requests in the form of chat completions.
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
        deployment = _DEPLOYMENT.fullmatch(request.path)
        api = CHAT if deployment else _APIS.get(request.path)
        if deployment and isinstance(body, dict):
            body = body | {"model": body.get("model") or deployment[1]}
        fault = self._refusal(request, api) or _objection(api, body)
        if fault:
            return failed(fault)
        if api is None or not isinstance(body, dict):
            return Response(model_list(self._models))
        try:
            return self._answer(api, body)
        except ScriptError as error:
            # No 5xx: clients repeat those, and the script would have no answer then either.
            return failed(HTTPFault(400, str(error), code="script_error"))
        except Exception as error:
            return failed(HTTPFault(500, f"{type(error).__name__}: {error}"))

    def _refusal(self, request: HTTPRequest, api: ServedAPI | None) -> HTTPFault | None:
        """What is wrong with the path, the method or the key."""
        if api is not None and request.path.startswith(_AZURE) and "api-version" not in request.query:
            return HTTPFault(404, "Resource not found: the query has no api-version.", code="404")
        if api is None and request.path != _MODELS_PATH:
            return HTTPFault(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
        method = "GET" if api is None else "POST"
        if request.method != method:
            return HTTPFault(405, f"Not allowed to {request.method} on {request.path}.", {"Allow": method})
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("api-key") or (token.strip() if kind.lower() == "bearer" else "")
        if not key:
            return HTTPFault(401, "You didn't provide an API key.", code="missing_api_key")
        if self._api_keys is not None and key not in self._api_keys:
            return HTTPFault(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    def _answer(self, api: ServedAPI, body: dict[str, Any]) -> Response:
        seen = api.chat_body(body)
        answer = self._script.pick(seen)
        if isinstance(answer, HTTPFault):
            return failed(answer)
        asked = Asked(f"{api.prefix}{next(self._numbers)}", str(body["model"]), body)
        headers = {
            "content-type": "text/event-stream; charset=utf-8" if asked.streaming else "application/json",
            "x-request-id": f"req_{asked.identifier}",
        }

        def render(plain: object) -> list[Step]:
            return api.steps(*self._script.render(plain, seen), asked)

        return Response(plan(answer, render, streaming=asked.streaming), 200, headers)


def _objection(api: ServedAPI | None, body: object) -> HTTPFault | None:
    if api is None:
        return None
    if not isinstance(body, dict):
        return HTTPFault(400, "We could not parse the JSON body of your request.")
    return api.objection(body)
