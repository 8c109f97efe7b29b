"""Rounds of asking a model and running its tools, until there is an answer: one turn of an agent.

All of it is written into one message. What tools change beside their answers stands next to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from reactivex import Observable

from .calls import Calls
from .engine.bridges import from_async
from .engine.emitters import Emitter
from .engine.limits import Limit
from .engine.loops import dropped, hop, is_on
from .engine.sinks import Sink
from .engine.work import defer
from .errors import AgentError, MaxRoundsError, OutputError
from .llm.requests import LLM, ChatRequest, LLMConstraints
from .llm.wire import wire_turn
from .participants import Emit, ask
from .streams import MessageStream
from .structured.output_types import OutputType
from .tooling.contexts import TurnState, filled
from .tooling.toolboxes import Toolbox
from .transcripts import Item, Transcript
from .values import Completion, Message, Usage, delta

__all__ = ["Opening", "Rounds"]

_log = logging.getLogger("rxagents.agent")

_AGAIN = "Answer again, with nothing but the corrected JSON."


@dataclass(frozen=True, slots=True)
class Opening:
    """With what a turn begins.

    Args:
        messages: In wire form, with `__context__` where the variables are to stand.
        usage: What the reading of the conversation took.
    """

    messages: list[dict[str, Any]]
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Rounds:
    """How an agent takes its turns.

    Args:
        agent: Its id.
        llm: Its model.
        toolbox: Its tools.
        limit: Bounds the threads of its tools that are out at once.
        max_rounds: Model calls until the model must have answered.
        params: Further parameters of each request.
        output: What its answers must be.
        output_retries: How often the model is told that its answer is not that.
    """

    agent: str
    llm: LLM
    toolbox: Toolbox
    limit: Limit
    max_rounds: int
    params: dict[str, Any]
    output: OutputType[Any] | None = None
    output_retries: int = 0

    def turn(
        self, transcript: Transcript, opened: Callable[[Transcript], Awaitable[Opening]]
    ) -> Observable[Item]:
        """One turn, cold: its message, and beside it what its tools change.

        Args:
            transcript: What was heard.
            opened: Gives the messages to begin with.
        """
        return Emitter(_Turn(self, transcript, opened).begin)


class _Turn:
    _sink: Sink[Item]

    def __init__(
        self, rounds: Rounds, transcript: Transcript, opened: Callable[[Transcript], Awaitable[Opening]]
    ) -> None:
        self._rounds = rounds
        self._opened = opened
        self._heard = transcript
        self._state = TurnState(transcript, self._changed)
        self.stream = MessageStream(from_async(self._run), name=rounds.agent)
        self._calls = Calls(rounds.agent, rounds.toolbox, rounds.limit, self.stream, self._state, self._show)

    def begin(self, sink: Sink[Item]) -> None:
        self._sink = sink
        # deferred: the readers of the message hear its end before the block does
        self.stream.on_end(lambda _: defer(sink.on_completed))
        sink.on_next(self.stream)

    def _changed(self) -> None:
        self._on_loop(self._tell_changes)

    def _tell_changes(self) -> None:
        # all that wait: what a thread changed before has perhaps not come to the loop yet
        for change in self._state.untold():
            if self._sink.stopped:
                error = AgentError(
                    f"agent {self._rounds.agent}: a change of state came after the turn had ended"
                )
                dropped(error, f"a tool changed {change.kind} after the turn had ended; the change is lost")
            else:
                self._sink.on_next(change)

    def _show(self, item: Item) -> None:
        self._on_loop(lambda: self._sink.on_next(item))

    def _on_loop(self, action: Callable[[], None]) -> None:
        loop = self._sink.loop
        if is_on(loop):
            action()
        else:
            hop(loop, action)  # from a tool's thread; when the loop is closed, there is nobody to tell

    async def _run(self, emit: Emit) -> None:
        rounds = self._rounds
        opening = await self._opened(self._heard)
        if opening.usage:
            emit(Completion(usage=opening.usage))
        messages = opening.messages
        asked = retries = 0
        while asked < rounds.max_rounds:
            begun = self.stream.length
            await ask(rounds.llm, self._request(messages), emit)
            answer = self.stream.assembled(begun)
            if answer.tool_calls:
                asked += 1
                names = ", ".join(call.function["name"] for call in answer.tool_calls)
                _log.debug("%s: calls %s", rounds.agent, names)
                await self._calls.answer(answer.tool_calls, emit)
                messages = messages + wire_turn(self.stream.assembled(begun))
                continue
            try:
                self._parse(answer)
            except OutputError as error:
                if retries == rounds.output_retries:
                    raise
                retries += 1
                _log.debug("%s: its answer is not of the output type", rounds.agent)
                # an assistant's message without words or calls is refused by services
                wrong = wire_turn(answer) if answer.text else []
                messages = [*messages, *wrong, {"role": "user", "content": f"{error}\n{_AGAIN}"}]
                emit(delta(restart=str(error)))
                continue
            _log.debug("%s: answered with %d deltas", rounds.agent, self.stream.length)
            return
        raise MaxRoundsError(
            f"agent {rounds.agent}: the model called tools in {rounds.max_rounds} rounds and never answered; "
            "raise max_rounds, or tell it in the system message when to stop"
        )

    def _parse(self, answer: Message) -> None:
        output = self._rounds.output
        if output is not None and not answer.refusal:
            self.stream.parsed = output.parse(answer.text)

    def _request(self, messages: list[dict[str, Any]]) -> ChatRequest:
        rounds, output = self._rounds, self._rounds.output
        response_format = None
        if output is not None:
            if getattr(rounds.llm, "constraints", LLMConstraints()).structured_output:
                response_format = output.response_format
            else:
                messages = _instructed(messages, output.instructions)
        return ChatRequest(
            tuple(filled(messages, self._state.variables)),
            rounds.toolbox.definitions,
            response_format,
            params=dict(rounds.params),
            agent=rounds.agent,
        )


def _instructed(messages: list[dict[str, Any]], instructions: str) -> list[dict[str, Any]]:
    """The messages with instructions: in the system message, since some models take no second one."""
    if messages and messages[0]["role"] == "system" and isinstance(messages[0]["content"], str):
        first, *others = messages
        return [{**first, "content": f"{first['content']}\n\n{instructions}"}, *others]
    return [{"role": "system", "content": instructions}, *messages]
