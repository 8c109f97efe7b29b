"""What stands in a journal: deltas, completions and errors as JSON data, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import errors
from ..errors import RxAgentsError
from ..places import words
from ..values import Completion, Delta, Usage, delta
from .redaction import jsonable

__all__ = [
    "completion_data",
    "completion_from",
    "delta_data",
    "delta_from",
    "error_data",
    "error_from",
]

_KEYS = ("content", "function_call", "refusal", "tool_calls")
_KNOWN = ("status", "request_id", "retry_after", "body")


def delta_data(item: Mapping[str, Any] | str) -> Any:
    """An increment as JSON data, without those of its four keys that are None."""
    if isinstance(item, str):
        return str(item)
    return jsonable({key: value for key, value in item.items() if value is not None or key not in _KEYS})


def delta_from(data: Any) -> Delta | str:
    """The increment that `delta_data` wrote, with all its keys.

    Raises:
        TypeError: The data is something else.
    """
    if isinstance(data, str):
        return data
    return delta(**data)


def completion_data(completion: Completion) -> dict[str, Any]:
    """A completion as JSON data."""
    usage = completion.usage
    return {
        "usage": None if usage is None else usage.model_dump(),
        "finish_reason": completion.finish_reason,
        "model": completion.model,
        "request_id": completion.request_id,
    }


def completion_from(data: Mapping[str, Any]) -> Completion:
    """The completion that `completion_data` wrote.

    Raises:
        ValueError: The data is something else.
    """
    usage = data.get("usage")
    return Completion(
        usage=None if usage is None else Usage(**usage),
        finish_reason=data.get("finish_reason"),
        model=data.get("model"),
        request_id=data.get("request_id"),
    )


def error_data(
    error: BaseException, text: Callable[[str], str], value: Callable[[Any], Any]
) -> dict[str, Any]:
    """An error as JSON data.

    Args:
        error: Any.
        text: What may be written of its words.
        value: What may be written of what else is known.
    """
    data: dict[str, Any] = {"type": type(error).__name__, "message": text(words(error))}
    ours = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _tree()), None)
    if ours is not None and ours != data["type"]:
        data["as"] = ours
    known = {name: getattr(error, name, None) for name in _KNOWN} if ours else {}
    return data | {name: value(found) for name, found in known.items() if found is not None}


def error_from(data: Mapping[str, Any]) -> RxAgentsError | None:
    """A new error like the one that `error_data` wrote; None if it was not one of rxagents.

    Raises:
        KeyError: The data is something else.
    """
    kind = _tree().get(data.get("as") or data["type"])
    if kind is None:
        return None
    # made as pickle makes it: some of them take more than their words
    error = kind.__new__(kind, data["message"])
    error.args = (data["message"],)
    for name in ("status", "request_id", "retry_after") if issubclass(kind, errors.ModelStatusError) else ():
        setattr(error, name, data.get(name))
    if issubclass(kind, errors.ModelStreamError):
        error.body = data.get("body")  # type: ignore[attr-defined]
    return error


def _tree() -> dict[str, type[RxAgentsError]]:
    """The errors of rxagents by their names, those of its testing included, so far as they are imported."""
    return {kind.__name__: kind for kind in _kinds() if kind.__module__.partition(".")[0] == "rxagents"}


def _kinds() -> Iterator[type[RxAgentsError]]:
    stack = [RxAgentsError]
    while stack:
        kind = stack.pop()
        yield kind
        stack.extend(kind.__subclasses__())
