"""Function agents: `@agent` and `@agent.live`, for agents that need no class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, overload

from reactivex import Observable, abc

from .asking.own_turns import Reply, Turn, TurnBlock, turn_items, within
from .engine.bridges import from_async
from .engine.emitters import Emitter, just
from .engine.sinks import Sink
from .errors import ConfigurationError
from .participants import Emit, Participant, hear
from .replays import Replay
from .saying.flatten import Speaker, flatten
from .saying.ordering import concat_eager
from .streams import MessageStream
from .tooling.docstrings import name_of
from .transcripts import Item, Transcript
from .walks import message_streams

__all__ = ["FunctionAgent", "LiveAgent", "agent"]

Function = Callable[[Any], Any]


class FunctionAgent(Participant):
    """An agent whose turn is a function of the transcript.

    The function may be plain or async, and return or yield anything that `say` takes; strings are
    its own words. All that it replies with runs at once and is delivered in order, token by token.

    ```
    source   -q-|
    out      ---(choir|)
    choir    ---m1-m2-|
    m1       ---(la|)
    m2       ------(le|)
    ```
    """

    def __init__(self, function: Callable[[Transcript], Any], id: str, description: str = "") -> None:
        super().__init__(id, description)
        self._function = function

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return turn_items(self._reply(transcript))

    def _block(self, transcript: Transcript) -> Item:
        return TurnBlock(self.id, self._reply(transcript))

    def _reply(self, transcript: Transcript) -> Reply:
        def reply(turn: Turn) -> Observable[Item]:
            turn.heard = (transcript,)
            turn.said_before = lambda: reversed(transcript.messages)
            return _replied(self.id, lambda: self._function(transcript), turn)

        return reply


class LiveAgent(Participant):
    """An agent that is called at once, with the messages as they come.

    The function gets a replay of MessageStreams, which it may iterate with `async for` or pipe, and
    gives its reply as a FunctionAgent does.

    ```
    source   -a---b-|
    out      echo---|
    echo     -m1--m2|
    m1       -(A|)
    m2       -----(B|)
    ```
    """

    def __init__(
        self, function: Callable[[Replay[MessageStream]], Any], id: str, description: str = ""
    ) -> None:
        super().__init__(id, description)
        self._function = function

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        async def begin(emit: Emit) -> None:
            heard = Replay[Item](source)
            emit(TurnBlock(self.id, self._reply(heard)))
            await hear(heard, emit)

        return from_async(begin)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return turn_items(self._reply(just(transcript)))

    def _reply(self, source: Observable[Item]) -> Reply:
        heard = concat_eager(source, _unfolded)
        messages = Replay[MessageStream](message_streams(heard, inputs=True))

        def reply(turn: Turn) -> Observable[Item]:
            turn.said_before = lambda: (stream.result for stream in reversed(messages.items))
            return _replied(self.id, lambda: self._function(messages), turn)

        return reply


def _unfolded(item: Item) -> Observable[Item]:
    # a workflow and a team hand on what was said before as one Transcript
    return just(*map(MessageStream.of, item)) if isinstance(item, Transcript) else just(item)


def _replied(name: str, reply: Callable[[], Any], turn: Turn) -> Observable[Item]:
    around = partial(within, turn)

    def start(sink: Sink[Item]) -> abc.DisposableBase:
        with around():
            thing = reply()
        speaker = Speaker("assistant", name, in_turn=True, around=around, is_paid=turn.is_paid)
        return flatten(thing, speaker).subscribe(sink)

    return Emitter(start)


class _AgentDecorator:
    """`@agent`, `@agent(id=…)` and `@agent.live`."""

    @overload
    def __call__(self, function: Function, /) -> Participant: ...
    @overload
    def __call__(
        self, *, id: str | None = None, description: str | None = None
    ) -> Callable[[Function], Participant]: ...
    def __call__(
        self, function: Function | None = None, *, id: str | None = None, description: str | None = None
    ) -> Participant | Callable[[Function], Participant]:
        """Makes an agent of a function that is called with the Transcript at its turn.

        Args:
            function: Plain or async; returns or yields anything that `say` takes. It runs on the
                event loop: let it await what takes long (`asyncio.to_thread` for what blocks).
            id: Its id; by default the function's name.
            description: By default the first line of the docstring.
        """
        return self._decorated(FunctionAgent, function, id, description)

    @overload
    def live(self, function: Function, /) -> Participant: ...
    @overload
    def live(
        self, *, id: str | None = None, description: str | None = None
    ) -> Callable[[Function], Participant]: ...
    def live(
        self, function: Function | None = None, *, id: str | None = None, description: str | None = None
    ) -> Participant | Callable[[Function], Participant]:
        """Makes an agent of a function that is called at once, with the messages as they come.

        Args:
            function: Takes a replay of MessageStreams: `async for message in messages`.
            id: Its id; by default the function's name.
            description: By default the first line of the docstring.
        """
        return self._decorated(LiveAgent, function, id, description)

    @staticmethod
    def _decorated(
        kind: type[FunctionAgent] | type[LiveAgent],
        function: Function | None,
        id: str | None,
        description: str | None,
    ) -> Participant | Callable[[Function], Participant]:
        def decorate(function: Function) -> Participant:
            if not callable(function):
                raise ConfigurationError(
                    f"an agent is made of a function, not of {type(function).__name__}; "
                    "give its settings by name, as in @agent(id='critic')"
                )
            text = inspect.getdoc(function) or ""
            first = text.partition("\n")[0]
            name = name_of(function) if id is None else id
            return kind(function, name, first if description is None else description)

        return decorate if function is None else decorate(function)


agent = _AgentDecorator()
