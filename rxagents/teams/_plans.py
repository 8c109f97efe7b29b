"""How a team's model is asked for a plan, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..llm.requests import ChatRequest
from ..structured.json_texts import json_candidates
from ..transcripts import Transcript
from ._routing import filled, history

__all__ = ["PLAN_PROMPT", "PlanStep", "plan_request", "read_plan", "read_steps"]

PLAN_PROMPT = """\
You plan the work of a team. Decide which of its members work on what the history asks for, in which \
order, and with which instructions.
Choose by the descriptions, and whatever is said of their tools; leave out who is of no use; somebody \
may come more than once. The members read the history and what those before them said, so say in the \
instructions only what to do with it.
Where there is feedback, an earlier plan did not do: what it led to is in the history, and your plan \
has to set it right.
Answer with JSON: {"plan": [{"agent_id": "the agent_id of a member", "instructions": "what it has to do"}]}

# Members

{agents}

# History

{history}

# Feedback

{feedback}
"""

_QUESTION = "What is the plan?"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Who does what."""

    agent_id: str
    instructions: str

    def to_dict(self) -> dict[str, Any]:
        """As the model wrote it."""
        return {"agent_id": self.agent_id, "instructions": self.instructions}


def plan_request(
    prompt: str,
    agents: str,
    transcript: Transcript,
    feedback: Any,
    members: Sequence[str],
    wrong: Sequence[tuple[str, str]],
    *,
    structured: bool,
    team: str,
) -> ChatRequest:
    """The request for one plan.

    Args:
        prompt: The system prompt; `{agents}`, `{history}`, `{inquiry}` (the user's last message) and
            `{feedback}` in it are filled in.
        agents: The list of members.
        transcript: The conversation.
        feedback: What was wrong with the plan before; nothing, if there was none.
        members: Their ids.
        wrong: Earlier answers to this same question, each with what was wrong with it.
        structured: Ask for JSON by a schema, else in words.
        team: The id of the team.
    """
    inquiries = [message for message in transcript if message.role == "user" and message.name != team]
    system = filled(
        prompt,
        agents=agents,
        history=history(transcript),
        inquiry=inquiries[-1].text if inquiries else "",
        feedback="" if feedback is None else str(feedback),
    )
    wire: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": _QUESTION if structured else f"{_QUESTION} Nothing but the JSON."},
    ]
    for answer, error in wrong:
        wire.append({"role": "assistant", "content": answer})
        wire.append({"role": "user", "content": f"{error} Plan again."})
    return ChatRequest(tuple(wire), response_format=_schema(members) if structured else None, agent=team)


def _schema(members: Sequence[str]) -> dict[str, Any]:
    # Source: OpenAI API reference, structured outputs: `strict` wants an object at the root, every
    # property required and no additional ones.
    step = {
        "type": "object",
        "properties": {
            "agent_id": {"type": "string", "enum": list(members)},
            "instructions": {"type": "string"},
        },
        "required": ["agent_id", "instructions"],
        "additionalProperties": False,
    }
    plan = {
        "type": "object",
        "properties": {"plan": {"type": "array", "items": step}},
        "required": ["plan"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": plan}}


def read_plan(answer: str, members: Sequence[str]) -> tuple[PlanStep, ...]:
    """The plan in a model's answer, be it bare JSON, in a fence, or among other words.

    Raises:
        ValueError: With a sentence for the model that says what is wrong.
    """
    wrong: ValueError | None = None
    for data in _data(answer):
        try:
            return read_steps(data.get("plan") if isinstance(data, Mapping) else data, members)
        except ValueError as error:
            wrong = wrong or error
    raise wrong or ValueError('There is no JSON in the answer; it must be {"plan": [...]}.')


def _data(answer: str) -> Iterator[Any]:
    for candidate in json_candidates(answer):
        try:
            yield json.loads(candidate)
        except (ValueError, RecursionError):
            continue


def read_steps(steps: Any, members: Sequence[str]) -> tuple[PlanStep, ...]:
    """The steps of a plan, from JSON data.

    Raises:
        ValueError: With a sentence that says what is wrong.
    """
    if not isinstance(steps, list):
        raise ValueError('The JSON holds no list "plan" of steps.')
    if not steps:
        raise ValueError("The plan is empty; it needs at least one step.")
    return tuple(_step(number, step, members) for number, step in enumerate(steps, 1))


def _step(number: int, step: Any, members: Sequence[str]) -> PlanStep:
    data = step if isinstance(step, Mapping) else {}
    id, instructions = data.get("agent_id"), data.get("instructions")
    if not isinstance(id, str) or not isinstance(instructions, str):
        raise ValueError(f'Step {number} needs an "agent_id" and "instructions", both of them text.')
    if id not in members:
        raise ValueError(f"Step {number}: {id!r} is no member; the members are: {', '.join(members)}.")
    return PlanStep(id, instructions)
