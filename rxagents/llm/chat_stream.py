"""Chat completions as they stream: the `chat.completion.chunk` objects of OpenAI and of those like it.

Source: OpenAI's API reference, "The chat completion chunk object", and recorded streams of OpenAI,
Azure, DeepSeek, Groq, Mistral, OpenRouter, Snowflake and Crusoe for what the reference does not say.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic_core import to_json

from ..errors import ModelConnectionError, ModelProtocolError
from ..kept_deltas import Kept
from ..values import Completion, Delta, Usage
from .chunk_forms import ChunkForm, form_of
from .event_json import checked, malformed, quoted, read_document, read_event, reported
from .sse import SSEDecoder

__all__ = ["ChatStreamDecoder"]

_STANDARD = frozenset(("content", "function_call", "refusal", "role", "tool_calls"))
_TRIES = 4  # each time that a form fits is worth one more
_CALL = frozenset(("id", "function", "type", "index"))


class ChatStreamDecoder:
    """Turns the bytes of one streamed chat completion into Deltas, and at the end a Completion.

    Only the first choice is read. Each `delta` of it becomes one Delta, also if it carries nothing;
    a chunk without choices (Azure's prelude, the chunk with the usage) becomes none. What a provider
    adds to a delta or to a tool call is kept under its own key, as it was sent, also if it is null.

    Args:
        request_id: The provider's id of the request, for the Completion.

    Attributes:
        done: True once the service has said `[DONE]`. What follows that is ignored.
    """

    def __init__(self, request_id: str | None = None) -> None:
        self.done = False
        self._sse = SSEDecoder()
        self._form: ChunkForm | None = None
        self._tries = _TRIES
        self._request_id = request_id
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    @property
    def completion(self) -> Completion:
        """What is known so far of usage, finish reason and model; of several usages, the last."""
        return Completion(
            usage=None if self._usage is None else _usage(self._usage),
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
            ModelStreamError: The service reported an error within the stream.
            ModelProtocolError: A chunk is no JSON, or not of the shape of a chunk.
        """
        events = self._sse.cut(chunk)
        form = self._form if self._sse.cuts else None
        for run in (events,) if form is None else form.runs(events):
            if self.done:
                return
            if isinstance(run, list):
                deltas += run
                self._tries = min(self._tries + 1, _TRIES)
            else:
                self._decode(run, deltas)

    def _decode(self, events: bytes, deltas: list[Kept]) -> None:
        for name, data in self._sse.decode(events):
            if data.startswith(b"[DONE]"):
                self.done = True
                return
            self._take(name, data, deltas)

    def close(self, deltas: list[Kept]) -> None:
        """To be called when the body has ended; adds the Delta of an event that lacks its blank line.

        A service that says either `[DONE]` or a finish reason has said all (Snowflake leaves out the
        reason, others leave out `[DONE]`).

        Raises:
            ModelConnectionError: The body ended before the answer was whole.
            ModelStreamError: The last event was an error of the service.
        """
        if self.done:
            return
        for name, data in self._sse.close():
            if data.startswith(b"[DONE]"):
                self.done = True
                return
            try:
                self._take(name, data, deltas)
            except ModelProtocolError as error:
                # The end of the body cut this chunk, so it is the connection that is at fault.
                raise ModelConnectionError(
                    f"the stream ended within a chunk, before the answer was whole: {error}"
                ) from error
        if self._finish_reason is None:
            raise ModelConnectionError(
                "the stream ended before the answer was whole: it said neither a finish_reason nor [DONE]; "
                "the service or a proxy before it closed the connection, so ask again"
            )

    def take_whole(self, body: bytes, deltas: list[Kept]) -> None:
        """Reads a `chat.completion` object as the one chunk of a stream that says the same.

        Raises:
            ModelStreamError: It is an error of the service.
            ModelProtocolError: It is no chat completion.
        """
        document = read_document(body)
        if not document.get("error"):
            choices = document.get("choices")
            if not isinstance(choices, list) or not choices:
                raise ModelProtocolError(f"the service sent JSON that is no chat completion: {quoted(body)}")
            for choice in choices:
                if isinstance(choice, dict) and "message" in choice:
                    choice["delta"] = _numbered(choice.pop("message"))
        self._take(None, to_json(document), deltas)
        self.done = True

    def _take(self, name: str | None, data: bytes, deltas: list[Kept]) -> None:
        chunk = read_event(name, data)
        if chunk is None:
            return
        # Counts and names of another shape are left out: an answer is not lost for its statistics.
        if (usage := chunk.get("usage")) and usage.__class__ is dict:
            self._usage = usage
        if self._model is None and (model := chunk.get("model")).__class__ is str:
            self._model = model or None
        if name == "error" or chunk.get("error"):
            raise reported(chunk)
        choices = chunk.get("choices")
        if choices.__class__ is not list:
            if choices is None and ("choices" in chunk or "usage" in chunk or name is not None):
                return  # a chunk of statistics, or an event that by its name is no chunk (`event: ping`)
            raise malformed(f"the choices of a chunk are {type(choices).__name__} instead of a list", data)
        for choice in choices:
            if choice.__class__ is not dict:
                raise malformed(f"a choice is {type(choice).__name__} instead of an object", data)
            if (index := choice.get("index")) and checked(int, index, "index of a choice", data):
                continue
            if finish_reason := choice.get("finish_reason"):
                self._finish_reason = checked(str, finish_reason, "finish_reason", data)
            raw = checked(dict, choice.get("delta"), "delta", data)
            if raw is None:
                continue  # Azure reports the results of its asynchronous filter in a choice without one
            content = raw.get("content")
            if len(raw) == 1 and content.__class__ is str:  # what nearly every token looks like
                delta: Delta = {
                    "content": content,
                    "function_call": None,
                    "refusal": None,
                    "tool_calls": None,
                }
            else:
                delta = _increment(raw, data)
            deltas.append(delta)
            if content and self._tries and not (self._form and self._form.begins(data)):
                # the first chunk names the role, perhaps, and some services tell the time in each
                self._tries -= 1
                self._form = form_of(data, chunk, delta) or self._form


def _numbered(message: Any) -> Any:
    """A whole message as a delta: its tool calls bear no index."""
    if isinstance(message, dict) and isinstance(calls := message.get("tool_calls"), list):
        for index, call in enumerate(calls):
            if isinstance(call, dict):
                call.setdefault("index", index)
    return message


def _increment(raw: dict[str, Any], data: bytes) -> Delta:
    """The Delta for a wire-form delta of any dialect."""
    content = raw.get("content")
    calls: list[Any] | None = checked(list, raw.get("tool_calls"), "tool_calls", data)
    parts = content if content.__class__ is list else None
    increment: dict[str, Any] = {
        "content": _text(parts) if parts is not None else checked(str, content, "content", data),
        "function_call": checked(dict, raw.get("function_call"), "function_call", data),
        "refusal": checked(str, raw.get("refusal"), "refusal", data),
        "tool_calls": None
        if calls is None
        else [_tool_call(each, data) for each in calls if each is not None],
    }
    for key in raw:
        if key not in _STANDARD:
            increment[key] = raw[key]
    if parts is not None:
        increment["content_parts"] = parts
    return cast(Delta, increment)


def _text(parts: list[Any]) -> str | None:
    """The text among content parts (Mistral sends its thinking as parts of another type)."""
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str)) or None


def _tool_call(raw: object, data: bytes) -> dict[str, Any]:
    """A fragment of a tool call with all its keys in the order of the markers."""
    call: dict[str, Any] = checked(dict, raw, "entry of tool_calls", data) or {}
    function: dict[str, Any] = checked(dict, call.get("function"), "function of a tool call", data) or {}
    fragment = {
        "id": checked(str, call.get("id"), "id of a tool call", data),
        "function": {
            "arguments": checked(str, function.get("arguments"), "arguments of a tool call", data),
            "name": checked(str, function.get("name"), "name of a tool call", data),
        },
        "type": checked(str, call.get("type"), "type of a tool call", data),
        "index": checked(int, call.get("index"), "index of a tool call", data),
    }
    for key in call:
        if key not in _CALL:
            fragment[key] = call[key]
    return fragment


def _usage(raw: dict[str, Any]) -> Usage:
    """The counts that there are; providers leave some out, or send null."""
    counts = {name: raw[name] for name in Usage.model_fields if raw.get(name).__class__ is int}
    counts.setdefault("total_tokens", counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0))
    return Usage(**counts)
