"""The Responses API: what is sent for a request.

Source: OpenAI's API reference, "Create a model response", and its guide "Migrate to the Responses API"
for what has moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import AsyncOpenAI

from .requests import ChatRequest, LLMConstraints
from .responses_input import input_items
from .responses_stream import ResponsesStreamDecoder
from .wire_apis import ONLY_WITH_TOOLS, WireAPI, as_allowed, to_be_sent

__all__ = ["RESPONSES"]

_RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_MOVED = {
    "response_format": ("text", "format"),
    "verbosity": ("text", "verbosity"),
    "reasoning_effort": ("reasoning", "effort"),
}
_GROUPS = ("text", "reasoning")
_THOUGHTS = "reasoning.encrypted_content"

# The service keeps the conversation then, or the answer for as long as it works on it.
_STORING = ("background", "conversation", "previous_response_id")


def _body(request: ChatRequest, own: Mapping[str, Any], constraints: LLMConstraints) -> dict[str, Any]:
    given = {} if request.response_format is None else {"response_format": request.response_format}
    params, asked = _moved(own), _moved({**given, **request.params})
    tools = [*request.tools, *(asked.pop("tools", params.pop("tools", None)) or ())]
    params.pop("tools", None)
    if not tools:
        params = {key: value for key, value in params.items() if key not in ONLY_WITH_TOOLS}
    groups = _merged(params, asked)
    if not constraints.structured_output and groups.get("text"):
        groups["text"] = {key: value for key, value in groups["text"].items() if key != "format"} or None
    body = to_be_sent({**params, **asked, **groups})
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    if constraints.temperature is not None:
        body["temperature"] = constraints.temperature
    if "store" not in params and "store" not in asked and not any(map(body.get, _STORING)):
        body["store"] = False
    if body.get("store") is False and body.get("reasoning"):
        include = body.get("include") or ()
        body["include"] = [*include, *(() if _THOUGHTS in include else (_THOUGHTS,))]
    messages = as_allowed(request.messages, constraints)
    return body | {"input": input_items(messages, request.agent), "stream": True}


def _moved(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a chat completion under the names that they have here; all others as they are."""
    moved: dict[str, Any] = {}
    for key, value in params.items():
        if key in _MOVED:
            group, name = _MOVED[key]
            moved[group] = {**(moved.get(group) or {}), name: _flat(value)}
        elif key in _GROUPS and isinstance(value, Mapping):
            moved[key] = {**(moved.get(key) or {}), **value}
        elif key == "tool_choice":
            moved[key] = _choice(value)
        elif key == "stream_options" and isinstance(value, Mapping):
            # usage always comes, and to ask for it is refused
            moved[key] = {name: each for name, each in value.items() if name != "include_usage"} or None
        else:
            moved[_RENAMED.get(key, key)] = value
    return moved


def _merged(params: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are groups: of each, what is named nearer to the request wins."""
    merged: dict[str, Any] = {}
    for group in _GROUPS:
        given = [each[group] for each in (params, asked) if group in each]
        if given and all(isinstance(each, Mapping) for each in given):
            merged[group] = to_be_sent({key: value for each in given for key, value in each.items()}) or None
    return merged


def _tool(tool: Any) -> Any:
    """A tool in its flat form; a function is not strict unless it says so, which is not the default here."""
    flat = _flat(tool)
    if isinstance(flat, dict) and flat.get("type") == "function":
        flat.setdefault("strict", False)
    return flat


def _flat(definition: Any) -> Any:
    """`{"type": t, t: {…}}`, as chat completions nest it, as `{"type": t, …}`."""
    if not isinstance(definition, Mapping):
        return definition
    kind = definition.get("type")
    inner = definition.get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, Mapping):
        return dict(definition)
    rest = {key: value for key, value in definition.items() if key != kind}
    return {**rest, **inner, "type": kind}


def _choice(choice: Any) -> Any:
    flat = _flat(choice)
    if isinstance(flat, dict) and flat.get("type") == "allowed_tools":
        flat["tools"] = [_flat(tool) for tool in flat.get("tools") or ()]
    return flat


def _path(_: AsyncOpenAI, __: str) -> str:
    """Where the request goes; Azure's client leaves the deployment out of it, and the body names it."""
    return "/responses"


RESPONSES = WireAPI(_path, _body, ResponsesStreamDecoder)
