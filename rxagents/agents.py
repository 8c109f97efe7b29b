"""Agent: a model with a system prompt and tools, as an operator on conversations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Self

from reactivex import Observable

from .blocks import Block
from .checks import check_number
from .engine.bridges import from_async
from .engine.limits import Limit
from .errors import ConfigurationError
from .handing.handing_over import Part, TurnHandedOver
from .handing.handoffs import Handoff, as_handoff, transfer_tool
from .llm.requests import LLM
from .llm.wire import OthersAs, wire_messages
from .openings import Opening, instructed
from .participants import Participant, check_model
from .rounds import Rounds
from .strategies.readings import ReadingStrategy, check_strategy, read
from .strategies.updates import UpdateStrategy, check_update, entered
from .structured.output_types import OutputType
from .tooling.approvals import Approvals, approvals_of
from .tooling.call_limits import call_limits
from .tooling.contexts import Context
from .tooling.deciders import Decider
from .tooling.registering import Registering
from .tooling.toolboxes import Toolbox
from .tooling.tools import Tool
from .transcripts import Item, Transcript
from .waiting.paused_turns import gone_on

__all__ = ["Agent"]


class Agent(Registering, Participant):
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
        system_message: The system prompt; `__context__` in it, and in the system messages of the
            conversation, stands for the context variables as JSON, as they are at each request.
        tools: Tools or plain functions; `register_tool` adds more.
        reading_strategy: Which messages the model gets to see.
        update_strategy: How the answer enters the conversation: `"append"`, `"replace_last"` (in place
            of the message before it), `"none"` (shown, but no part of it; what its tools change is), or
            a function of the messages before and the messages said that gives those to be.
        context_tool: Whether the model gets the tool `update_conversation_variable`.
        output_type: What the answer must be: a pydantic model or any other type. The message's
            `parsed` is the value.
        output_retries: How often the model is told that its answer is no such value, and asked again;
            after that the turn fails with an OutputError.
        others_as: The role in which other agents' words are sent: `assistant`, `user`, or None for
            `user` only where the request would hold no user message.
        max_rounds: Model calls in one turn; a model that still calls tools then fails the turn.
        max_threads: How many blocking tools may be out at once.
        max_concurrent_tools: How many calls of tools may run at once, in all its turns together.
        tool_timeout: Seconds that an attempt of a tool without a timeout of its own may take.
        max_tool_result: Characters of a result that the model gets, of a tool that does not say itself.
        early_calls: Whether a call starts as soon as its arguments are whole, while the model still
            speaks. If the model then fails or takes back what it said, the call is cancelled.
        handoffs: Whom its model may hand the conversation over to, who then go on with the turn:
            participants, or Handoffs of them. `register_handoff` adds more.
        max_handoffs: Handoffs in one turn; one more fails it.
        sticky_handoffs: Whether whom it was handed over to last also takes the agent's next turns, until
            somebody hands it back. It is kept in the conversation.
        approvals: Who decides calls that need approval, beside the workflow: an Approvals, or what one is
            made of. Outside of a workflow, a call that needs it fails the turn without.
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
        update_strategy: UpdateStrategy = "append",
        context_tool: bool = False,
        output_type: Any = None,
        output_retries: int = 2,
        others_as: OthersAs | None = None,
        max_rounds: int = 20,
        max_threads: int = 32,
        max_concurrent_tools: int | None = None,
        tool_timeout: float | None = None,
        max_tool_result: int | None = None,
        early_calls: bool = False,
        handoffs: Iterable[Participant | Handoff] = (),
        max_handoffs: int = 10,
        sticky_handoffs: bool = True,
        approvals: Approvals | Decider | None = None,
        **params: Any,
    ) -> None:
        super().__init__(id, description)
        if others_as not in (None, "assistant", "user"):
            raise ConfigurationError(
                f"agent {id}: others_as is 'assistant', 'user' or None, not {others_as!r}"
            )
        if params:
            _check_params(id, params)
        self.llm = check_model(f"agent {id}", llm)
        self.system_message = system_message
        limits = call_limits(f"agent {id}", tool_timeout, max_tool_result, max_concurrent_tools)
        self.toolbox = Toolbox(() if tools is None else tools, defaults=limits)
        if context_tool:
            self.toolbox.add(Tool(update_conversation_variable))
        self.reading_strategy = check_strategy(f"agent {id}", reading_strategy)
        self.update_strategy = check_update(f"agent {id}", update_strategy)
        self.output_type = output_type
        self.output_retries = check_number(f"agent {id}", "output_retries", output_retries, 0)
        self.others_as: OthersAs | None = others_as
        self.max_rounds = check_number(f"agent {id}", "max_rounds", max_rounds, 1)
        self.early_calls = early_calls
        self.max_handoffs = check_number(f"agent {id}", "max_handoffs", max_handoffs, 0)
        self.sticky_handoffs = sticky_handoffs
        self.approvals = approvals_of(f"agent {id}", approvals)
        self.params = params
        self._handoffs: dict[str, Handoff] = {}
        for handoff in handoffs:
            self.register_handoff(handoff)
        self._limit = Limit(max_threads)
        self._output: OutputType[Any] | None = None if output_type is None else OutputType(output_type)

    @property
    def handoffs(self) -> tuple[Handoff, ...]:
        """Whom it may hand over to, in the order in which they came."""
        return tuple(self._handoffs.values())

    def register_handoff(self, to: Participant | Handoff) -> None:
        """Lets its model hand over to one more; also to one that was made of this agent, or hands over to it.

        Raises:
            ConfigurationError: It is nobody to hand over to, or its tool has the name of another.
        """
        handoff = as_handoff(self.id, to)
        self._handoffs[self.toolbox.add(transfer_tool(handoff)).name] = handoff

    def with_(self, **changes: Any) -> Self:
        made = super().with_(**changes)
        for tool in self.toolbox:  # those registered since as well
            handoff = self._handoffs.get(tool.name)
            if ("tools" if handoff is None else "handoffs") in changes or made.toolbox.get(tool.name):
                continue
            if handoff is None:
                made.toolbox.add(tool)
            else:
                made.register_handoff(handoff)
        return made

    def turn(self, transcript: Transcript) -> Observable[Item]:
        if not self._handoffs:
            return self._part(transcript)
        return from_async(lambda emit: TurnHandedOver(self, emit).run(transcript))

    def _part(self, transcript: Transcript, part: Part | None = None) -> Observable[Item]:
        rounds = Rounds(
            self.id,
            self.llm,
            self.toolbox,
            self._limit,
            self.max_rounds,
            self.params,
            self._output,
            self.output_retries,
            self.early_calls,
            part.handed if part else None,
            self.approvals,
        )
        return rounds.turn(transcript, partial(self._opened, told=part.told if part else ""))

    @property
    def _in_parts(self) -> bool:
        """Whether what it may hand over to can be left to another one's turn; not where a turn is more."""
        kind = type(self)
        return kind.turn is Agent.turn and kind._block is Agent._block and kind.__call__ is Agent.__call__

    def _block(self, transcript: Transcript) -> Item:
        block = self._entered(self.turn(transcript), transcript)
        if not self._handoffs:  # one that was handed over is not its own alone
            block.anew = partial(self.turn, transcript)
        return block

    def _entered(self, items: Observable[Item], transcript: Transcript) -> Block:
        strategy = gone_on(self.id, transcript, self.update_strategy)
        return entered(strategy, self.id, items, transcript)

    async def _opened(self, transcript: Transcript, told: str = "") -> Opening:
        reading = await read(self.reading_strategy, transcript)
        messages = wire_messages(reading.messages, speaker=self.id, others_as=self.others_as)
        if self.system_message:
            messages.insert(0, {"role": "system", "content": self.system_message})
        return Opening(instructed(messages, told) if told else messages, reading.usage)


def update_conversation_variable(
    variableName: Annotated[str, "The variable to update."],
    variableValue: Annotated[str, "Its new value."],
    context: Context,
) -> str:
    """Updates a context variable of the conversation."""
    context[variableName] = variableValue
    return f"{variableName} is now {variableValue!r}"


def _check_params(id: str, params: Iterable[str]) -> None:
    own = [name for name in inspect.signature(Agent).parameters if name != "params"]
    for name in params:
        for meant in get_close_matches(name, own, n=1, cutoff=0.8):
            raise ConfigurationError(f"agent {id} has no argument {name!r}; did you mean {meant!r}?")
