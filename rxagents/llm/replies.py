"""What a scripted model says: a Reply, and how it is cut into deltas as a model would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import count
from typing import Any

from ..errors import ScriptError
from ..values import Completion, Delta, Usage, delta

__all__ = ["Call", "Reply", "as_reply", "message_text", "new_ids", "request_text", "tokenize"]

_TOKEN = re.compile(r" ?_?[^\W\d_]+|\d{1,3}|_+| ?[^\w\s]+|\s+?(?= ?\S)|\s+")


def tokenize(text: str) -> list[str]:
    """Cuts text about as models do: words with their leading space, digits in threes, punctuation apart.

    Nothing is lost: `"".join(tokenize(text)) == text`. An underscore begins a token.
    """
    return _TOKEN.findall(text)


def message_text(message: Mapping[str, Any]) -> str:
    """The text of a wire-form message; of content parts, the text parts joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def request_text(body: Mapping[str, Any]) -> str:
    """The text of all messages of a request, one below the other."""
    return "\n".join(message_text(message) for message in body.get("messages", ()))


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a scripted reply.

    Args:
        name: The tool's name.
        arguments: Its arguments; a dict is sent as compact JSON, a string as it is.
        id: The id of the call; by default `call_1`, `call_2`, … in the order of the script.
        fragments: The pieces in which the arguments come; by default they are cut as models do.
    """

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    fragments: Sequence[str] | None = None

    def cut(self) -> list[str]:
        """The pieces of the arguments: of `{"order_id": "214"}`, `{"` `order` `_id` `":"` `214` `"}`."""
        if self.fragments is not None:
            return list(self.fragments)
        if isinstance(self.arguments, str):
            return tokenize(self.arguments)
        return tokenize(_json(self.arguments))

    def render(self, index: int, call_id: str) -> list[Delta]:
        """The call as deltas: the first has id, type and name, the others have pieces of arguments.

        Args:
            index: The position of the call in its reply.
            call_id: The id on the wire.
        """
        opening = delta(tool_calls=[_fragment(index, "", call_id, self.name, "function")])
        return [opening, *(delta(tool_calls=[_fragment(index, piece)]) for piece in self.cut())]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer of a model.

    Args:
        text: What it says.
        calls: The tools that it calls, after the text.
        tokens: The pieces in which the text comes; by default it is cut by `tokenize`.
        refusal: The model's refusal, instead of a text.
        usage: By default counted: a completion token for each delta that carries something, and the
            prompt tokens that the text of the request would be cut into.
        finish_reason: By default `tool_calls` if there are calls, else `stop`.
        deltas: The increments themselves, instead of all that; for what a provider adds.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    _: KW_ONLY
    tokens: Sequence[str] | None = None
    refusal: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    deltas: Sequence[Delta] | None = None

    def render(
        self, body: Mapping[str, Any], next_id: Callable[[], str] | None = None
    ) -> tuple[list[Delta], Completion]:
        """The reply as OpenAI's wire gives it: an opening delta, the increments, an empty last one.

        Args:
            body: The request, for the count of its tokens.
            next_id: Gives the ids of calls that have none; by default `call_1`, `call_2`, …
        """
        deltas = self._increments(next_id or new_ids()) if self.deltas is None else list(self.deltas)
        carrying = sum(1 for item in deltas if _carries(item))
        prompt = len(tokenize(request_text(body)))
        usage = self.usage or Usage(
            completion_tokens=carrying, prompt_tokens=prompt, total_tokens=carrying + prompt
        )
        calls = any(item["tool_calls"] for item in deltas)
        reason = self.finish_reason or ("tool_calls" if calls else "stop")
        return deltas, Completion(usage=usage, finish_reason=reason)

    def _increments(self, next_id: Callable[[], str]) -> list[Delta]:
        tokens = self.tokens if self.tokens is not None else tokenize(self.text)
        deltas: list[Delta] = []
        if tokens or not self.calls:
            deltas = [delta("" if self.refusal is None else None)]
            deltas += (delta(token) for token in tokens)
            deltas += (delta(refusal=token) for token in tokenize(self.refusal or ""))
        for index, call in enumerate(self.calls):
            deltas += call.render(index, call.id or next_id())
        return [*deltas, delta()]


def as_reply(answer: object) -> Reply:
    match answer:
        case Reply():
            return answer
        case str():
            return Reply(answer)
        case Call():
            return Reply(calls=(answer,))
        case dict():
            return Reply(_json(answer))
        case Exception():
            raise answer
        case list() | tuple():
            calls = tuple(item for item in answer if isinstance(item, Call))
            if calls and len(calls) == len(answer):
                return Reply(calls=calls)
    raise ScriptError(
        f"{type(answer).__name__} is no answer of a model; give a str, a Call, a list of Calls, "
        "a dict, a Reply or an exception (faults of the connection need rxagents.testing.OpenAIServer)"
    )


def _fragment(
    index: int, arguments: str, call_id: str | None = None, name: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    return {
        "id": call_id,
        "function": {"arguments": arguments, "name": name},
        "type": kind,
        "index": index,
    }


def _carries(item: Delta) -> bool:
    return any(value for key, value in item.items() if key != "role")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def new_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"call_{next(numbers)}"
