"""The body of a request as bytes of JSON."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

from ..errors import ConfigurationError

__all__ = ["encoded"]

_DEPTH = 12

_HISTORIES = ("messages", "input")


def encoded(body: dict[str, Any]) -> bytes:
    """The body as compact JSON in UTF-8, to the byte as `json.dumps` writes it.

    The history in it is written by pydantic's encoder, if it holds nothing but what messages usually hold.
    That takes a third of the time, and a history of thousands of messages is most of a turn.

    Raises:
        ConfigurationError: Something in it has no JSON; the text names the place.
    """
    try:
        if not all(isinstance(key, str) for key in body):
            return _bytes(body)
        fields = [
            b"%b:%b" % (_bytes(key), (_history(value) if key in _HISTORIES else None) or _bytes(value))
            for key, value in body.items()
        ]
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"`{_place(body)}` of the request cannot be sent as JSON: {error}"
        ) from error
    return b"{%b}" % b",".join(fields)


def _history(messages: object) -> bytes | None:
    """The messages by pydantic's encoder; None where something in them is unusual."""
    if not (_IS_STRICT and isinstance(messages, list)):
        return None
    try:
        return _usual.to_json(messages, warnings="error")
    except ValueError:  # half of a surrogate pair is one, too
        return None


def _dict(values: CoreSchema, **fields: CoreSchema) -> CoreSchema:
    # not `dict_schema`, which takes None and half a surrogate pair for keys, and writes them in its own way
    return core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(schema, required=False) for name, schema in fields.items()},
        extras_schema=values,
        extra_behavior="allow",
    )


# Nothing but texts, None, and lists and dicts of them: these both encoders write alike. Of a float they write
# the exponent differently; and what has no JSON, such as bytes, pydantic's would write if it was let.
_text = core_schema.str_schema()
_texts = _dict(_text)
_parts = core_schema.list_schema(_dict(core_schema.union_schema([_text, _texts])))
_words = core_schema.union_schema([core_schema.nullable_schema(_text), _parts])
_calls = core_schema.list_schema(_dict(_text, function=_texts, custom=_texts))
_message = _dict(_text, content=_words, tool_calls=_calls, tool_call_id=core_schema.nullable_schema(_text))
_usual = SchemaSerializer(core_schema.list_schema(_message))


def _refuses(value: object) -> bool:
    try:
        _usual.to_json([{"role": "user", "of_no_schema": value}], warnings="error")
    except ValueError:
        return True
    return False


# Older ones look at no value whose key has no schema of its own.
_IS_STRICT = _refuses(1e16)


def _bytes(value: object) -> bytes:
    # Half a surrogate pair (as in the name of a file, told by a tool) need not cost the answer.
    return _dumped(value).encode("utf-8", "replace")


# `json.dumps` would make it anew for each value
_dumped = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _place(value: object, path: str = "", depth: int = 0) -> str:
    """The way to the innermost value that is at fault, such as `messages[1].content`."""
    steps: list[tuple[str, object]] = []
    if depth < _DEPTH and isinstance(value, dict):
        steps = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif depth < _DEPTH and isinstance(value, list | tuple):
        steps = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for step, item in steps:
        try:
            _dumped(item)
        except (TypeError, ValueError, RecursionError):
            return _place(item, step, depth + 1)
    return path
