"""An agent as a tool of another: it works in a block of its own, and its answer is the result of the call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Protocol

from reactivex import Observable

from ..asking.hearing import until_ended
from ..blocks import Block
from ..engine.bridges import forward
from ..engine.emitters import just
from ..errors import AgentError, ConfigurationError
from ..mended_blocks import MendedBlock, described, mended
from ..places import raisable
from ..tooling.contexts import Context, is_hidden
from ..tooling.tool_results import encoded
from ..tooling.tools import Tool
from ..transcripts import Item, Transcript
from ..values import Message, UserMessage
from ..walks import last_message
from .handoff_trails import trail

__all__ = ["AgentTool", "Hears"]

Hears = Literal["input", "conversation"]
"""What somebody hears who is called as a tool."""

_INPUT = {
    "input": "What it is to do, with all that it needs to know for it: it hears nothing else.",
    "conversation": "What it is to do. It has heard the conversation.",
}


class _Participant(Protocol):
    id: str
    description: str

    def __call__(self, source: Observable[Item], /) -> Observable[Item]: ...


class AgentTool(Tool):
    """A participant as a tool; `Participant.as_tool` makes it and says what it does.

    ```
    source   -q-|
    llm      -@help{"input":"x"}-|
    then     -----So|
    other    -Yes----|
    out      ---(bot|)
    bot      ---m1------------------help-----------|
    m1       ----@help{"input":"x"}---------=Yes-So|
    help     -----------------------m2------|
    m2       ------------------------Yes----|
    ```

    Args:
        participant: Who is asked.
        name: The tool's name; by default the participant's id.
        description: What the model reads; by default the participant's description.
        input_type: Of what the model asks it.
        hears: What the participant hears.
        options: Of a Tool.
    """

    def __init__(
        self,
        participant: _Participant,
        *,
        name: str | None = None,
        description: str | None = None,
        input_type: Any = str,
        hears: Hears = "input",
        **options: Any,
    ) -> None:
        if hears not in _INPUT:
            raise ConfigurationError(
                f"{participant!r}: as_tool hears 'input' or 'conversation', not {hears!r}"
            )

        async def ask(input: Any, context: Context) -> str:
            return await _Call(participant, context).answer(input, hears)

        ask.__annotations__ = {
            "input": Annotated[input_type, _INPUT[hears]],
            "context": Context,
            "return": str,
        }
        super().__init__(
            ask,
            name=participant.id if name is None else name,
            description=participant.description or f"Asks {participant.id}."
            if description is None
            else description,
            **options,
        )
        self.participant = participant


class _Call:
    """One call: what the participant emits is shown beside the caller's message, and ends with the call."""

    def __init__(self, participant: _Participant, context: Context) -> None:
        self._participant = participant
        self._context = context
        self._blocks: list[Block] = []
        self._failures: list[Exception] = []

    async def answer(self, input: Any, hears: Hears) -> str:
        context = self._context
        if hears == "conversation":
            heard = context.transcript
        else:
            own = {name: value for name, value in context.variables.items() if not is_hidden(name)}
            heard = Transcript().with_variables(own) if own else Transcript()
        heard = heard.with_message(UserMessage(encoded(input), name=context.agent or None))
        trail.set(())
        try:
            await forward(mended(self._participant(just(heard)), self._describe), self._show)
            for block in self._blocks:
                await until_ended(block)
        finally:
            for block in self._blocks:  # as where the call took too long
                block.interrupt()
        return self._result()

    def _show(self, item: Item) -> None:
        block = item if isinstance(item, MendedBlock) else MendedBlock(self._participant.id, just(item))
        # the caller goes on whatever becomes of it, unless the whole run is to stop
        block.entry, block.catches_stops, block.contained = "aside", True, True
        self._blocks.append(block)
        self._context.show(block)
        block.hold()  # until it ends, as nobody may be shown it, such as in a call by hand

    def _describe(self, error: Exception) -> str:
        self._failures.append(error)
        return described(error)

    def _result(self) -> str:
        id = self._participant.id
        said = _last_words(self._blocks)
        for error in self._failures[:1]:
            raise raisable(error, id)
        if any(block.code == "interrupted" for block in self._blocks):
            raise AgentError(f"{id} was interrupted before it had answered")
        if said is None:
            stops = [block.stop.stop for block in self._blocks if block.stop is not None]
            why = f"it asked for a stop ({stops[-1]})" if stops else "its turn brought no message"
            raise AgentError(f"{id} gave no answer: {why}")
        return encoded(said.text or said.refusal or "" if said.parsed is None else said.parsed)


def _last_words(blocks: Iterable[Block]) -> Message | None:
    items = [item for block in blocks for item in block.items]
    last = last_message(items)
    if last is not None:
        return last
    said = Transcript().fold_all(items)  # of a user, whose words are no answer elsewhere
    return said[-1] if len(said) else None
