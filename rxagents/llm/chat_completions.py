"""Chat completions: what is sent for a request.

Source: OpenAI's API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote

from openai import AsyncAzureOpenAI, AsyncOpenAI

from ..assembly import TAKEN_BACK
from .chat_stream import ChatStreamDecoder
from .requests import ChatRequest, LLMConstraints
from .wire_apis import ONLY_WITH_TOOLS, WireAPI, as_allowed, to_be_sent

__all__ = ["CHAT"]


def _body(request: ChatRequest, own: Mapping[str, Any], constraints: LLMConstraints) -> dict[str, Any]:
    asked = request.body()
    own = {"stream_options": {}, **own}
    if not asked.get("tools"):
        own = {key: value for key, value in own.items() if key not in ONLY_WITH_TOOLS}
    body: dict[str, Any] = own | asked | {"stream": True}
    if isinstance(body["stream_options"], Mapping):
        body["stream_options"] = {"include_usage": True, **body["stream_options"]}
    if constraints.temperature is not None:
        body["temperature"] = constraints.temperature
    if not constraints.structured_output:
        body.pop("response_format", None)
    messages = as_allowed(body["messages"], constraints)
    if not TAKEN_BACK.isdisjoint(chain.from_iterable(messages)):
        # only the Responses API takes these back; see `responses_input`
        messages = [{key: said[key] for key in said if key not in TAKEN_BACK} for said in messages]
    body["messages"] = messages
    return to_be_sent(body)


def _path(client: AsyncOpenAI, model: str) -> str:
    """Where the request goes. Azure's client puts the deployment into it only if it reads the body."""
    if isinstance(client, AsyncAzureOpenAI) and "/deployments" not in client.base_url.path:
        return f"/deployments/{quote(model, safe='')}/chat/completions"
    return "/chat/completions"


CHAT = WireAPI(_path, _body, ChatStreamDecoder)
