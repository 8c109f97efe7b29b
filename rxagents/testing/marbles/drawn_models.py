"""A model whose answers are lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable

from ...engine.emitters import Emitter
from ...engine.sinks import Sink
from ...errors import ConfigurationError, ScriptError
from ...llm.requests import ChatRequest, LLMConstraints
from ...values import Completion, Usage
from ..lanes import Event, Lane
from .calls import CallList
from .drawn_items import ignored, play, virtual_loop

__all__ = ["MarbleLLM"]


class MarbleLLM:
    """A model whose answers are drawn; `marbles.llm` makes it.

    Each subscription is a request, and gets the next script. Before the end comes a Completion, with
    the finish reason `tool_calls` if the script calls a tool, else `stop`.

    Args:
        scripts: A diagram for each request, or one function from the ChatRequest to a diagram.
        draw: Reads a diagram.
        name: For the pictures.
        constraints: What this model shall not be able to do.
        usage: What each answer takes.
        on_misuse: Told when a request finds no script, or one that is none, or comes outside of the clock.

    Attributes:
        requests: Each ChatRequest, in order.
        calls: When each request began and ended; `calls[0]` may be spoken of before it is made.
    """

    def __init__(
        self,
        scripts: tuple[str | Callable[[ChatRequest], str], ...],
        draw: Callable[[str], Lane],
        *,
        name: str = "llm",
        constraints: LLMConstraints | None = None,
        usage: Usage | None = None,
        on_misuse: Callable[[str], None] = ignored,
    ) -> None:
        self.name = name
        self.constraints = constraints or LLMConstraints()
        self.requests: list[ChatRequest] = []
        self.calls = CallList(f"{name}.calls")
        self._draw = draw
        self._usage = usage
        self._on_misuse = on_misuse
        self._ids: Iterator[int] = count(1)
        self._function: Callable[[ChatRequest], str] | None = None
        self._lanes: list[Lane] = []
        for script in scripts:
            if isinstance(script, str):
                self._lanes.append(self._drawn(script))
            elif callable(script) and len(scripts) == 1:
                self._function = script
            else:
                raise ConfigurationError(
                    f"{name}: a script is a diagram, or one function of the request for all of them, "
                    f"not {script!r}"
                )

    @property
    def unused(self) -> int:
        """How many scripts no request has asked for."""
        return max(len(self._lanes) - len(self.requests), 0)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        def start(sink: Sink[Any]) -> CompositeDisposable:
            loop = virtual_loop(self.name, self._on_misuse)
            self.requests.append(request)
            entry = self.calls.begin(loop.time())
            ended = Disposable(lambda: entry.end(loop.time()))
            try:
                lane = _completed(self._answer(request), self._usage)
            except BaseException:
                ended.dispose()
                raise
            return CompositeDisposable(ended, Disposable(play(lane, sink, loop, loop.time(), self._ids)))

        return Emitter(start)

    def _answer(self, request: ChatRequest) -> Lane:
        if self._function is not None:
            script = self._function(request)
            try:
                return self._drawn(script)
            except ConfigurationError as error:
                self._on_misuse(str(error))  # the mistake of the test, whatever the agent makes of it
                raise
        number = len(self.requests)
        if number <= len(self._lanes):
            return self._lanes[number - 1]
        asked = f"agent {request.agent!r}" if request.agent else "somebody"
        words = (
            f"{self.name} has {len(self._lanes)} {'script' if len(self._lanes) == 1 else 'scripts'}, and "
            f"request {number} came, of {asked}; draw another script for it"
        )
        self._on_misuse(words)
        raise ScriptError(words)

    def _drawn(self, script: str) -> Lane:
        lane = self._draw(script)
        for event in lane.events:
            if lane.caret is not None or event.kind not in ("next", "call", "completed", "error"):
                raise ConfigurationError(
                    f"{self.name}: a model says words and calls tools, and ends or fails; the script "
                    f"{script!r} has something else in it"
                )
        return lane

    def __repr__(self) -> str:
        return self.name


def _completed(lane: Lane, usage: Usage | None) -> Lane:
    if lane.end is None or lane.end.kind != "completed":
        return lane
    calls = any(event.kind == "call" for event in lane.events)
    said = Completion(usage, finish_reason="tool_calls" if calls else "stop")
    *events, end = lane.events
    return replace(lane, events=(*events, Event(end.at, "next", said), end))
