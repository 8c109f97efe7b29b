"""Agent: a model with a system prompt and tools, as an operator on conversations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Self, TypeVar, overload

from reactivex import Observable

from .checks import check_number
from .engine.limits import Limit
from .errors import ConfigurationError
from .llm.requests import LLM
from .llm.wire import OthersAs, wire_messages
from .participants import Participant, check_model
from .rounds import Opening, Rounds
from .strategies.readings import ReadingStrategy, check_strategy, read
from .strategies.updates import UpdateStrategy, check_update, entered
from .structured.output_types import OutputType
from .tooling.contexts import Context
from .tooling.toolboxes import Toolbox
from .tooling.tools import Tool
from .transcripts import Item, Transcript

__all__ = ["Agent"]

F = TypeVar("F", bound=Callable[..., Any])


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
        self.toolbox = Toolbox(() if tools is None else tools)
        if context_tool:
            self.toolbox.add(Tool(update_conversation_variable))
        self.reading_strategy = check_strategy(f"agent {id}", reading_strategy)
        self.update_strategy = check_update(f"agent {id}", update_strategy)
        self.output_type = output_type
        self.output_retries = check_number(f"agent {id}", "output_retries", output_retries, 0)
        self.others_as: OthersAs | None = others_as
        self.max_rounds = check_number(f"agent {id}", "max_rounds", max_rounds, 1)
        self.params = params
        self._limit = Limit(max_threads)
        self._output: OutputType[Any] | None = None if output_type is None else OutputType(output_type)

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

    def with_(self, **changes: Any) -> Self:
        made = super().with_(**changes)
        if "tools" not in changes:
            for tool in self.toolbox:  # those registered since as well
                if made.toolbox.get(tool.name) is None:
                    made.toolbox.add(tool)
        return made

    def turn(self, transcript: Transcript) -> Observable[Item]:
        rounds = Rounds(
            self.id,
            self.llm,
            self.toolbox,
            self._limit,
            self.max_rounds,
            self.params,
            self._output,
            self.output_retries,
        )
        return rounds.turn(transcript, self._opened)

    def _block(self, transcript: Transcript) -> Item:
        return entered(self.update_strategy, self.id, self.turn(transcript), transcript)

    async def _opened(self, transcript: Transcript) -> Opening:
        reading = await read(self.reading_strategy, transcript)
        messages = wire_messages(reading.messages, speaker=self.id, others_as=self.others_as)
        if self.system_message:
            messages.insert(0, {"role": "system", "content": self.system_message})
        return Opening(messages, reading.usage)


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
