"""How a planned team gets its plan: the model is asked, and asked again if the plan will not do."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Protocol

from ..engine.bridges import from_async
from ..errors import PlanningError
from ..llm.requests import LLM, LLMConstraints
from ..participants import Emit, Participant, ask
from ..places import located, located_as
from ..state_updates import StateUpdate
from ..strategies.readings import ReadingStrategy
from ..streams import MessageStream
from ..transcripts import Transcript
from ._plans import PLAN_PROMPT, plan_request, read_plan
from ._routing import describe
from ._turns import Condition
from ._unfinished import Unfinished

__all__ = ["Plans", "planned"]

_TRIES = 3
_log = logging.getLogger("rxagents.team")


class Plans(Protocol):
    """A planned team, as one of its runs needs to know it; see there."""

    id: str
    members: dict[str, Participant]
    llm: LLM
    fork_conversation: bool
    fork_strategy: ReadingStrategy | None
    include_tools_descriptions: bool
    repeat_until: Condition | None
    feedback_variable: str
    system_prompt: str
    max_plans: int


async def planned(team: Plans, heard: Transcript, number: int, emit: Emit) -> Unfinished:
    """Asks a team's model for a plan, and shows it; one that will not do is asked for again.

    Args:
        team: The team.
        heard: The conversation so far.
        number: How many plans this one makes.
        emit: Takes what is to be shown.

    Raises:
        PlanningError: The model wrote none that will do.
        Exception: What the model fails with.
    """
    ids = tuple(team.members)
    constraints = getattr(team.llm, "constraints", LLMConstraints())
    agents = describe(team.members.values(), tools=team.include_tools_descriptions, transitions=None)
    wrong: list[tuple[str, str]] = []
    for _ in range(_TRIES):
        request = plan_request(
            team.system_prompt or PLAN_PROMPT,
            agents,
            heard,
            heard.variables.get(team.feedback_variable),
            ids,
            wrong,
            structured=constraints.structured_output,
            team=team.id,
        )
        try:
            answer = await MessageStream(from_async(partial(ask, team.llm, request)))
        except Exception as error:
            error = located_as(error, "planner")
            raise error
        try:
            steps = read_plan(answer.text, ids)
        except ValueError as error:
            _log.warning("%s: its model wrote a plan that does not do", team.id)
            wrong.append((answer.text, str(error)))
            entry: tuple[Any, ...] = ("error", "plannedteam/plan", team.id, answer.text)
            data: dict[str, Any] = {"team": team.id, "error": str(error)}
            emit(StateUpdate("plan", data, usage=answer.usage, log=(entry,)))
            continue
        _log.debug("%s: plan %d: %s", team.id, number, ", ".join(step.agent_id for step in steps))
        entry = ("info", "plannedteam/plan", team.id, *(step.agent_id for step in steps))
        data = {"team": team.id, "plan": number, "steps": [step.to_dict() for step in steps]}
        emit(StateUpdate("plan", data, usage=answer.usage, log=(entry,), shown=True))
        return Unfinished(steps, number)
    told = " ".join(dict.fromkeys(error for _, error in wrong))
    raise located(
        PlanningError(
            f"planned team {team.id}: its model was asked {_TRIES} times for a plan and wrote none that "
            f"will do: {told} Check the descriptions of the members, or give another model"
        ),
        "planner",
    )
