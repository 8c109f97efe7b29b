"""A request for a response as the chat completion that asks for the same, so that scripts need know one form.

Source: OpenAI's API reference, "Create a model response".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_chat"]

_FILE = ("file_id", "file_data", "file_url", "filename")
_CALLS = frozenset(("function_call", "custom_tool_call"))
_OWN = frozenset(("input", "instructions", "max_output_tokens", "reasoning", "text", "tool_choice", "tools"))


def as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the JSON body of a chat completion; what has no name there stays as it is."""
    chat = {key: value for key, value in body.items() if key not in _OWN}
    chat["messages"] = _messages(body)
    if tools := body.get("tools"):
        chat["tools"] = [_nested(tool) for tool in tools]
    if choice := body.get("tool_choice"):
        chat["tool_choice"] = _nested(choice)
    if limit := body.get("max_output_tokens"):
        chat["max_completion_tokens"] = limit
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    if effort := reasoning.get("effort"):
        chat["reasoning_effort"] = effort
    if verbosity := text.get("verbosity"):
        chat["verbosity"] = verbosity
    if form := text.get("format"):
        chat["response_format"] = _nested(form)
    return chat


def _nested(definition: Any) -> Any:
    if not isinstance(definition, Mapping) or definition.get("type") not in ("function", "json_schema"):
        return definition
    kind = definition["type"]
    inner = {key: value for key, value in definition.items() if key != "type"}
    if kind == "function" and inner.get("strict") is False:
        del inner["strict"]  # what a chat completion takes for granted
    return {"type": kind, kind: inner}


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    thoughts: list[dict[str, Any]] = []
    joined = False  # whether the last message is an assistant's whose calls may follow
    for item in items:
        kind = item.get("type") or "message"
        if kind == "function_call_output":
            messages.append(_answered(item))
        elif kind in _CALLS and joined:
            messages[-1].setdefault("tool_calls", []).append(_call(item))
        elif kind in _CALLS:
            messages.append({"role": "assistant", "content": None, "tool_calls": [_call(item)]})
        elif kind == "message":
            messages.append(_message(item))
        else:
            thoughts.append(dict(item))
            joined = False
            continue
        joined = messages[-1]["role"] == "assistant"
        if joined and thoughts:
            messages[-1]["output_items"] = thoughts
            thoughts = []
    return messages


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    role, content = item["role"], item.get("content")
    message: dict[str, Any] = {"role": role, "content": content}
    if isinstance(content, list):
        refusals = [part["refusal"] for part in content if part.get("type") == "refusal"]
        parts = [_part(part) for part in content if part.get("type") != "refusal"]
        message["content"] = parts or None
        if refusals:
            message["refusal"] = "".join(refusals)
    if item.get("phase"):
        message["phases"] = [item["phase"]]
    return message


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "input_image":
        url = {"url": part.get("image_url"), "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": url}
    if kind == "input_file":
        return {"type": "file", "file": {key: part[key] for key in _FILE if key in part}}
    return dict(part)


def _answered(item: Mapping[str, Any]) -> dict[str, Any]:
    output = item.get("output")
    content = [_part(part) for part in output] if isinstance(output, list) else output
    return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    if item["type"] == "custom_tool_call":
        custom = {"name": item.get("name"), "input": item.get("input")}
        return {"id": item.get("call_id"), "type": "custom", "custom": custom}
    function = {"arguments": item.get("arguments"), "name": item.get("name")}
    return {"id": item.get("call_id"), "type": "function", "function": function}
