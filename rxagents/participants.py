"""Participant: what agents, teams and users have in common. Each is an operator on conversations."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from reactivex import Observable

from .asking.asked import Asked
from .asking.hearing import Emit, hear, until_ended
from .asking.own_turns import current_turn, within
from .blocks import Block
from .engine.bridges import from_async
from .errors import ConfigurationError
from .llm.requesting import ask
from .llm.requests import LLM
from .saying.flatten import say
from .transcripts import Item, Transcript
from .variants import variant

__all__ = ["Emit", "Participant", "ask", "check_id", "check_model", "hear", "is_id", "until_ended"]

Operator = Callable[[Observable[Item]], Observable[Item]]
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Participant(ABC):
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


def is_id(id: object) -> bool:
    """Whether it can name a block or a speaker."""
    return isinstance(id, str) and _ID.fullmatch(id) is not None


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
