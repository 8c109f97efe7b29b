"""Messages as the Responses API takes them: the items of its `input`.

Source: OpenAI's API reference, "Create a model response", `input`; its types in the `openai` package;
and for what the reference does not say, what the service and Azure refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["input_items"]

_FILE = ("file_id", "file_data", "file_url", "filename")


def input_items(messages: Iterable[Mapping[str, Any]], speaker: str | None) -> list[dict[str, Any]]:
    """The messages of a chat request as input items.

    An assistant's tool calls and the tools' answers become items of their own. No item gets an id:
    an id refers to what the service has stored, and is refused where it has stored nothing.

    The thoughts of a reasoning model (the `output_items` of a message) go back to it only within its turn,
    after the last message of a user: later it can do without them, and another model cannot read them.

    There is no `name` here. The name of another agent, or of a user who is not just called `user`,
    stands before the text, as `name: `.

    Args:
        messages: In the wire form of chat completions, oldest first.
        speaker: Who asks.
    """
    read = list(messages)
    asked = max((at for at, message in enumerate(read) if message.get("role") == "user"), default=-1)
    return [item for at, message in enumerate(read) for item in _items(message, speaker, at > asked)]


def _items(message: Mapping[str, Any], speaker: str | None, current: bool) -> Iterator[dict[str, Any]]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        answered = _parts(content, "input_text") if isinstance(content, list) else content or ""
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": answered}
        return
    said, calls = _said(message), message.get("tool_calls") or ()
    if role == "assistant" and current and (said or calls):
        yield from _thoughts(message.get("output_items") or ())
    if said or role != "assistant":
        name = message.get("name")
        others = role in ("assistant", "user") and name not in (None, "user", speaker)
        item = {"role": role, "content": _named(str(name), role, said) if others else said}
        if role == "assistant" and (phases := message.get("phases")):
            item["phase"] = phases[-1]
        yield item
    for call in calls:
        yield _call(call)


def _thoughts(items: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a reasoning model needs to have back when its tools have answered.

    Encrypted thoughts carry all in themselves. Where there is neither cipher nor text, the service
    has kept them, and an id alone would be refused.
    """
    for item in items:
        if item.get("type") != "reasoning":
            continue
        if item.get("encrypted_content"):
            yield {key: value for key, value in item.items() if key not in ("id", "status")}
        elif item.get("content"):
            yield dict(item)


def _said(message: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    content, refusal = message.get("content"), message.get("refusal")
    assistant = message.get("role") == "assistant"
    kind = "output_text" if assistant else "input_text"
    if isinstance(content, list):
        parts = _parts(content, kind)
    elif not refusal:
        return content or ""
    else:
        parts = [{"type": kind, "text": content}] if content else []
    return [*parts, {"type": "refusal", "refusal": refusal}] if refusal and assistant else parts


def _parts(content: Iterable[Any], text: str) -> list[dict[str, Any]]:
    return [_part(part, text) if isinstance(part, Mapping) else part for part in content]


def _part(part: Mapping[str, Any], text: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": text, "text": part.get("text") or ""}
    if kind == "image_url" and isinstance(image := part.get("image_url"), Mapping):
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    if kind == "file" and isinstance(file := part.get("file"), Mapping):
        return {"type": "input_file"} | {key: file[key] for key in _FILE if file.get(key) is not None}
    return dict(part)


def _named(name: str, role: Any, said: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(said, str):
        return f"{name}: {said}"
    kind = "output_text" if role == "assistant" else "input_text"
    return [{"type": kind, "text": f"{name}: "}, *said]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if custom := call.get("custom"):
        return {
            "type": "custom_tool_call",
            "call_id": call.get("id"),
            "name": custom.get("name"),
            "input": custom.get("input") or "",
        }
    function = call.get("function") or {}
    return {
        "type": "function_call",
        "call_id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments") or "{}",
    }
