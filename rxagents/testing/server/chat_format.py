"""The JSON of OpenAI's chat completions, as a service writes it.

Source: OpenAI API reference, "Create chat completion" and "The chat completion chunk object"; the
streams of `gpt-4o-mini` of 2024-07-18.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...assembly import assemble
from ...values import Completion, Delta, Usage
from .documents import CREATED, json_bytes
from .faults import HTTPFault, Step
from .served_apis import Asked, ServedAPI

__all__ = ["CHAT"]


def _objection(body: dict[str, Any]) -> HTTPFault | None:
    if not isinstance(body.get("messages"), list):
        return HTTPFault(400, "Missing required parameter: 'messages'.")
    if not body.get("model"):
        return HTTPFault(400, "you must provide a model parameter")
    return None


def _steps(deltas: Sequence[Delta], completion: Completion, asked: Asked) -> list[Step]:
    return (_events if asked.streaming else _document)(deltas, completion, asked)


def _events(deltas: Sequence[Delta], completion: Completion, asked: Asked) -> list[Step]:
    """A streamed answer as server-sent events, `[DONE]` included.

    The first increment gets the role, the last the finish reason.
    """
    include_usage = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    frame = _frame(asked, "chat.completion.chunk")
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
    return [*(b"data: %b\n\n" % json_bytes(document) for document in documents), b"data: [DONE]\n\n"]


def _document(deltas: Sequence[Delta], completion: Completion, asked: Asked) -> list[Step]:
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
    frame = _frame(asked, "chat.completion")
    return [json_bytes({**frame, "choices": [choice], "usage": _usage(completion)})]


def _frame(asked: Asked, kind: str) -> dict[str, Any]:
    return {"id": asked.identifier, "object": kind, "created": CREATED, "model": asked.model}


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


CHAT = ServedAPI("chatcmpl-", _objection, dict, _steps)
