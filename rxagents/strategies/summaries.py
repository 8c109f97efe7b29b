"""Reading by a model that sums up."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from ..checks import check_number
from ..engine.bridges import from_async
from ..errors import ConfigurationError
from ..ledgers import is_instruction
from ..llm.requesting import ask
from ..llm.requests import LLM, ChatRequest
from ..places import located_as
from ..streams import MessageStream
from ..transcripts import Transcript
from ..values import Message, Usage
from .readings import Reading
from .selections import Selection

__all__ = ["SUMMARY_PROMPT", "SummarizeMessagesStrategy"]

SUMMARY_PROMPT = """\
You sum up a conversation for somebody who goes on with it without having read it.
Keep what was asked and answered, decided and promised; names, numbers and quotes as they are; what \
tools gave; and what is still open. Leave out greetings and repetitions.
Write in the language of the conversation. Answer with the summary, and nothing else."""

_NAME = "summarizer"
_log = logging.getLogger("rxagents.agent")


class SummarizeMessagesStrategy:
    """Reads a summary that a model writes, in place of what was said.

    The summary is one message of the assistant named `summarizer`. What stays beside it: the
    conversation's own instructions (system messages without a name), the last message of the user,
    so that whoever answers knows to what, and the `keep_last` last messages. Where there is nothing
    else, no model is asked. A model that says nothing leaves everything as it was.

    The model is asked anew at each turn. Its usage counts as the reader's.

    Args:
        llm: The model.
        system_prompt: What it is told to do.
        keep_last: How many of the last messages stay as they are, beside the summary.
    """

    def __init__(self, llm: LLM, system_prompt: str = SUMMARY_PROMPT, *, keep_last: int = 0) -> None:
        if not callable(llm):
            raise ConfigurationError(
                f"SummarizeMessagesStrategy: llm is a {type(llm).__name__}; give a model, such as "
                "OpenAILLM(...)"
            )
        self.llm = llm
        self.system_prompt = system_prompt
        self.keep_last = check_number("SummarizeMessagesStrategy", "keep_last", keep_last, 0)

    async def __call__(self, transcript: Transcript) -> Reading:
        selection = Selection(transcript)
        last = selection.said[max(len(selection.said) - self.keep_last, 0) :]
        begun = {other for at in last for other in selection.whole(at)}
        old = [at for at in selection.said if at not in begun]
        asked = [at for at in selection.said if selection.message(at).role == "user"][-1:]
        if not set(old) - set(asked):
            return Reading(transcript.messages)
        answer = await self._summary(selection.message(at) for at in old)
        usage = answer.usage or Usage()
        if not answer.text:
            _log.warning("the model that sums up said nothing, so everything is read")
            return Reading(transcript.messages, usage)
        summary = Message(role="assistant", name=_NAME, content=answer.text)
        return Reading(tuple(_with_summary(selection.of([*asked, *last]), summary)), usage)

    async def _summary(self, messages: Iterable[Message]) -> Message:
        told = {"role": "system", "content": self.system_prompt}
        request = ChatRequest((told, {"role": "user", "content": _written(messages)}), agent=_NAME)
        try:
            return await MessageStream(from_async(partial(ask, self.llm, request)), name=_NAME)
        except Exception as error:
            error = located_as(error, _NAME)
            raise error

    def __repr__(self) -> str:
        return f"SummarizeMessagesStrategy({self.llm!r}, keep_last={self.keep_last})"


def _with_summary(messages: tuple[Message, ...], summary: Message) -> Iterator[Message]:
    """The summary stands before all that was said, and behind the instructions there."""
    first = next((at for at, message in enumerate(messages) if not is_instruction(message)), len(messages))
    yield from messages[:first]
    yield summary
    yield from messages[first:]


def _written(messages: Iterable[Message]) -> str | list[dict[str, Any]]:
    """What was said as one text, since a model that gets it as turns may take the next one.

    Parts that are no text stand between, as they are.
    """
    parts: list[dict[str, Any]] = []
    for message in messages:
        _write(parts, f"{message.name or message.role}: {''.join(_steps(message))}")
        for part in message.content if isinstance(message.content, list) else [_text(message.text)]:
            if part.get("type") == "text":
                _write(parts, part.get("text", ""))
            else:
                parts.append(part)
        calls = ", ".join(map(_call, message.tool_calls))
        _write(parts, f"{message.refusal or ''}{f'(calls {calls})' if calls else ''}\n")
    return parts[0]["text"].rstrip("\n") if len(parts) == 1 else parts


def _steps(message: Message) -> Iterator[str]:
    for step in message.steps:
        if step.role == "tool":
            yield f"(a tool gave: {step.text}) "
        else:
            yield "".join(f"(calls {_call(call)}) " for call in step.tool_calls)


def _call(call: Any) -> str:
    return f"{call.function.get('name', '')} {call.function.get('arguments', '')}".rstrip()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _write(parts: list[dict[str, Any]], text: str) -> None:
    if parts and parts[-1]["type"] == "text":
        parts[-1] = _text(parts[-1]["text"] + text)
    elif text:
        parts.append(_text(text))
