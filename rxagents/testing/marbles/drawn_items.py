"""What the events of a drawn lane stand for: tokens, calls, results, messages and blocks, by timers."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from pydantic_core import to_json
from reactivex.disposable import CompositeDisposable, Disposable

from ...blocks import Block
from ...engine.emitters import Emitter
from ...engine.sinks import Sink
from ...errors import ConfigurationError
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...values import FunctionResult, Message, delta
from ..clock.virtual_loop import VirtualLoop
from ..lanes import STATE_WORDS, Called, Event, Lane, Returned
from .subscription_logs import SubscriptionLog

__all__ = ["DrawnItems", "drawn_message", "ignored", "play", "virtual_loop"]


def ignored(words: str) -> None:
    """Nobody is told."""


def virtual_loop(what: str, on_misuse: Callable[[str], None] = ignored) -> VirtualLoop:
    """The virtual loop that is running here.

    Raises:
        ConfigurationError: None is; `what` was subscribed to outside of the clock. `on_misuse` is told
            first, since whoever subscribed may well not be.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    if not isinstance(loop, VirtualLoop):
        words = (
            f"{what} lives in virtual time, and was subscribed to outside of it; hand what reads it to "
            "marbles.expect(…), or let marbles.at(0, …) or marbles.run(…) do what the test does itself"
        )
        on_misuse(words)
        raise ConfigurationError(words)
    return loop


def play(
    lane: Lane, sink: Sink[Any], loop: AbstractEventLoop, zero: float, ids: Iterator[int] | None = None
) -> Callable[[], None]:
    """Emits what is drawn, each event by a timer of its own; what should have come already comes now.

    Args:
        lane: What is drawn.
        sink: Who is told.
        loop: Whose timers.
        zero: The time of its frame 0.
        ids: Numbers for the ids of tool calls.
    """
    emitted = DrawnItems(zero, ids)
    armed: list[TimerHandle] = [
        loop.call_at(max(zero + event.at, loop.time()), emitted.tell, sink, event) for event in lane.events
    ]

    def cancel() -> None:
        for timer in armed:
            timer.cancel()

    return cancel


class DrawnItems:
    """What the events of a lane stand for, made once for all its readers.

    Args:
        zero: The time of the lane's frame 0.
        ids: Numbers for the ids of tool calls.
    """

    def __init__(self, zero: float, ids: Iterator[int] | None = None) -> None:
        self._zero = zero
        self._index = count()
        self._ids = ids or count(1)
        self._open_calls: list[str] = []
        self._made: dict[int, Any] = {}

    def tell(self, sink: Sink[Any], event: Event) -> None:
        """Tells a reader of an event."""
        if event.kind == "completed":
            sink.on_completed()
        elif event.kind == "error":
            sink.on_error(event.value)
        elif event.kind == "interrupted":
            sink.on_completed()  # who made a stream of the lane interrupts it instead
        else:
            if id(event) not in self._made:
                self._made[id(event)] = self._value(event)
            sink.on_next(self._made[id(event)])

    def _value(self, event: Event) -> Any:
        value = event.value
        match event.kind:
            case "call":
                return self._call(value)
            case "result":
                return FunctionResult(value.name, value.text, self._answered(value))
            case "message":
                return Message(role="assistant", content=str(value))
            case "state":
                return _state(value)
            case "open":
                return opened(value, self._zero)
        return value

    def _call(self, called: Called) -> dict[str, Any]:
        index = next(self._index)
        call_id = called.id or f"call_{next(self._ids)}"
        self._open_calls.append(call_id)
        arguments = called.arguments
        text = arguments if isinstance(arguments, str) else to_json(dict(arguments or {})).decode()
        function = {"arguments": text, "name": called.name}
        return dict(
            delta(tool_calls=[{"id": call_id, "function": function, "type": "function", "index": index}])
        )

    def _answered(self, returned: Returned) -> str:
        first = self._open_calls.pop(0) if self._open_calls else "call_0"
        if not self._open_calls:
            self._index = count()
        return returned.id or first


def drawn_message(lane: Lane, **fields: Any) -> MessageStream:
    """A message that streams what is drawn, from when it is first read; `~` interrupts it."""
    return _interruptible(MessageStream, lane, None, **fields)  # type: ignore[no-any-return]


def opened(lane: Lane, zero: float) -> MessageStream | Block:
    """The message, or the block, whose lane this is, in the time of the lane that it began on."""
    return _interruptible(partial(Block, lane.name) if lane.name else MessageStream, lane, zero)  # type: ignore[no-any-return]


def _interruptible(make: Callable[..., Any], lane: Lane, zero: float | None, **fields: Any) -> Any:
    def start(sink: Sink[Any]) -> CompositeDisposable:
        running = virtual_loop("a drawn message")
        entry = log.begin(running.time())
        begun = running.time() if zero is None else zero
        stop = play(replace(lane, events=lane.events[:-1] if cut else lane.events), sink, running, begun)
        if cut:
            # `~` is what happens to a stream, and nothing that a source could say
            running.call_at(max(begun + lane.events[-1].at, running.time()), stream.interrupt)
        return CompositeDisposable(Disposable(stop), Disposable(lambda: entry.end(running.time())))

    cut = bool(lane.events) and lane.events[-1].kind == "interrupted"
    log = SubscriptionLog()
    stream = make(Emitter(start), **fields)
    stream.subscriptions = log
    return stream


def _state(mark: str) -> StateUpdate:
    kind, _, detail = mark.partition(":")
    if kind == "stop":
        return StateUpdate("stop", stop=detail or "stop", shown=True)
    if not detail:
        return StateUpdate(kind, shown=True)
    return StateUpdate(kind, {STATE_WORDS.get(kind, "detail"): detail}, shown=True)
