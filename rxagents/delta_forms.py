"""The form of a delta: what a model gave, in the order of its keys in which it is shown."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python

from .errors import InputError

__all__ = ["in_order", "put_in_order"]

_KEYS = ["content", "function_call", "refusal", "tool_calls"]
_CALL = ("id", "function", "type", "index")
_FUNCTION = ("arguments", "name")
_NONE = type(None)
_TEXT = (str, _NONE)
_PLAIN = frozenset((str, _NONE, bool, int))


def in_order(item: dict[str, Any]) -> bool:
    """Whether a dict can be shown as it is. Asked for every token, so what is most common comes first."""
    keys = [*item]
    if keys == _KEYS:
        content, function_call, refusal, calls = item.values()
        if content.__class__ is str and function_call is refusal is calls is None:
            return True
    elif keys[:4] == _KEYS and _has_plain_extras(item):
        content, function_call, refusal, calls, *_ = item.values()
    else:
        return False
    if calls is not None and not (calls.__class__ is list and all(map(_is_call_in_order, calls))):
        return False
    return function_call is None and content.__class__ in _TEXT and refusal.__class__ in _TEXT


def _has_plain_extras(item: dict[str, Any]) -> bool:
    # reasoning comes token by token under a key of its own, and is text
    extras = [key for key in item if key not in _KEYS]
    return all(key.__class__ is str and key != "role" and item[key].__class__ in _PLAIN for key in extras)


def _is_call_in_order(call: Any) -> bool:
    if call.__class__ is not dict or tuple(call) != _CALL:
        return False
    id, function, kind, index = call.values()
    if function.__class__ is not dict or tuple(function) != _FUNCTION:
        return False
    texts = (id, kind, *function.values())
    return index.__class__ in (int, _NONE) and all(text.__class__ in _TEXT for text in texts)


def put_in_order(partial: dict[str, Any]) -> dict[str, Any]:
    """A Delta of what a model gave; the role is the message's, and is known already."""
    calls = _checked((list, tuple), partial.get("tool_calls"), "tool_calls")
    whole: dict[str, Any] = {
        "content": _checked(str, partial.get("content"), "content"),
        "function_call": _jsonable(_checked(dict, partial.get("function_call"), "function_call")),
        "refusal": _checked(str, partial.get("refusal"), "refusal"),
        "tool_calls": None if calls is None else [_call(call) for call in calls if call is not None],
    }
    extras = {key: value for key, value in partial.items() if key not in _KEYS and key != "role"}
    return {**whole, **_jsonable(extras)} if extras else whole


def _call(given: object) -> dict[str, Any]:
    call: dict[str, Any] = _checked(dict, given, "entry of tool_calls")
    function = _checked(dict, call.get("function"), "function of a tool call") or {}
    whole = {
        "id": _checked(str, call.get("id"), "id of a tool call"),
        "function": {key: _checked(str, function.get(key), f"{key} of a tool call") for key in _FUNCTION},
        "type": _checked(str, call.get("type"), "type of a tool call"),
        "index": _checked(int, call.get("index"), "index of a tool call"),
    }
    extras = {key: value for key, value in call.items() if key not in _CALL}
    return {**whole, **_jsonable(extras)} if extras else whole


def _checked(kind: type | tuple[type, ...], value: Any, name: str) -> Any:
    if value is None or isinstance(value, kind):
        return value
    wanted = kind[0] if isinstance(kind, tuple) else kind
    raise InputError(f"the {name} of a delta is {type(value).__name__}; it must be {wanted.__name__} or None")


def _jsonable(value: Any) -> Any:
    try:
        return to_jsonable_python(value, fallback=str)
    except ValueError as error:
        raise InputError(f"what a delta carries cannot be written as JSON: {error}") from error
