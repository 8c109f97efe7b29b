"""The JSON of OpenAI's chat completions, as a service writes it.

Source: OpenAI API reference, "Create chat completion", "The chat completion chunk object" and
"Error codes"; the streams of `gpt-4o-mini` of 2024-07-18.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...assembly import assemble
from ...values import Completion, Delta, Usage
from .faults import HTTPFault, Step

__all__ = ["chat_completion", "chat_events", "error_document", "model_list"]

# A fixed time: what the server sends depends on nothing but the script.
_CREATED = 1_700_000_000


def chat_events(
    deltas: Sequence[Delta], completion: Completion, *, identifier: str, model: str, include_usage: bool
) -> list[Step]:
    """A streamed answer as server-sent events, `[DONE]` included.

    Args:
        deltas: Its increments; the first gets the role, the last the finish reason.
        completion: Its finish reason and usage.
        identifier: Of the answer.
        model: Its name on each chunk.
        include_usage: Whether the request's `stream_options` asked for the usage chunk.
    """
    frame = {"id": identifier, "object": "chat.completion.chunk", "created": _CREATED, "model": model}
    blank = {"usage": None} if include_usage else {}
    documents: list[dict[str, Any]] = []
    for index, increment in enumerate(deltas):
        last = index == len(deltas) - 1
        choice = {
            "index": 0,
            "delta": _wire_delta(increment, opening=index == 0),
            "logprobs": None,
            "finish_reason": completion.finish_reason if last else None,
        }
        documents.append({**frame, "choices": [choice], **blank})
    if include_usage:
        documents.append({**frame, "choices": [], "usage": _usage(completion)})
    return [*(b"data: %b\n\n" % _json(document) for document in documents), b"data: [DONE]\n\n"]


def chat_completion(
    deltas: Sequence[Delta], completion: Completion, *, identifier: str, model: str
) -> list[Step]:
    """An answer that is not streamed, as one document."""
    whole = assemble(deltas)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": whole.text or (None if whole.tool_calls or whole.refusal else ""),
        "refusal": whole.refusal,
    }
    if whole.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": call.type, "function": call.function} for call in whole.tool_calls
        ]
    choice = {
        "index": 0,
        "message": message | whole.metadata,
        "logprobs": None,
        "finish_reason": completion.finish_reason,
    }
    frame = {"id": identifier, "object": "chat.completion", "created": _CREATED, "model": model}
    return [_json({**frame, "choices": [choice], "usage": _usage(completion)})]


def error_document(fault: HTTPFault) -> list[Step]:
    """The body of an HTTP error."""
    kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    error = {"message": fault.message, "type": kind, "param": None, "code": fault.code}
    return [_json({"error": error})]


def model_list(models: Sequence[str]) -> list[Step]:
    """The answer to `GET /v1/models`."""
    entries = [
        {"id": model, "object": "model", "created": _CREATED, "owned_by": "rxagents"} for model in models
    ]
    return [_json({"object": "list", "data": entries})]


def _wire_delta(increment: Delta, *, opening: bool) -> dict[str, Any]:
    wire = {key: value for key, value in increment.items() if value is not None}
    if increment["tool_calls"]:
        wire["tool_calls"] = [_wire_call(fragment) for fragment in increment["tool_calls"]]
    if opening:
        return {"role": "assistant", "content": None, "refusal": None} | wire
    return wire


def _wire_call(fragment: dict[str, Any]) -> dict[str, Any]:
    wire = {key: value for key, value in fragment.items() if value is not None}
    function = fragment.get("function") or {}
    wire["function"] = {key: value for key, value in function.items() if value is not None}
    return wire


def _usage(completion: Completion) -> dict[str, int]:
    return (completion.usage or Usage()).model_dump()


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
