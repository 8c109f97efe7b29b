"""User: a person in the conversation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from reactivex import Observable

from .blocks import StateUpdate
from .bridges import from_async
from .errors import ConfigurationError, InputError, located
from .loops import dropped
from .participants import Emit, Participant
from .sinks import just
from .streams import MessageStream
from .threads import call_in_thread
from .transcripts import Item, Transcript

__all__ = ["User"]


class User(Participant):
    """A person in the conversation.

    `"interactive"`: at its turn the interaction function is asked, in a thread if it is not async,
    and its answer is the user's message. `"unattended"`: nobody is there; the nearest team ends.

    ```
    source        -q-|
    interactive   ---(B|)
    B             ---m--|
    unattended    ---(s|)
    ```

    Args:
        id: Its name in the conversation.
        mode: `"interactive"` or `"unattended"`.
        description: When to turn to the user; a team's model reads it.
        interaction_function: Takes the prompt (`"user: "`), returns what was typed; default `input`.
    """

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
        self.interaction_function = interaction_function or input

    def _block(self, transcript: Transcript) -> Item:
        if self.mode == "unattended":
            return StateUpdate("stop", {"by": self.id}, stop="user", log=(("info", "agent/stop", self.id),))
        return super()._block(transcript)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return just(MessageStream(from_async(self._ask), name=self.id, role="user"))

    async def _ask(self, emit: Emit) -> None:
        ask = self.interaction_function
        prompt = f"{self.id}: "
        on_dropped = partial(dropped, what=f"the input of {self.id} failed after its run had ended")
        try:
            typed: Any
            if inspect.iscoroutinefunction(ask):
                typed = ask(prompt)
            else:
                typed = await call_in_thread(partial(ask, prompt), on_dropped=on_dropped)
            if inspect.isawaitable(typed):  # as a callable object or a lambda may give it
                typed = await typed
            if not isinstance(typed, str):
                raise InputError(
                    f"user {self.id}: the interaction function gave {type(typed).__name__}, not str"
                )
        except Exception as error:
            located(error, "interaction_function")
            raise
        emit(typed)
