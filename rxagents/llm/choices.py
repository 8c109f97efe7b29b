"""fan_out, best_of: several answers side by side, of which comes one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeGuard

from reactivex import Observable

from ..checks import check_number
from ..engine.bridges import forward, from_async
from ..errors import ConfigurationError, ModelError
from ..streams import MessageStream
from ..values import Completion, Message, delta
from .compositions import ComposedLLM, answer_of, common
from .requests import LLM, ChatRequest
from .side_answers import Emit, answers, called, emit_answer, paid_on_failure, pay, shown

__all__ = ["Combine", "Judge", "best_of", "fan_out"]

Combine: TypeAlias = Callable[[list[Message]], str | Message | Awaitable[str | Message]]
"""Makes one answer of several: a text, or one of them. Plain or async."""

Judge: TypeAlias = Callable[[list[Message]], int | Message | Awaitable[int | Message]]
"""Chooses one of several answers: by its place, from 0, or itself. Plain or async."""

_WRITE = (
    "These are answers of several models to the conversation above. Write the best answer that can be made "
    "of them, as your own, and do not mention them."
)
_CHOOSE = (
    "These are {n} answers to the conversation above. Which is the best? Say its number and nothing else."
)


def fan_out(*llms: LLM, combine: Combine | LLM) -> ComposedLLM:
    """A model that asks several side by side, and makes one answer of theirs.

    A function makes it of the finished Messages: it gives a text, or one of them, which is then emitted as
    it came. A model (whatever has `constraints`) is asked for it with the conversation and the answers, and
    its tokens stream. A model that fails is left out; when all have, it fails with the last error, which
    has a note of the others. What all of them took is counted.

    ```
    a     --Yes|
    b     -No---|
    out   ------(both|)
    ```

    Args:
        llms: The models; the same one more than once is asked more than once.
        combine: A function of the list of Messages, in the order of the models, plain or async; or a
            model, which gets no tools.

    Raises:
        ConfigurationError: There is no model, or `combine` is of no use.
    """
    return _FanOutLLM(llms, combine)


def best_of(llm: LLM, n: int, judge: Judge | LLM) -> ComposedLLM:
    """A model that is asked `n` times side by side, and gives the answer that the judge chooses.

    The deltas of that answer are emitted as they came, tool calls included, when it is chosen. An attempt
    that fails is left out, and one that is left alone is not judged; when all have failed, it fails with
    the last error, which has a note of the others. What all of them took is counted, and the judge, if
    that is a model.

    ```
    first    --Yes|
    second   -No---|
    out      ------(No|)
    ```

    Args:
        llm: The model. With a temperature of 0 all its answers are much the same.
        n: How often it is asked.
        judge: A function of the list of Messages that gives the place of the best, from 0, or that Message;
            plain or async. Or a model (whatever has `constraints`), which is asked with the
            conversation and the answers for the number of the best.

    Raises:
        ConfigurationError: It is no model, or an argument is of no use.
    """
    return _BestLLM(llm, n, judge)


class _FanOutLLM(ComposedLLM):
    def __init__(self, llms: Sequence[LLM], combine: Combine | LLM) -> None:
        _check_function("fan_out", "combine", combine)
        super().__init__("fan_out", llms, [combine] if _is_llm(combine) else [], combine=combine)
        self.constraints = common(self.llms)
        self.settled_by = (combine,)
        self._combine = combine

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return from_async(partial(self._answer, request))

    async def _answer(self, request: ChatRequest, emit: Emit) -> None:
        streams = await answers(self, self._made_of, request, emit)
        combine = self._combine
        if _is_llm(combine):
            pay(streams, emit)
            asked = ChatRequest(
                (*request.messages, shown(_WRITE, streams)),
                response_format=request.response_format,
                params={key: value for key, value in request.params.items() if "tool" not in key},
                agent=request.agent,
            )
            await forward(answer_of(combine, asked), emit)
            return
        with paid_on_failure(streams, emit):
            made = await called(combine, streams)
        chosen = [stream for stream in streams if stream.result is made]
        if chosen:
            pay((stream for stream in streams if stream is not chosen[0]), emit)
            emit_answer(chosen[0], emit)
        elif isinstance(made, str):
            pay(streams, emit)
            emit(delta(made))
            emit(Completion(finish_reason="stop"))
        else:
            raise ConfigurationError(
                f"fan_out: combine gave {made!r:.80}; it gives a text, or one of the {len(streams)} Messages"
            )


class _BestLLM(ComposedLLM):
    def __init__(self, llm: LLM, n: int, judge: Judge | LLM) -> None:
        _check_function("best_of", "judge", judge)
        super().__init__("best_of", [llm], [judge] if _is_llm(judge) else [], n=n, judge=judge)
        self.llm = llm
        self._n = check_number("best_of", "n", n, 1)
        self._judge = judge
        self.settled_by = (n, judge)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        return from_async(partial(self._answer, request))

    async def _answer(self, request: ChatRequest, emit: Emit) -> None:
        streams = await answers(self, [self.llm] * self._n, request, emit)
        with paid_on_failure(streams, emit):
            chosen = streams[0] if len(streams) == 1 else await self._chosen(request, streams, emit)
        pay((stream for stream in streams if stream is not chosen), emit)
        emit_answer(chosen, emit)

    async def _chosen(
        self, request: ChatRequest, streams: Sequence[MessageStream], emit: Emit
    ) -> MessageStream:
        judge = self._judge
        if not _is_llm(judge):
            found = await called(judge, streams)
            if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(streams):
                return streams[found]
            for stream in streams:
                if stream.result is found:
                    return stream
            raise ConfigurationError(
                f"best_of: judge gave {found!r:.80}; it gives the place of one of {len(streams)} answers, "
                "from 0, or that Message"
            )
        question = shown(_CHOOSE.format(n=len(streams)), streams)
        asked = ChatRequest((*request.messages, question), agent=request.agent)
        said = await MessageStream(answer_of(judge, asked))
        if said.usage:
            emit(Completion(usage=said.usage))
        number = re.search(r"\d+", said.text)
        if number is None or not 1 <= int(number[0]) <= len(streams):
            raise ModelError(
                f"the judge {judge!r} was asked for the number of the best of {len(streams)} answers and "
                f"said {said.text!r:.80}; give another one, or a function"
            )
        return streams[int(number[0]) - 1]


def _is_llm(thing: object) -> TypeGuard[LLM]:
    return hasattr(thing, "constraints")


def _check_function(made_by: str, name: str, thing: object) -> None:
    if not callable(thing):
        raise ConfigurationError(
            f"{made_by}: {name} is a {type(thing).__name__}; give a function of the list of Messages, "
            "or a model"
        )
