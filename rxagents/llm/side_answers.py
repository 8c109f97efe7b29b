"""Answers side by side: several models asked at once, for whoever makes one answer of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias

import reactivex as rx
from reactivex import Observable, abc

from ..engine.bridges import forward
from ..streams import MessageStream
from ..values import Completion, Usage
from .attempts import with_others
from .compositions import answer_of
from .requests import LLM, ChatRequest

__all__ = ["Emit", "answers", "called", "emit_answer", "paid_on_failure", "pay", "shown"]

Emit: TypeAlias = Callable[[Any], None]


async def answers(
    made_by: object, llms: Sequence[LLM], request: ChatRequest, emit: Emit
) -> list[MessageStream]:
    """The answers that came, in the order of their models.

    Args:
        made_by: The model that asks them.
        llms: Whom it asks.
        request: What.
        emit: Told what those took that failed.

    Raises:
        Exception: What the last of them failed with, if all did.
    """
    streams = [MessageStream(rx.defer(partial(_asked, llm, request)), name=request.agent) for llm in llms]
    await asyncio.gather(*(forward(stream, _ignore) for stream in streams), return_exceptions=True)
    failed = [(repr(llm), stream) for llm, stream in zip(llms, streams, strict=True) if stream.error]
    pay((stream for _, stream in failed), emit)
    if len(failed) == len(streams):
        *others, (_, last) = [(who, stream.error) for who, stream in failed if stream.error]
        raise with_others(made_by, last, others)
    return [stream for stream in streams if not stream.error]


def _asked(llm: LLM, request: ChatRequest, _: abc.SchedulerBase) -> Observable[Any]:
    return answer_of(llm, request)


async def called(function: Callable[..., Any], streams: Sequence[MessageStream]) -> Any:
    """What a function of the list of Messages gives, be it plain or async."""
    found = function([stream.result for stream in streams if stream.result is not None])
    return await found if isawaitable(found) else found


def pay(streams: Iterable[MessageStream], emit: Emit) -> None:
    """Counts what answers took that are not emitted."""
    taken = [stream.result.usage for stream in streams if stream.result is not None and stream.result.usage]
    if taken:
        emit(Completion(usage=sum(taken, Usage())))


@contextmanager
def paid_on_failure(streams: Sequence[MessageStream], emit: Emit) -> Iterator[None]:
    """Counts what answers took, where what is to be made of them fails."""
    try:
        yield
    except Exception:
        pay(streams, emit)
        raise


def emit_answer(stream: MessageStream, emit: Emit) -> None:
    """An answer as it came, from its last beginning on."""
    items = stream.items
    anew = [at for at, item in enumerate(items) if isinstance(item, dict) and item.get("restart") is not None]
    for item in items[anew[-1] + 1 if anew else 0 :]:
        emit(item)
    for completion in stream._completions:
        emit(completion)


def shown(prompt: str, streams: Sequence[MessageStream]) -> dict[str, Any]:
    """A message that shows answers to a model, numbered from 1."""
    told = [prompt]
    for number, stream in enumerate(streams, 1):
        said = stream.result
        assert said is not None
        calls = [f"(calls {call.function['name']} {call.function['arguments']})" for call in said.tool_calls]
        told.append(f"Answer {number}:\n" + "\n".join(filter(None, [said.text or said.refusal, *calls])))
    return {"role": "user", "content": "\n\n".join(told)}


def _ignore(_: object) -> None:
    pass
