"""Team: members who take turns, and a model that says who is next."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..checks import check_number
from ..engine.bridges import from_async
from ..errors import RoutingError
from ..llm.requests import LLM, LLMConstraints
from ..participants import Emit, Participant, ask, check_model
from ..places import located, located_as
from ..state_updates import StateUpdate
from ..strategies.readings import ReadingStrategy, check_strategy, read
from ..streams import MessageStream
from ..transcripts import Item, Transcript
from ._compositions import Composition
from ._members import check_members, check_transitions
from ._resuming import paused_members
from ._routing import PROMPT, choice_request, describe, read_choice
from ._turns import Condition, answer_of, check_condition, result, take_turn

__all__ = ["Team"]

_TRIES = 3
_log = logging.getLogger("rxagents.team")


class Team(Composition):
    """Members who take turns in one conversation; a model says who is next.

    A member hears the conversation so far, and what it says is heard by those after it. The team
    ends when a member stops it, when the stop callback says so, after `max_turns`, or when nobody
    may follow.

    ```
    source   -q-|
    out      ---(team|)
    team     ---ann-bob-|
    ann      ---m1--|
    m1       ---Hi--|
    bob      -------m2--|
    m2       -------Yes-|
    ```

    Args:
        llm: The model that chooses. It is not asked where there is only one to choose.
        members: Agents, users, teams: whatever is an operator with an id.
        id: The team's name in the conversation.
        description: What it is good for; the model of a team around it reads it.
        system_prompt: The router's prompt in place of the built-in one; may hold `{agents}` and
            `{history}`.
        stop_callback: Called with the Transcript after each turn; true ends the team.
        allowed_transitions: Who may follow whom, by member or id; who is no key has no follower.
        include_tools_descriptions: Whether the model reads what tools the members have.
        reading_strategy: Which messages the model gets to see.
        use_structured_output: Ask for JSON by a schema; else for the id in words.
        max_turns: After so many turns the team ends.
    """

    def __init__(
        self,
        llm: LLM,
        members: Sequence[Participant],
        id: str,
        description: str = "",
        system_prompt: str = "",
        stop_callback: Condition | None = None,
        allowed_transitions: Mapping[Any, Sequence[Any]] | None = None,
        include_tools_descriptions: bool = False,
        reading_strategy: ReadingStrategy | None = None,
        use_structured_output: bool = True,
        max_turns: int = 50,
    ) -> None:
        super().__init__(id, description)
        self.llm = check_model(f"team {id}", llm)
        self.members = check_members(f"team {id}", members)
        self.system_prompt = system_prompt
        self.stop_callback = check_condition(f"team {id}", "stop_callback", stop_callback)
        self.allowed_transitions = check_transitions(f"team {id}", self.members, allowed_transitions)
        self.include_tools_descriptions = include_tools_descriptions
        self.reading_strategy = check_strategy(f"team {id}", reading_strategy)
        self.use_structured_output = use_structured_output
        self.max_turns = check_number(f"team {id}", "max_turns", max_turns, 1)

    async def _run(self, transcript: Transcript, emit: Emit) -> None:
        speaker: str | None = None
        goes_on = [member.id for member in paused_members(self.members.values(), transcript)]
        for _ in range(self.max_turns):
            candidates = self._candidates(speaker)
            if not candidates:
                return emit(result("done"))
            if goes_on:  # a turn that waited for approval comes first
                speaker = goes_on.pop(0)
            else:
                speaker, transcript = await self._choose(transcript, candidates, emit)
            stop, transcript = await take_turn(self.members[speaker], transcript, emit)
            if stop is not None:
                return emit(result("agent-stop", ("info", "team/stop", self.id)))
            if self.stop_callback and await answer_of(self.stop_callback, transcript, "stop_callback"):
                return emit(result("callback-stop", ("info", "team/callback-stop", self.id)))
        return emit(result("max-turns", ("info", "team/max-turns", self.id)))

    def _candidates(self, speaker: str | None) -> tuple[str, ...]:
        if speaker is None or self.allowed_transitions is None:
            return tuple(self.members)
        return self.allowed_transitions.get(speaker, ())

    async def _choose(
        self, transcript: Transcript, candidates: tuple[str, ...], emit: Emit
    ) -> tuple[str, Transcript]:
        if len(candidates) == 1:
            return candidates[0], transcript

        def add(item: Item) -> None:
            nonlocal transcript
            emit(item)
            transcript = transcript.fold(item)

        constraints = getattr(self.llm, "constraints", LLMConstraints())
        agents = describe(
            self.members.values(), tools=self.include_tools_descriptions, transitions=self.allowed_transitions
        )
        reading = await read(self.reading_strategy, transcript)
        if reading.usage:
            add(StateUpdate("usage", usage=reading.usage))
        wrong: list[tuple[str, str]] = []
        for _ in range(_TRIES):
            request = choice_request(
                self.system_prompt or PROMPT,
                agents,
                reading.messages,
                candidates,
                wrong,
                structured=self.use_structured_output and constraints.structured_output,
                team=self.id,
            )
            try:
                answer = await MessageStream(from_async(partial(ask, self.llm, request)))
            except Exception as error:
                error = located_as(error, "router")
                raise error
            try:
                chosen, reason = read_choice(answer.text, candidates, tuple(self.members))
            except ValueError as error:
                _log.warning("%s: its model named nobody who may speak next", self.id)
                wrong.append((answer.text, str(error)))
                entry: tuple[Any, ...] = ("error", "team/choice", self.id, answer.text)
                data = {"team": self.id, "error": str(error)}
                add(StateUpdate("choice", data, usage=answer.usage, log=(entry,)))
                continue
            entry = ("info", "team/choice", self.id, chosen, reason)
            _log.debug("%s: %s speaks next", self.id, chosen)
            data = {"team": self.id, "agent_id": chosen, "reason": reason}
            add(StateUpdate("choice", data, usage=answer.usage, log=(entry,)))
            return chosen, transcript
        told = " ".join(dict.fromkeys(error for _, error in wrong))
        raise located(
            RoutingError(
                f"team {self.id}: its model was asked {_TRIES} times who speaks next and named nobody who "
                f"may: {told} Check the descriptions of the members, or "
                "give another model"
            ),
            "router",
        )
