"""What the Responses API refuses: requests in the form of chat completions above all.

The words are the service's, as far as its users have quoted them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .faults import HTTPFault

__all__ = ["objection"]

_MOVED = {
    "messages": "input",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "input": (str, list),
    "tools": (list,),
    "text": (dict,),
    "reasoning": (dict,),
    "stream_options": (dict,),
}
_INPUTS = ("input", "previous_response_id", "prompt", "conversation")
_ROLES = ("assistant", "system", "developer", "user")
_PARTS = ("input_text", "input_image", "input_file", "input_audio")
_SAID = ("output_text", "refusal")


def objection(body: Mapping[str, Any]) -> HTTPFault | None:
    """What is wrong with the JSON of a request, if anything is."""
    if not body.get("model"):
        return _missing("model")
    for name, now in _MOVED.items():
        if name in body:
            return _refused(
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to "
                f"'{now}'. Try again with the new parameter.",
                name,
                "unsupported_parameter",
            )
    if all(body.get(name) is None for name in _INPUTS):
        return _refused(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            "input",
            "missing_required_parameter",
        )
    for name, types in _TYPES.items():
        if body.get(name) is not None and not isinstance(body[name], types):
            return _of_type(name)
    if "include_usage" in (body.get("stream_options") or {}):
        return _unknown("stream_options.include_usage")
    for index, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict):
            return _of_type(f"tools[{index}]")
        if tool.get("type") == "function" and not tool.get("name"):
            return _missing(f"tools[{index}].name")
    items = body.get("input")
    return _of_items(items) if isinstance(items, list) else None


def _of_items(items: list[Any]) -> HTTPFault | None:
    for index, item in enumerate(items):
        place = f"input[{index}]"
        if not isinstance(item, dict):
            return _of_type(place)
        if item.get("type", "message") == "message" and (fault := _of_message(item, place)):
            return fault
    calls = {item.get("call_id") for item in items if item.get("type") == "function_call"}
    answers = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
    for lacking in sorted(map(str, calls - answers)):
        return _refused(f"No tool output found for function call {lacking}.", "input")
    for stray in sorted(map(str, answers - calls)):
        return _refused(f"No tool call found for function call output with call_id {stray}.", "input")
    return None


def _of_message(item: Mapping[str, Any], place: str) -> HTTPFault | None:
    role = item.get("role")
    if role not in _ROLES:
        return _invalid(place, role, _ROLES)
    for key in ("name", "tool_calls", "tool_call_id", "refusal"):
        if key in item:
            return _unknown(f"{place}.{key}")
    content = item.get("content")
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return _of_type(f"{place}.content")
    allowed = _SAID if role == "assistant" else _PARTS
    for index, part in enumerate(content):
        if not isinstance(part, dict):
            return _of_type(f"{place}.content[{index}]")
        if part.get("type") not in allowed:
            return _invalid(f"{place}.content[{index}]", part.get("type"), allowed)
    return None


def _missing(param: str) -> HTTPFault:
    return _refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _unknown(param: str) -> HTTPFault:
    return _refused(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def _of_type(param: str) -> HTTPFault:
    return _refused(f"Invalid type for '{param}'.", param, "invalid_type")


def _invalid(param: str, value: object, allowed: tuple[str, ...]) -> HTTPFault:
    *others, last = (f"'{each}'" for each in allowed)
    supported = f"{', '.join(others)} and {last}"
    return _refused(f"Invalid value: '{value}'. Supported values are: {supported}.", param, "invalid_value")


def _refused(message: str, param: str, code: str | None = None) -> HTTPFault:
    return HTTPFault(400, message, code=code, param=param)
