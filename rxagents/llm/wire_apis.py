"""What an API of a service is to us: where a request goes, what it says, how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from openai import AsyncOpenAI, NotGiven, Omit

from .http_answers import AnswerDecoder
from .requests import ChatRequest, LLMConstraints

__all__ = ["ONLY_WITH_TOOLS", "WireAPI", "as_allowed", "to_be_sent"]

# OpenAI refuses these where there are no tools, and not every agent of a model has some.
ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")


class WireAPI(NamedTuple):
    """One API.

    Args:
        path: The path of a request, from the client and the model's name.
        body: The JSON body, from the request, the model's own parameters and its constraints.
        decoder: Reads one answer; made with the provider's id of the request.
    """

    path: Callable[[AsyncOpenAI, str], str]
    body: Callable[[ChatRequest, Mapping[str, Any], LLMConstraints], dict[str, Any]]
    decoder: Callable[[str | None], AnswerDecoder]


def as_allowed(messages: Sequence[dict[str, Any]], constraints: LLMConstraints) -> Sequence[dict[str, Any]]:
    """The messages, with those of the system as the user's where the model takes none."""
    if constraints.system_message:
        return messages
    return [
        {**message, "role": "user"} if message.get("role") == "system" else message for message in messages
    ]


def to_be_sent(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what stands for "not to be sent"."""
    return {
        key: value
        for key, value in body.items()
        if value is not None and not isinstance(value, NotGiven | Omit)
    }
