"""Sequence: one after the other, each with all that was said before."""

from __future__ import annotations

from collections.abc import Iterable

from ..llm.requests import LLM
from ..participants import Emit, Participant, check_model
from ..transcripts import Transcript
from ..values import SystemMessage
from ._compositions import Composition
from ._members import check_steps
from ._resuming import from_paused
from ._turns import result, take_turn

__all__ = ["Sequence"]


class Sequence(Composition):
    """One after the other, in this order; each hears the conversation so far.

    What the steps before it said belongs to that. The sequence is `done` after its last step. A step
    that stops ends it (`agent-stop`), and one that fails fails it; a stop inside a team that is a step
    ends only that team, and the next step runs.

    ```
    source   -q-|
    out      ---(both|)
    both     ---ann-bob-|
    ann      ---m1--|
    m1       ---Hi--|
    bob      -------m2--|
    m2       -------Yes-|
    ```

    Args:
        id: Its name in the conversation.
        steps: Agents, users, teams; one of them may come twice.
        description: What it is good for; the model of a team around it reads it.
        llm: Is never asked, since the order is fixed: taken so that a call that was written for
            vanilla-aiagents works as it is.
        system_prompt: A system message that each step hears before the conversation. It is no part of
            the conversation itself.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        steps: Iterable[Participant],
        description: str = "",
        llm: LLM | None = None,
        system_prompt: str = "",
    ) -> None:
        super().__init__(id, description)
        self.steps = check_steps(f"sequence {id}", "steps", steps)
        self.llm = None if llm is None else check_model(f"sequence {id}", llm)
        self.system_prompt = system_prompt

    async def _run(self, transcript: Transcript, emit: Emit) -> None:
        if self.system_prompt:
            transcript = Transcript().with_message(SystemMessage(self.system_prompt)).fold(transcript)
        for step in from_paused(self.steps, transcript):
            stop, transcript = await take_turn(step, transcript, emit)
            if stop is not None:
                emit(result("agent-stop", ("info", "sequence/stop", self.id)))
                return
        emit(result("done"))
