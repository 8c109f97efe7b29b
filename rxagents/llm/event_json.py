"""The JSON of one server-sent event, read with care: what is wrong is named, and what came is quoted."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic_core import from_json, to_json

from ..errors import ModelProtocolError, ModelStreamError

__all__ = ["checked", "excerpt", "malformed", "quoted", "read_document", "read_event", "reported"]

_EXCERPT = 200

_T = TypeVar("_T")


def read_event(name: str | None, data: bytes) -> dict[str, Any] | None:
    """The object that an event holds; None for a heartbeat that is written as an event.

    Args:
        name: The name of the event.
        data: What it holds.

    Raises:
        ModelStreamError: It is an error in plain text.
        ModelProtocolError: It is no JSON, or no object.
    """
    try:
        event = from_json(data)
    except ValueError as error:
        if not data or data.isspace():
            return None
        event = _broken_json(data, name, error)
    if event.__class__ is not dict:
        if name == "error":
            raise reported(event)
        raise malformed(f"a chunk is {type(event).__name__} instead of an object", data)
    return cast(dict[str, Any], event)


def read_document(body: bytes) -> dict[str, Any]:
    """The object that is sent as a whole body; whatever precedes its brace is left out.

    Raises:
        ModelProtocolError: It is no JSON.
    """
    try:
        return cast(dict[str, Any], from_json(body[body.index(b"{") :]))
    except ValueError as error:
        raise ModelProtocolError(
            f"the service sent a document that is no JSON ({error}): {quoted(body)}"
        ) from error


def checked(kind: type[_T], value: Any, name: str, data: bytes) -> _T | None:
    """The value, if it is of that type or null. By class, so that `true` is no number.

    Raises:
        ModelProtocolError: It is of another type.
    """
    if value is not None and value.__class__ is not kind:
        raise malformed(f"the {name} is {type(value).__name__} instead of {kind.__name__}", data)
    return value


def malformed(what: str, data: bytes) -> ModelProtocolError:
    """The error for an event that is not of its shape."""
    return ModelProtocolError(f"{what}; the service sent: {excerpt(data.decode('utf-8', 'replace'))}")


def reported(event: object) -> ModelStreamError:
    """The service's error in its own words: `{"error": {"message": …}}`, or some of that, or text."""
    body = (event.get("error") or event) if isinstance(event, dict) else event
    message = body.get("message") if isinstance(body, dict) else body
    if not isinstance(message, str) or not message:
        message = f"the service reported an error: {excerpt(to_json(body).decode())}"
    return ModelStreamError(message, body)


def excerpt(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= _EXCERPT else f"{text[: _EXCERPT - 1]}…"


def quoted(body: bytes) -> str:
    """The beginning of a body, on one line."""
    return excerpt(" ".join(body.decode("utf-8", "replace").split()))


def _broken_json(data: bytes, name: str | None, error: ValueError) -> Any:
    """What can be made of data that is no JSON: an error in plain text, a chunk with broken characters."""
    text = data.decode("utf-8", "replace")
    try:
        # The standard replaces what is no UTF-8, and one broken character need not cost an answer.
        return from_json(text)
    except ValueError:
        if name == "error":
            return text
        raise malformed(f"a chunk is no JSON ({error})", data) from None
