"""The body of a request as bytes of JSON."""

from __future__ import annotations

import json
from typing import Any

from ..errors import ConfigurationError

__all__ = ["encoded"]

_DEPTH = 12


def encoded(body: dict[str, Any]) -> bytes:
    """The body as compact JSON in UTF-8.

    Raises:
        ConfigurationError: Something in it has no JSON; the text names the place.
    """
    try:
        text = _dumped(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"`{_place(body)}` of the request cannot be sent as JSON: {error}"
        ) from error
    # Half a surrogate pair (as in the name of a file, told by a tool) need not cost the answer.
    return text.encode("utf-8", "replace")


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


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
