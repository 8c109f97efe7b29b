"""Agent: a model with a system prompt and tools, as an operator on conversations."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar, overload

from reactivex import Observable

from .bridges import from_async
from .emitters import just
from .errors import ConfigurationError, MaxRoundsError
from .limits import Limit
from .llm.requests import LLM, ChatRequest
from .llm.wire import OthersAs, wire_messages, wire_turn
from .loops import dropped
from .participants import Emit, Participant, ask, check_model
from .strategies import ReadingStrategy, check_strategy, read
from .streams import MessageStream
from .toolboxes import Toolbox
from .tools import Tool
from .transcripts import Item, Transcript
from .values import ToolCall

__all__ = ["Agent"]

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("rxagents.agent")


class Agent(Participant):
    """A model with a system prompt and tools.

    At its turn it folds what it heard, asks its model, runs the tools that the model calls, and
    asks again until there is an answer. It emits one Block with one MessageStream, which carries
    the deltas of all rounds as they come, with the function results between them.

    ```
    source   -q-|
    llm         Hi-|
    out      ---(bot|)
    bot      ---m--|
    m        ---Hi-|
    ```

    Args:
        id: Its name in the conversation.
        llm: The model.
        description: What it is good for; a team's model reads it.
        system_message: The system prompt.
        tools: Tools or plain functions; `register_tool` adds more.
        reading_strategy: Which messages the model gets to see.
        others_as: The role in which other agents' words are sent: `assistant`, `user`, or None for
            `user` only where the request would hold no user message.
        max_rounds: Model calls in one turn; a model that still calls tools then fails the turn.
        max_threads: How many blocking tools may be out at once.
        params: Further parameters of each request (`temperature=0`); a name that closely resembles
            one of the above is refused as misspelt.
    """

    def __init__(
        self,
        id: str,
        llm: LLM,
        description: str = "",
        system_message: str = "",
        *,
        tools: Iterable[Tool | Callable[..., Any]] | None = (),
        reading_strategy: ReadingStrategy | None = None,
        others_as: OthersAs | None = None,
        max_rounds: int = 20,
        max_threads: int = 32,
        **params: Any,
    ) -> None:
        super().__init__(id, description)
        if others_as not in (None, "assistant", "user"):
            raise ConfigurationError(
                f"agent {id}: others_as is 'assistant', 'user' or None, not {others_as!r}"
            )
        if not isinstance(max_rounds, int) or max_rounds < 1:
            raise ConfigurationError(
                f"agent {id}: max_rounds is {max_rounds!r}; it must be a number, 1 or more"
            )
        if params:
            _check_params(id, params)
        self.llm = check_model(f"agent {id}", llm)
        self.system_message = system_message
        self.toolbox = Toolbox(() if tools is None else tools)
        self.reading_strategy = check_strategy(f"agent {id}", reading_strategy)
        self.others_as: OthersAs | None = others_as
        self.max_rounds = max_rounds
        self.params = params
        self._limit = Limit(max_threads)

    @overload
    def register_tool(self, function: F, /) -> F: ...
    @overload
    def register_tool(
        self, *, name: str | None = None, description: str | None = None, timeout: float | None = None
    ) -> Callable[[F], F]: ...
    def register_tool(
        self,
        function: F | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
    ) -> F | Callable[[F], F]:
        """Decorates a function that the model may call; the function itself stays as it is.

        Args:
            function: The function, where the decorator stands without parentheses.
            name: The tool's name; by default the function's.
            description: What it does, for the model; by default the docstring's first paragraph.
            timeout: Seconds after which the model is told that it took too long.
        """

        def register(function: F) -> F:
            self.toolbox.add(Tool(function, name=name, description=description, timeout=timeout))
            return function

        return register if function is None else register(function)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return just(_Turn(self, transcript).stream)

    async def request(self, transcript: Transcript) -> list[dict[str, Any]]:
        """The messages with which a turn begins, in wire form."""
        messages = wire_messages(
            await read(self.reading_strategy, transcript), speaker=self.id, others_as=self.others_as
        )
        if self.system_message:
            messages.insert(0, {"role": "system", "content": self.system_message})
        return messages


def _check_params(id: str, params: Iterable[str]) -> None:
    own = [name for name in inspect.signature(Agent).parameters if name != "params"]
    for name in params:
        for meant in get_close_matches(name, own, n=1, cutoff=0.8):
            raise ConfigurationError(f"agent {id} has no argument {name!r}; did you mean {meant!r}?")


class _Turn:
    """One turn: rounds of asking the model and running its tools, written into one message."""

    def __init__(self, agent: Agent, transcript: Transcript) -> None:
        self._agent = agent
        self._transcript = transcript
        self.stream = MessageStream(from_async(self._run), name=agent.id)

    async def _run(self, emit: Emit) -> None:
        agent = self._agent
        messages = await agent.request(self._transcript)
        for _ in range(agent.max_rounds):
            begun = self.stream.length
            await ask(agent.llm, self._request(messages), emit)
            calls = self.stream.assembled(begun).tool_calls
            if not calls:
                _log.debug("%s: answered with %d deltas", agent.id, self.stream.length)
                return
            _log.debug("%s: calls %s", agent.id, ", ".join(call.function["name"] for call in calls))
            await self._answer(calls, emit)
            messages = messages + wire_turn(self.stream.assembled(begun))
        raise MaxRoundsError(
            f"agent {agent.id}: the model called tools in {agent.max_rounds} rounds and never answered; "
            "raise max_rounds, or tell it in the system message when to stop"
        )

    def _request(self, messages: list[dict[str, Any]]) -> ChatRequest:
        agent = self._agent
        return ChatRequest(
            tuple(messages), agent.toolbox.definitions, params=dict(agent.params), agent=agent.id
        )

    async def _answer(self, calls: Iterable[ToolCall], emit: Emit) -> None:
        """Runs the calls of one round side by side; the results go back in call order."""
        agent = self._agent
        answer = partial(
            agent.toolbox.answer,
            limit=agent._limit,
            on_dropped=lambda error: dropped(error, f"a tool of agent {agent.id} raised after its run ended"),
        )
        running = [asyncio.ensure_future(answer(call)) for call in calls]

        def cancel(_: object) -> None:
            for task in running:
                task.cancel()

        # a witness, since the turn itself hears of its end only with the loop's next round, and by
        # then a tool that was about to start would have started
        self.stream.on_end(cancel)
        for task in running:
            emit(await task)
