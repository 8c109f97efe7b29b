"""A call of a model as a page of Markdown, for people to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..values import Message
from .model_calls import ModelCall

__all__ = ["page", "stamp"]

_APART = ("messages", "tools", "response_format", "model")
_INLINE_DATA = re.compile(r"(data:[\w.+-]+/[\w.+-]+;base64,)([A-Za-z0-9+/=_-]{64,})")
_LONG = 100


def page(call: ModelCall) -> str:
    """The call as Markdown: how it went, what was asked message by message, and the answer.

    Data within a message, such as an image, is named by its length.
    """
    return "\n\n".join(_parts(call)) + "\n"


def stamp(moment: datetime) -> str:
    """The moment as it stands in the name of a file: no file system minds, and names sort by time."""
    return moment.strftime("%Y-%m-%dT%H-%M-%S.%fZ")


def _parts(call: ModelCall) -> Iterator[str]:
    yield f"# {call.agent or 'somebody'} asked {call.model or 'a model'}"
    yield "\n".join(_facts(call))
    params = {key: value for key, value in call.body.items() if key not in _APART}
    yield from _data("Parameters", params)
    yield from _data("Response format", call.body.get("response_format"))
    yield from _data("Tools", call.body.get("tools"))
    for message in call.body.get("messages") or ():
        yield from _message(message) if isinstance(message, Mapping) else (_fenced(message),)
    yield from _answer(call.answer)
    if call.error is not None:
        yield "# Error"
        yield call.error


def _facts(call: ModelCall) -> Iterator[str]:
    answer = call.answer
    reason = answer.finish_reason if call.how == "completed" else None
    yield f"- begun: {call.begun:%Y-%m-%d %H:%M:%S.%f} UTC"
    yield f"- took: {call.seconds:.3f} s"
    yield f"- ended: {call.how}" + (f", {reason}" if reason else "")
    if answer.usage:
        usage = answer.usage
        yield (
            f"- tokens: {usage.prompt_tokens} read, {usage.completion_tokens} written, {usage.total_tokens} "
            "in all"
        )
    if answer.metadata.get("request_id"):
        yield f"- request: {answer.metadata['request_id']}"


def _message(message: Mapping[str, Any]) -> Iterator[str]:
    names = [message.get("role") or "?", message.get("name"), message.get("tool_call_id")]
    yield "## " + " / ".join(str(name) for name in names if name)
    yield from _content(message.get("content"))
    if message.get("refusal"):
        yield f"(refused) {message['refusal']}"
    for call in message.get("tool_calls") or ():
        yield from _tool_call(call)


def _content(content: Any) -> Iterator[str]:
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else part
        if isinstance(text, str):
            yield from [_shortened(text)] if text else []
        elif text is not None:
            yield _fenced(text)


def _answer(answer: Message) -> Iterator[str]:
    yield "# Answer"
    for key, value in answer.metadata.items():
        if key not in ("model", "request_id"):
            yield f"## {key}"
            yield from _content(value)
    yield from _content(answer.content)
    if answer.refusal:
        yield f"(refused) {answer.refusal}"
    for call in answer.tool_calls:
        yield from _tool_call(call.model_dump())


def _tool_call(call: Any) -> Iterator[str]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        yield _fenced(call)
        return
    yield f"calls `{function.get('name')}` ({call.get('id')})"
    arguments = str(function.get("arguments") or "")
    try:
        yield _fenced(json.loads(arguments))
    except ValueError:  # what the model wrote is no JSON, or was cut
        yield _fence(arguments, "")


def _data(title: str, value: Any) -> Iterator[str]:
    if value:
        yield f"## {title}"
        yield _fenced(value)


def _fenced(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > _LONG:
        text = json.dumps(value, ensure_ascii=False, indent=2)
    return _fence(_shortened(text), "json")


def _fence(text: str, language: str) -> str:
    # longer than any run of backticks within, as CommonMark has it
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _shortened(text: str) -> str:
    return _INLINE_DATA.sub(lambda found: f"{found[1]}… ({len(found[2])} characters)", text)
