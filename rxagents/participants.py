"""Participant: what agents, teams and users have in common. Each is an operator on conversations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from reactivex import Observable

from .asking.asked import Asked
from .asking.hearing import Emit, hear, until_ended
from .asking.own_turns import current_turn, within
from .blocks import Block
from .checks import is_id
from .engine.bridges import from_async
from .errors import ConfigurationError
from .handing.agent_tools import AgentTool, Hears
from .llm.requesting import ask
from .llm.requests import LLM
from .nominal import Nominal
from .saying.flatten import say
from .tooling.tools import Tool
from .transcripts import Item, Transcript
from .variants import variant

__all__ = [
    "Emit",
    "Participant",
    "ask",
    "check_id",
    "check_model",
    "hear",
    "is_id",
    "turn_block",
    "until_ended",
]

Operator = Callable[[Observable[Item]], Observable[Item]]


class Participant(metaclass=Nominal):
    """Somebody who takes turns in a conversation, and an operator on it.

    When its source completes it is its turn: it emits one Block, named by its id, that holds what
    it does. It emits only what is new. StateUpdates from upstream pass, and the usage of the
    messages it consumed goes on as one StateUpdate, so that a pipe loses no cost.

    ```
    source   -q-|
    out      ---(bot|)
    bot      ---m----|
    m        ---Hello|
    ```

    Args:
        id: Its name in the conversation: `[A-Za-z0-9_-]{1,64}`.
        description: What it is good for; a team's model reads it.
    """

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __init__(self, id: str, description: str = "") -> None:
        check_id(id, type(self).__name__)
        self.id = id
        self.description = description

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        vars(made)["_made_of"] = (args, kwargs)  # for with_
        return made

    def with_(self, **changes: Any) -> Self:
        """A variant of it: the same class, made of the same constructor arguments with these changed.

        ```python
        precise = bot.with_(id="precise", temperature=0)
        ```

        What was changed on the participant itself after it was made is not taken over.

        Args:
            changes: Constructor arguments by name.

        Raises:
            ConfigurationError: Its class takes no such argument.
        """
        args, kwargs = self._made_of
        return variant(type(self), repr(self), args, kwargs, changes)

    def ask(self, *things: Any, eager: bool | None = None) -> Asked:
        """Asks it something: a conversation of its own, run once and read as often as one likes.

        `await bot.ask("Why?")` is its last Message; `bot.ask("Why?").pipe(text())` are its tokens. It
        may be said to another agent, or replied with: then its block stands in the reply.

        What is asked within the turn of a function agent belongs to that turn: when the turn ends, what
        is still open is interrupted, and what was not replied with is counted as the turn's usage.

        Args:
            things: What is said to it, as `say` takes it: strings, messages, a Transcript, other asks.
            eager: Start it at once; if not, it starts with its first reader. By default at once within
                the turn of a function agent, else with the first reader.

        Raises:
            InputError: At once for what can be seen to be no message.
        """
        turn = current_turn()
        asked = Asked(self(say(*things)), partial(within, turn))
        if turn is not None:
            turn.add(asked)
        if eager or (eager is None and turn is not None):
            asked.begin()
        return asked

    def as_tool(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        input_type: Any = str,
        hears: Hears = "input",
        **options: Any,
    ) -> Tool:
        """Makes a tool of it: another agent may call it, and only its answer goes to that one.

        While it works, what it does is a block in the caller's, beside the caller's message: shown, and
        paid for, but no part of the conversation, and the variables that it sets count in there only.
        The answer is its last message; one with a `parsed` is given as JSON. When it fails, the caller's
        model is told so, and where; when it stops its team, it has given its answer, and the caller goes
        on. It ends with the call: a `timeout` or whoever cancels the caller cancels it.

        ```python
        writer = Agent("writer", llm, tools=[researcher.as_tool(timeout=60)])
        ```

        Args:
            name: The tool's name; by default its id.
            description: What it is good for, as the caller's model reads it; by default its description.
            input_type: Of the one argument, `input`: a text, or any type that pydantic knows, such as a
                model; it hears that as JSON.
            hears: `"input"`: it hears the input alone, as the message of a user, with the variables of the
                conversation. `"conversation"`: it has heard first what the caller has.
            options: Further arguments of Tool, such as `timeout`.

        Raises:
            ConfigurationError: An argument is of no use.
        """
        return AgentTool(
            self, name=name, description=description, input_type=input_type, hears=hears, **options
        )

    def pipe(self, *operators: Operator) -> Participant:
        """The same participant with operators behind it, such as `errors_as_messages()`.

        It keeps its id, and so can be a member of a team.

        Raises:
            ConfigurationError: One of them is no operator.
        """
        for operator in operators:
            if not callable(operator):
                raise ConfigurationError(f"{self!r}: pipe takes operators, not {type(operator).__name__}")
        return _Piped(self, operators) if operators else self

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        async def take_turn(emit: Emit) -> None:
            heard = await hear(source, emit)
            if not heard.run_stopped:
                emit(self._block(heard.transcript))

        return from_async(take_turn)

    def _block(self, transcript: Transcript) -> Item:
        return Block(self.id, self.turn(transcript))

    @abstractmethod
    def turn(self, transcript: Transcript) -> Observable[Item]:
        """The items of one turn, cold."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class _Piped(Participant):
    """A participant with operators behind it; in all else it is that participant."""

    def __init__(self, participant: Participant, operators: tuple[Operator, ...]) -> None:
        super().__init__(participant.id, participant.description)
        self._participant = participant
        self._operators = operators

    def with_(self, **changes: Any) -> Self:
        return type(self)(self._participant.with_(**changes), self._operators)

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        return self._participant(source).pipe(*self._operators)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return self._participant.turn(transcript).pipe(*self._operators)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._participant, name)

    def __repr__(self) -> str:
        return f"{self._participant!r} with {len(self._operators)} operators behind it"


def turn_block(who: object, transcript: Transcript) -> Item | None:
    """The block of somebody's turn on what was said before; None for who is an operator of another kind.

    It is what `who(just(transcript))` emits: in a transcript there is nothing to wait for, so that no task
    is needed to wait in, and a level of a team costs the less.
    """
    if isinstance(who, Participant) and type(who).__call__ is Participant.__call__:
        return who._block(transcript)
    return None


def check_id(id: object, what: str) -> None:
    """Refuses what cannot name a block or a speaker."""
    if not is_id(id):
        raise ConfigurationError(
            f"{what}: the id {id!r} is not made of 1 to 64 letters, digits, '_' or '-'; choose another"
        )


def check_model(what: str, llm: LLM) -> LLM:
    """Refuses what cannot be asked."""
    if not callable(llm):
        raise ConfigurationError(
            f"{what}: llm is a {type(llm).__name__}; give a model, such as OpenAILLM(...)"
        )
    return llm
