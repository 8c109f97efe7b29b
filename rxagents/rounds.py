"""Rounds of asking a model and running its tools, until there is an answer: one turn of an agent.

All of it is written into one message. What tools change beside their answers stands next to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reactivex import Observable

from .calling.calls import Calls
from .calling.gated_calls import GatedCalls
from .engine.bridges import fed
from .engine.emitters import Begun
from .engine.limits import Limit
from .engine.loops import dropped, hop, is_on
from .engine.sinks import Sink
from .engine.work import defer
from .errors import AgentError, MaxRoundsError, OutputError
from .gates.telling import tells
from .handing.handoffs import handed_before
from .llm.requests import LLM, ChatRequest, LLMConstraints
from .llm.wire import wire_turn
from .openings import Opening, instructed
from .participants import ask
from .state_updates import StateUpdate
from .streams import MessageStream
from .structured.output_types import OutputType
from .tooling.approvals import Approvals
from .tooling.contexts import TurnState, filled
from .tooling.toolboxes import Toolbox
from .transcripts import Item, Transcript
from .values import Completion, Message, delta
from .waiting.paused_turns import PausedTurn, paused_turn, void_turns

__all__ = ["Rounds"]

_log = logging.getLogger("rxagents.agent")

_AGAIN = "Answer again, with nothing but the corrected JSON."


@dataclass(slots=True)
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
        early_calls: Whether a call starts as soon as its arguments are whole.
        handed: Called when a tool has ended the turn with a handoff; gives what is said of it.
        approvals: Where calls wait that need approval, beside the run's own desk.
    """

    agent: str
    llm: LLM
    toolbox: Toolbox
    limit: Limit
    max_rounds: int
    params: dict[str, Any]
    output: OutputType[Any] | None = None
    output_retries: int = 0
    early_calls: bool = False
    handed: Callable[[Any], tuple[StateUpdate, ...]] | None = None
    approvals: Approvals | None = None

    def turn(
        self, transcript: Transcript, opened: Callable[[Transcript], Awaitable[Opening]]
    ) -> Observable[Item]:
        """One turn, cold: its message, and beside it what its tools change.

        Args:
            transcript: What was heard.
            opened: Gives the messages to begin with.
        """
        paused = paused_turn(self.agent, transcript)
        heard = transcript if paused is None else paused.before(transcript)
        return Begun(_Turn(self, heard, opened, paused).begin)


class _Turn:
    _sink: Sink[Item]

    def __init__(
        self,
        rounds: Rounds,
        transcript: Transcript,
        opened: Callable[[Transcript], Awaitable[Opening]],
        paused: PausedTurn | None,
    ) -> None:
        self._rounds = rounds
        self._opened = opened
        self._heard = transcript
        self.stream = MessageStream(fed(self._run), name=rounds.agent)
        self._paused = paused
        self._calling: tuple[TurnState, GatedCalls, Calls] | None = None
        if paused is not None or void_turns(transcript):
            self._with_calls()

    def _with_calls(self) -> tuple[TurnState, GatedCalls, Calls]:
        # made when there may be a call: these refer to this one, and a turn without is to leave no cycle
        if self._calling is None:
            rounds, stream = self._rounds, self.stream
            agent, toolbox = rounds.agent, rounds.toolbox
            state = TurnState(self._heard, self._changed, agent)
            gate = GatedCalls(
                agent, toolbox, stream, self._heard, state, self._show, rounds.approvals, self._paused
            )
            calls = Calls(agent, toolbox, rounds.limit, stream, state, self._show, gate)
            self._calling = state, gate, calls
        return self._calling

    @property
    def _over(self) -> Any:
        return None if self._calling is None else self._calling[0].over

    def begin(self, sink: Sink[Item]) -> None:
        self._sink = sink
        # deferred: the readers of the message hear its end before the block does
        self.stream.on_end(lambda _: defer(self._end))
        if self._calling is not None:
            for update in self._calling[1].void():
                sink.on_next(update)
        sink.on_next(self.stream)

    @property
    def _variables(self) -> Mapping[str, Any]:
        return self._heard.variables if self._calling is None else self._calling[0].variables

    def _end(self) -> None:
        if self._calling is not None:
            for update in self._calling[1].over():
                self._sink.on_next(update)
        over, said = self._over, self.stream
        if over is not None and self._rounds.handed is not None and not (said.error or said.interrupted):
            for update in self._rounds.handed(over):
                self._sink.on_next(update)
        self._sink.on_completed()

    def _changed(self) -> None:
        self._on_loop(self._tell_changes)

    def _tell_changes(self) -> None:
        # all that wait: what a thread changed before has perhaps not come to the loop yet
        for change in self._with_calls()[0].untold():
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

    async def _run(self, sink: Sink[Any]) -> None:
        rounds, emit = self._rounds, sink.on_next
        tells(self._show)
        opening = await self._opened(self._heard)
        if opening.usage:
            emit(Completion(usage=opening.usage))
        messages = opening.messages
        if self._paused is not None:
            for item in self._paused.items():
                emit(item)
            state, _, answering = self._with_calls()
            calls = self._paused.message.tool_calls
            state.over = handed_before(rounds.toolbox, calls, self._paused.results)
            await answering.answer(calls, emit)
            if state.over is not None:
                return
            messages = messages + wire_turn(self.stream.assembled())
        asked = retries = 0
        while asked < rounds.max_rounds:
            if self.stream.ended:  # it was cut at the sight of the last result: no more is asked
                return
            begun = self.stream.length
            if rounds.early_calls:
                await ask(rounds.llm, self._request(messages), self._with_calls()[2].early(emit))
            else:
                await ask(rounds.llm, self._request(messages), emit, sink.on_many)
            answer = self.stream.assembled(begun)
            if answer.tool_calls:
                asked += 1
                names = ", ".join(call.function["name"] for call in answer.tool_calls)
                _log.debug("%s: calls %s", rounds.agent, names)
                await self._with_calls()[2].answer(answer.tool_calls, emit)
                if self._over is not None:
                    return
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
                messages = instructed(messages, output.instructions)
        return ChatRequest(
            tuple(filled(messages, self._variables)),
            rounds.toolbox.definitions,
            response_format,
            params=dict(rounds.params),
            agent=rounds.agent,
        )
