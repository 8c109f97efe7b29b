"""User: a person in the conversation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

from reactivex import Observable

from .engine.bridges import from_async
from .engine.emitters import just
from .engine.threads import call_in_thread
from .errors import ConfigurationError, InputError
from .participants import Emit, Participant
from .places import located
from .prompts import is_builtin_input, not_heard, typed
from .state_updates import StateUpdate
from .streams import MessageStream
from .transcripts import Item, Transcript

__all__ = ["User"]


class User(Participant):
    """A person in the conversation.

    `"interactive"`: at its turn the interaction function is asked, in a thread if it is not async,
    and its answer is the user's message; at the end of the input, told by an EOFError, the user has
    left. `"unattended"`: nobody is there. Where nobody is, the nearest team ends.

    ```
    source        -q-|
    interactive   ---(user|)
    user          ------(m|)
    m             ------(Yes|)
    unattended    ---(<stop:user>|)
    ```

    Args:
        id: Its name in the conversation.
        mode: `"interactive"` or `"unattended"`.
        description: When to turn to the user; a team's model reads it.
        interaction_function: Takes the prompt (`"user: "`), returns what was typed, and raises EOFError
            when the user has left; by default the standard input is asked, as `input` does it.

    Attributes:
        interrupts: Emits when the user wants no more of what is being said to it; a dialog cuts it
            then. None: it never does.
    """

    interrupts: Observable[Any] | None = None

    def __init__(
        self,
        id: str = "user",
        mode: Literal["interactive", "unattended"] = "interactive",
        description: str = "A human user who can answer questions and give further input",
        interaction_function: Callable[[str], Any] | None = None,
    ) -> None:
        super().__init__(id, description)
        if mode not in ("interactive", "unattended"):
            raise ConfigurationError(f"user {id}: mode is 'interactive' or 'unattended', not {mode!r}")
        self.mode = mode
        if interaction_function is None or is_builtin_input(interaction_function):
            interaction_function = typed
        self.interaction_function = interaction_function

    def hears(self, item: Item) -> None:
        """Told of each item that a dialog says to it, as it begins. A user at a console shows it."""

    def attending(self) -> AbstractContextManager[None]:
        """Around a run that a thread waits for. A user at a console takes Ctrl-C there."""
        return nullcontext()

    def _block(self, transcript: Transcript) -> Item:
        return self._stop() if self.mode == "unattended" else super()._block(transcript)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return from_async(self._ask)

    def _stop(self) -> StateUpdate:
        return StateUpdate("stop", {"by": self.id}, stop="user", log=(("info", "agent/stop", self.id),))

    async def _ask(self, emit: Emit) -> None:
        try:
            answer = await self._answer(f"{self.id}: ")
        except EOFError:
            emit(self._stop())
            return
        except Exception as error:
            located(error, "interaction_function")
            raise
        # only now: somebody who leaves without a word has said nothing, not even an empty message
        emit(MessageStream(just(answer), name=self.id, role="user"))

    async def _answer(self, prompt: str) -> str:
        ask = self.interaction_function
        on_dropped = partial(not_heard, what=f"the input of {self.id}")
        answer: Any
        if inspect.iscoroutinefunction(ask):
            answer = ask(prompt)
        else:
            answer = await call_in_thread(partial(ask, prompt), on_dropped=on_dropped)
        if inspect.isawaitable(answer):  # as a callable object or a lambda may give it
            answer = await answer
        if not isinstance(answer, str):
            raise InputError(
                f"user {self.id}: the interaction function gave {type(answer).__name__}, not str"
            )
        return answer
