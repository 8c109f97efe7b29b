"""A model made of models: what they have in common, and how each of them is asked for one subscriber."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from reactivex import Observable, abc

from ..engine.emitters import Emitter
from ..engine.inlets import listen
from ..engine.loops import let_go
from ..engine.sinks import Sink
from ..errors import ConfigurationError
from .requests import LLM, ChatRequest, LLMConstraints

__all__ = ["Asking", "ComposedLLM", "Inquiry", "WrappedLLM", "answer_of", "answered", "common"]


class ComposedLLM(ABC):
    """A model made of models; `fallback`, `hedge` and the like make it.

    Each subscription asks anew; disposing it disposes what was asked for it.

    Args:
        made_by: The function that makes it, as errors and `repr` name it.
        llms: The models, at least one.
        also: Models that it asks besides, for what is not the request.
        options: What else was given to that function; None is not shown.

    Attributes:
        llms: All its models.
        constraints: What at least one of them cannot do.
        settled_by: What settles, beside the models, which answer is given: numbers and functions.

    Raises:
        ConfigurationError: There is no model, or one is none.
    """

    settled_by: tuple[Any, ...] = ()

    def __init__(self, made_by: str, llms: Sequence[LLM], also: Sequence[LLM] = (), **options: Any) -> None:
        if not llms:
            raise ConfigurationError(f"{made_by} takes at least one model, such as OpenAILLM(...)")
        for llm in (*llms, *also):
            if not callable(llm):
                raise ConfigurationError(
                    f"{made_by}: a model is a {type(llm).__name__}; give a model, such as OpenAILLM(...)"
                )
        self.llms = (*llms, *also)
        self.constraints = common(llms)
        self._made_by = made_by
        self._made_of = tuple(llms)
        self._shown = {name: value for name, value in options.items() if value is not None}

    @abstractmethod
    def __call__(self, request: ChatRequest, /) -> Observable[Any]: ...

    async def aclose(self) -> None:
        """Closes the idle connections of the models, see `OpenAILLM.aclose`."""
        for llm in self.llms:
            close = getattr(llm, "aclose", None)
            if close is not None:
                await close()

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self._shown.items()]
        return f"{self._made_by}({', '.join([*map(repr, self._made_of), *options])})"


class WrappedLLM(ComposedLLM):
    """A model made of one other.

    Attributes:
        llm: That one.
        model: Its name, if it has one.
    """

    def __init__(self, made_by: str, llm: LLM, **options: Any) -> None:
        super().__init__(made_by, [llm], **options)
        self.llm = llm

    @property
    def model(self) -> str:
        return self.llm.model  # type: ignore[attr-defined, no-any-return]  # without one, it has none either

    @property
    def _params(self) -> dict[str, Any]:
        return getattr(self.llm, "_params", {})  # a log shows them, wherever it stands


def common(llms: Sequence[LLM]) -> LLMConstraints:
    """What at least one of them cannot do."""
    each = [getattr(llm, "constraints", LLMConstraints()) for llm in llms]
    temperatures = {constraints.temperature for constraints in each} - {None}
    return LLMConstraints(
        all(constraints.system_message for constraints in each),
        all(constraints.structured_output for constraints in each),
        # of two that differ each model knows its own
        temperatures.pop() if len(temperatures) == 1 else None,
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """One subscription of a composed model: what is asked, for whom, and with what context variables.

    A model that is asked later, by a timer, serves the same demand and turn as one that is asked at once.
    """

    request: ChatRequest
    sink: Sink[Any]
    context: Context = field(default_factory=copy_context)


def answered(request: ChatRequest, begin: Callable[[Asking], abc.DisposableBase]) -> Observable[Any]:
    """An answer, cold.

    Args:
        request: What is asked.
        begin: Begins to answer one subscriber; disposing the result lets go of all that was asked.
    """
    return Emitter(lambda sink: begin(Asking(request, sink)))


def answer_of(llm: LLM, request: ChatRequest) -> Observable[Any]:
    """Asks a model.

    Raises:
        ConfigurationError: It is no model: it gave no observable.
        Exception: What it raises.
    """
    answer = llm(request)
    if not isinstance(answer, Observable):
        raise ConfigurationError(
            f"{llm!r} gave {type(answer).__name__}; a model gives an observable of deltas or strings, "
            "such as rx.of('Hello')"
        )
    return answer


class Inquiry(abc.DisposableBase):
    """One model, asked for one subscriber. What it raises is its failure, whenever it does.

    Args:
        llm: The model.
        asking: For whom.
    """

    def __init__(self, llm: LLM, asking: Asking) -> None:
        self.llm = llm
        self.sink = asking.sink
        self._asking = asking
        self._subscription: abc.DisposableBase | None = None
        self.over = False

    def begin(self) -> None:
        """Asks. All may come before this returns."""
        if not self.over:
            # a copy, as one that is asked at once, for another, is asked within this one
            self._asking.context.copy().run(self._listen)

    def _listen(self) -> None:
        try:
            answer = answer_of(self.llm, self._asking.request)
            subscription = listen(answer, self.sink.loop, self.next, self._failed, self._completed)
        except Exception as error:
            self._failed(error)
            return
        self._subscription = subscription
        if self.over:
            let_go(subscription)

    def _failed(self, error: Exception) -> None:
        if self.over:
            return
        self.over = True
        try:
            self.failed(error)
        except Exception as raised:  # a predicate or a delay of the user's
            if raised is not error and raised.__context__ is None:
                raised.__context__ = error  # as if it were handled by a `try`: it shows in the traceback
            self.sink.on_error_first(raised)

    def _completed(self) -> None:
        self.over = True
        self.completed()

    def next(self, item: Any) -> None:
        """An item has come; by default it passes."""
        self.sink.on_next(item)

    def failed(self, error: Exception) -> None:
        """It has failed; by default that passes."""
        self.sink.on_error(error)

    def completed(self) -> None:
        """It has ended; by default that passes."""
        self.sink.on_completed()

    def dispose(self) -> None:
        """Cancels it."""
        self.over = True
        if self._subscription is not None:
            let_go(self._subscription)
