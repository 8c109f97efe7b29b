"""Responses as they stream: the events of OpenAI's Responses API and of those who speak it.

Source: OpenAI's API reference, "Streaming events" of the Responses API, and recorded streams of OpenAI
and DeepSeek for what the reference does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ModelConnectionError, ModelProtocolError
from ..kept_deltas import Kept
from ..values import Completion, Delta, Usage, delta
from .event_json import checked, malformed, quoted, read_document, read_event, reported
from .responses_items import OutputItems, index_of, place_of
from .sse import SSEDecoder

__all__ = ["ResponsesStreamDecoder"]

_Emit = Callable[[Delta], None]

_ENDS = frozenset(f"response.{end}" for end in ("completed", "incomplete", "failed", "cancelled"))
_FAILED = frozenset(("failed", "cancelled"))
_REASONS = {"max_output_tokens": "length"}
_COUNTS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
}

# Increments: the key of the Delta, the list of the item that the part stands in, the part's index in it.
_TEXTS = {
    "response.output_text": ("content", "content", "content_index", "text"),
    "response.refusal": ("refusal", "content", "content_index", "refusal"),
    "response.reasoning_summary_text": ("reasoning", "summary", "summary_index", "text"),
    "response.reasoning_text": ("reasoning", "content", "content_index", "text"),
}
_DELTAS = {f"{name}.delta": how for name, how in _TEXTS.items()}
_DONES = {f"{name}.done": how for name, how in _TEXTS.items()}

# What says nothing that other events do not say.
_SILENT = frozenset(
    f"response.{name}"
    for name in (
        "created",
        "queued",
        "in_progress",
        "content_part.added",
        "content_part.done",
        "reasoning_summary_part.added",
        "reasoning_summary_part.done",
    )
)


class ResponsesStreamDecoder:
    """Turns the bytes of one streamed response into Deltas, and at the end a Completion.

    Text becomes `content`, function calls `tool_calls`, refusals `refusal`, as in a chat completion;
    summaries of reasoning, and reasoning itself, text under `reasoning`. What else there is becomes
    extra keys, as it was sent: `annotations` and `logprobs` (lists), the items and events of built-in
    tools under the type of the item (`web_search_call`, `mcp_call`, …), the phases of messages under
    `phases` (a list). Finished items that are neither text nor function call stand under `output_items`
    (a list): what built-in tools did, and thoughts in the form in which the model takes them back.

    Args:
        request_id: The provider's id of the request, for the Completion.

    Attributes:
        done: True once the response has ended. What follows that is ignored.
    """

    def __init__(self, request_id: str | None = None) -> None:
        self.done = False
        self._sse = SSEDecoder()
        self._items = OutputItems()
        self._request_id = request_id
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    @property
    def completion(self) -> Completion:
        """What is known so far of usage, finish reason and model."""
        return Completion(
            usage=self._usage,
            finish_reason=self._finish_reason,
            model=self._model,
            request_id=self._request_id,
        )

    def feed(self, chunk: bytes, deltas: list[Kept]) -> None:
        """Adds the Deltas that this read completes.

        Args:
            chunk: What was read of the body; it may begin and end anywhere.
            deltas: To add to, in order, before an error behind it is raised.

        Raises:
            ModelStreamError: The response failed, or the service reported an error.
            ModelProtocolError: An event is no JSON, or not of its shape.
        """
        for name, data in self._sse.feed(chunk):
            if self.done:
                return
            self._take(name, data, deltas.append)

    def close(self, deltas: list[Kept]) -> None:
        """To be called when the body has ended; takes an event that lacks its blank line.

        Raises:
            ModelConnectionError: The body ended before the response did.
            ModelStreamError: The last event was an error of the service.
        """
        if self.done:
            return
        for name, data in self._sse.close():
            try:
                self._take(name, data, deltas.append)
            except ModelProtocolError as error:
                # The end of the body cut this event, so it is the connection that is at fault.
                raise ModelConnectionError(
                    f"the stream ended within an event, before the answer was whole: {error}"
                ) from error
        if not self.done:
            raise ModelConnectionError(
                "the stream ended before the answer was whole: it said neither response.completed nor "
                "response.incomplete; the service or a proxy before it closed the connection, so ask again"
            )

    def take_whole(self, body: bytes, deltas: list[Kept]) -> None:
        """Reads a `response` object as a stream that says the same.

        Raises:
            ModelStreamError: It is an error of the service, or a response that failed.
            ModelProtocolError: It is no response, or one that has not ended.
        """
        document = read_document(body)
        if not isinstance(document.get("output"), list) and not document.get("status"):
            if document.get("error"):
                raise reported(document)
            raise ModelProtocolError(f"the service sent JSON that is no response: {quoted(body)}")
        if document.get("status") in ("queued", "in_progress"):
            raise ModelProtocolError(
                f"the service sent no stream, but a response that is {document['status']}: {quoted(body)}"
            )
        self._end("response.completed", document, body, deltas.append)

    def _take(self, name: str | None, data: bytes, emit: _Emit) -> None:
        if data.startswith(b"[DONE]"):
            return  # no part of this protocol, but some gateways end every stream with it
        event = read_event(name, data)
        if event is None:
            return
        kind = event.get("type") or name
        if kind.__class__ is not str or not kind.startswith("response."):
            if kind == "error" or event.get("error"):
                raise reported(event)
            if kind.__class__ is not str:
                raise malformed("an event has no type", data)
            return  # `keepalive`, and whatever else is no part of a response
        if (how := _DELTAS.get(kind)) is not None:
            key, group, at, _ = how
            if text := checked(str, event.get("delta"), "delta", data):
                self._items.text(key, (place_of(event), group, index_of(event, at)), text, emit)
            if logprobs := event.get("logprobs"):
                emit(delta(logprobs=logprobs))
        elif kind in _SILENT:
            self._take_model(event.get("response"))
        elif kind in _ENDS:
            response = checked(dict, event.get("response"), "response", data)
            self._end(kind, response or {}, data, emit)
        else:
            self._take_other(kind, event, data, emit)

    def _take_other(self, kind: str, event: dict[str, Any], data: bytes, emit: _Emit) -> None:
        items, place = self._items, place_of(event)
        if (how := _DONES.get(kind)) is not None:
            key, group, at, name = how
            text = checked(str, event.get(name), name, data)
            items.whole_text(key, (place, group, index_of(event, at)), text, emit)
        elif kind == "response.function_call_arguments.delta":
            items.arguments(place, checked(str, event.get("delta"), "delta", data), emit)
        elif kind == "response.function_call_arguments.done":
            items.whole_arguments(place, checked(str, event.get("arguments"), "arguments", data), emit)
        elif kind == "response.output_item.added":
            items.added(place, checked(dict, event.get("item"), "item", data) or {}, data, emit)
        elif kind == "response.output_item.done":
            items.done(place, checked(dict, event.get("item"), "item", data) or {}, data, emit)
        elif kind == "response.output_text.annotation.added":
            part = (place, "content", index_of(event, "content_index"))
            items.annotation(part, event.get("annotation"), emit)
        else:
            items.event(place, event, emit)

    def _take_model(self, response: Any) -> None:
        # A name of another shape is left out: an answer is not lost for it.
        if isinstance(response, dict) and isinstance(model := response.get("model"), str):
            self._model = self._model or model

    def _end(self, kind: str, response: dict[str, Any], data: bytes, emit: _Emit) -> None:
        self._take_model(response)
        self._usage = _usage(response.get("usage"))
        status = response.get("status") or kind.removeprefix("response.")
        if status in _FAILED:
            raise reported(
                response.get("error") or f"the response was {status}, and the service says no more"
            )
        self._items.finish(checked(list, response.get("output"), "output", data) or [], data, emit)
        if status == "incomplete":
            details = checked(dict, response.get("incomplete_details"), "incomplete_details", data) or {}
            reason = checked(str, details.get("reason"), "reason", data)
            self._finish_reason = _REASONS.get(reason or "", reason) or "incomplete"
        else:
            self._finish_reason = "tool_calls" if self._items.calls else "stop"
        self.done = True


def _usage(raw: Any) -> Usage | None:
    """The counts that there are, under the names of chat completions."""
    if not isinstance(raw, dict):
        return None
    counts = {ours: raw[theirs] for ours, theirs in _COUNTS.items() if raw.get(theirs).__class__ is int}
    counts.setdefault("total_tokens", counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0))
    return Usage(**counts)
