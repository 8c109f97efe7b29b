"""The JSON of OpenAI's Responses API, as a service writes it.

Source: OpenAI API reference, "Create a model response", "The response object" and "Streaming events".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...values import Completion, Delta, Usage
from .documents import CREATED, json_bytes
from .faults import Step
from .responses_objections import objection
from .responses_output import OutputWriter
from .responses_requests import as_chat
from .served_apis import Asked, ServedAPI

__all__ = ["RESPONSES"]

_COMPLETE = frozenset((None, "stop", "tool_calls"))
_REASONS = {"length": "max_output_tokens"}

# What a response repeats of its request, and what it says where the request said nothing.
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


class _Events:
    """The events of a stream, numbered, and cut into steps."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._number = 0
        self._open: list[bytes] = []

    def tell(self, kind: str, **fields: Any) -> None:
        event = {"type": f"response.{kind}", "sequence_number": self._number, **fields}
        self._number += 1
        self._open.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json_bytes(event)))

    def cut(self) -> None:
        """Ends a step."""
        self.steps.append(b"".join(self._open))
        self._open.clear()


def _steps(deltas: Sequence[Delta], completion: Completion, asked: Asked) -> list[Step]:
    """A streamed answer as server-sent events, one step for each increment; or one document."""
    events = _Events()
    writer = OutputWriter(asked.identifier, events.tell)
    begun = _response(asked, "queued" if asked.body.get("background") else "in_progress")
    events.tell("created", response=begun)
    if begun["status"] == "queued":
        events.tell("queued", response=begun)
    events.tell("in_progress", response=begun | {"status": "in_progress"})
    complete = completion.finish_reason in _COMPLETE
    status = "completed" if complete else "incomplete"
    for index, increment in enumerate(deltas):
        writer.write(increment)
        if index == len(deltas) - 1:
            writer.close(status)
        events.cut()
    ended = _response(asked, status) | {"output": writer.output, "usage": _usage(completion)}
    if not complete:
        reason = str(completion.finish_reason)
        ended["incomplete_details"] = {"reason": _REASONS.get(reason, reason)}
    events.tell(status, response=ended)
    events.cut()
    return events.steps if asked.streaming else [json_bytes(ended)]


def _response(asked: Asked, status: str) -> dict[str, Any]:
    given = {key: asked.body[key] for key in _ECHOED if asked.body.get(key) is not None}
    return {
        "id": asked.identifier,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": [],
        "usage": None,
        **_ECHOED,
        **given,
    }


def _usage(completion: Completion) -> dict[str, Any]:
    usage = completion.usage or Usage()
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }


RESPONSES = ServedAPI("resp_", objection, as_chat, _steps)
