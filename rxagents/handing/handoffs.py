"""Handoffs: whom an agent may hand the conversation over to, and the tool that its model does it with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

from ..checks import is_id
from ..errors import ConfigurationError
from ..participants import Participant
from ..strategies.readings import ReadingStrategy, check_strategy
from ..tooling.contexts import Context
from ..tooling.pending_calls import Approval
from ..tooling.tool_results import encoded
from ..tooling.toolboxes import Toolbox
from ..tooling.tools import Tool
from ..values import ToolCall

__all__ = ["Handed", "Handoff", "as_handoff", "handed_before", "transfer_tool"]


@dataclass(frozen=True, slots=True)
class Handoff:
    """Whom an agent may hand the conversation over to, and how: `Agent(…, handoffs=[Handoff(other)])`.

    When its model calls the tool, the call is answered, the agent's part of the turn is over, and the other
    goes on, in the agent's block.

    ```
    source   -q-|
    llm      -@to_help-|
    other    ---------------------Yes|
    out      ---(bot|)
    bot      ---m1--------(<handoff:help> help)---|
    m1       ----@to_help-(=Transferred_to_help.|)
    help     -------------m2----------------------|
    m2       ----------------------------------Yes|
    ```

    Args:
        target: An agent, a team, a user: whatever is an operator with an id.
        name: Of the tool; by default `transfer_to_<id>`.
        description: What the model reads; by default made of the target's description.
        input_type: What the model hands over: any type that pydantic knows. By default a reason, in words,
            that it may leave out. The target, if it is an agent, reads it in its system message.
        on_handoff: Called before the handoff counts, with the Context of the call and what is handed
            over; plain or async. What it raises is told to the model, and nothing is handed over.
        reading_strategy: What the target hears of the conversation; by default everything.
        approval: Whether it waits until somebody approves it, as of a Tool.

    Raises:
        ConfigurationError: An argument is of no use.
    """

    target: Participant
    _: KW_ONLY
    name: str | None = None
    description: str | None = None
    input_type: Any = None
    on_handoff: Callable[[Context, Any], Any] | None = None
    reading_strategy: ReadingStrategy | None = None
    approval: Approval = False

    def __post_init__(self) -> None:
        if not callable(self.target) or not is_id(getattr(self.target, "id", None)):
            kind = type(self.target).__name__
            raise ConfigurationError(
                f"a handoff to {kind}: give an Agent, a User, a team, or as_agent(id, operator)"
            )
        if self.on_handoff is not None and not callable(self.on_handoff):
            raise ConfigurationError(
                f"the handoff to {self.target.id}: on_handoff is a {type(self.on_handoff).__name__}; give a "
                "function of the Context and of what is handed over"
            )
        if self.reading_strategy is not None:
            check_strategy(f"the handoff to {self.target.id}", self.reading_strategy)


@dataclass(frozen=True, slots=True)
class Handed:
    """What a model has called for.

    Args:
        handoff: To whom, and how.
        reason: What is handed over, as text.
    """

    handoff: Handoff
    reason: str


def as_handoff(agent: str, to: Participant | Handoff) -> Handoff:
    """The handoff of an agent; refuses one to itself.

    Raises:
        ConfigurationError: It is none.
    """
    handoff = to if isinstance(to, Handoff) else Handoff(to)
    if handoff.target.id == agent:
        raise ConfigurationError(f"agent {agent}: a handoff to {agent}; an agent hands over to others")
    return handoff


def transfer_tool(handoff: Handoff) -> Tool:
    """The tool with which a model hands over. The first call in a round counts.

    Raises:
        ConfigurationError: Its name, or the type of the input, does not do.
    """
    to = handoff.target.id
    name = f"transfer_to_{to}" if handoff.name is None else handoff.name

    async def transfer(context: Context, input: Any) -> str:
        turn = context._turn
        if turn.over is not None:
            return f"Not transferred: the conversation goes on with {turn.over.handoff.target.id}."
        turn.over = Handed(handoff, encoded(input))
        try:
            if handoff.on_handoff is not None:
                answer = handoff.on_handoff(context, input)
                if inspect.isawaitable(answer):
                    await answer
        except BaseException:
            turn.over = None
            raise
        return _transferred(handoff)

    async def with_reason(
        context: Context, reason: Annotated[str, "Why, in a few words; the other reads it."] = ""
    ) -> str:
        return await transfer(context, reason)

    if handoff.input_type is not None:
        transfer.__annotations__["input"] = Annotated[handoff.input_type, "What the other is to know."]
    what = f" {handoff.target.description}" if handoff.target.description else ""
    told = f"Transfers the conversation to {to}, who goes on with it.{what}"
    return _Transfer(
        handoff,
        with_reason if handoff.input_type is None else transfer,
        name=name,
        description=told if handoff.description is None else handoff.description,
        early=False,
        approval=handoff.approval,
    )


class _Transfer(Tool):
    def __init__(self, handoff: Handoff, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, **options)
        self.handoff = handoff


def handed_before(toolbox: Toolbox, calls: Iterable[ToolCall], results: Mapping[str, str]) -> Handed | None:
    """What a round that is gone on with had handed over already, by what its calls were answered."""
    for call in calls:
        tool = toolbox.get(call.function.get("name", ""))
        if isinstance(tool, _Transfer) and results.get(call.id) == _transferred(tool.handoff):
            for given in tool.shown(call.function.get("arguments", "")).values():
                return Handed(tool.handoff, encoded(given))
    return None


def _transferred(handoff: Handoff) -> str:
    return f"Transferred to {handoff.target.id}."
