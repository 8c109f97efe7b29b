"""Loop: the same again, on the same conversation, until it is enough."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..errors import ConfigurationError
from ..participants import Emit, Participant
from ..transcripts import Transcript
from ._compositions import Composition
from ._members import check_steps
from ._resuming import from_paused
from ._turns import Condition, answer_of, check_condition, result, take_turn

__all__ = ["Loop"]


class Loop(Composition):
    """The same step again and again, on the same conversation, until it is enough.

    Each turn hears the conversation so far, what the turns before it said included. The loop ends
    when `until` says so (its result is `done`), when somebody in it stops it (`agent-stop`), or after
    `max_turns` (`max-turns`). It takes no more of Python's stack however long it goes on, and a turn
    costs what it adds.

    ```
    source   -q-|
    out      ---(again|)
    again    ---bot-bot.2|
    bot      ---m1--|
    m1       ---Hi--|
    bot.2    -------m2---|
    m2       -------Yes--|
    ```

    Args:
        id: Its name in the conversation.
        step: Whom to ask in each turn; of a list, one after the other, each once a turn.
        until: Called with the Transcript after each turn, plain or async; true ends the loop.
        max_turns: After so many turns the loop ends; None: never.
        description: What it is good for; the model of a team around it reads it.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        step: Participant | Sequence[Participant],
        until: Condition | None = None,
        max_turns: int | None = 50,
        description: str = "",
    ) -> None:
        super().__init__(id, description)
        self.step = check_steps(f"loop {id}", "step", [step] if callable(step) else step)
        self.until = check_condition(f"loop {id}", "until", until)
        if max_turns is not None and (not isinstance(max_turns, int) or max_turns < 1):
            raise ConfigurationError(
                f"loop {id}: max_turns is {max_turns!r}; it must be a number, 1 or more, or None for ever"
            )
        self.max_turns = max_turns

    async def _run(self, transcript: Transcript, emit: Emit) -> None:
        turns = 0
        steps = from_paused(self.step, transcript)
        while self.max_turns is None or turns < self.max_turns:
            turns += 1
            for step in steps:
                stop, transcript = await take_turn(step, transcript, emit)
                if stop is not None:
                    emit(result("agent-stop", ("info", "loop/stop", self.id)))
                    return
            if self.until is not None and await answer_of(self.until, transcript, "until"):
                emit(result("done"))
                return
            steps = list(self.step)
            # a step that never waits for anything must not keep the loop from all others, who may stop it
            await asyncio.sleep(0)
        emit(result("max-turns", ("info", "loop/max-turns", self.id)))
