"""How a team's model is asked who speaks next, and how its answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..llm.requests import ChatRequest
from ..participants import Participant
from ..values import Message

__all__ = ["PROMPT", "choice_request", "describe", "filled", "history", "read_choice"]

PROMPT = """\
You lead a conversation between the members of a team. Decide who speaks next.
Read the history, the description of each member, and whatever is said of their tools and of whom \
they may hand over to. Choose the member who is best suited to go on; if the user has to say \
something first, choose the member who stands for the user.
Answer with the agent_id of one of the members below, exactly as it is written, and your reason.

# Members

{agents}

# History

{history}
"""

_QUESTION = "Who speaks next? Give the agent_id of one member."


def describe(
    members: Iterable[Participant], *, tools: bool, transitions: dict[str, tuple[str, ...]] | None
) -> str:
    """The list of members for the prompt."""
    lines: list[str] = []
    for member in members:
        lines.append(f"- agent_id: {member.id}")
        if member.description:
            lines.append(f"  description: {member.description}")
        for tool in getattr(member, "toolbox", ()) if tools else ():
            lines.append(f"  tool {tool.name}: {tool.description}")
        if transitions is not None:
            lines.append(f"  may hand over to: {', '.join(transitions.get(member.id, ())) or 'nobody'}")
    return "\n".join(lines)


def history(messages: Iterable[Message]) -> str:
    """The conversation as text, a line or more for each message."""
    return "\n".join(f"{message.name or message.role}: {message.text}" for message in messages)


def filled(prompt: str, **texts: str) -> str:
    """A prompt with the texts where it says `{name}`."""
    # not str.format: a history may hold braces, and so may a user's prompt
    places = {f"{{{name}}}": text for name, text in texts.items()}
    return "".join(places.get(part, part) for part in re.split(r"(\{\w+\})", prompt))


def choice_request(
    prompt: str,
    agents: str,
    messages: Sequence[Message],
    candidates: Sequence[str],
    wrong: Sequence[tuple[str, str]],
    *,
    structured: bool,
    team: str,
) -> ChatRequest:
    """The request for one choice.

    Args:
        prompt: The system prompt; `{agents}` and `{history}` in it are filled in.
        agents: The list of members.
        messages: What to show of the conversation.
        candidates: The ids to choose from.
        wrong: Earlier answers to this same question, each with what was wrong with it.
        structured: Ask for JSON by a schema, else in words.
        team: The id of the team.
    """
    system = filled(prompt, agents=agents, history=history(messages))
    wire: list[dict[str, Any]] = [
        {"role": "system", "content": system},
        {"role": "user", "content": _QUESTION if structured else f"{_QUESTION} Nothing else."},
    ]
    for answer, error in wrong:
        wire.append({"role": "assistant", "content": answer})
        wire.append({"role": "user", "content": f"{error} Choose again."})
    return ChatRequest(
        tuple(wire),
        response_format=_schema(candidates) if structured else None,
        agent=team,
    )


def _schema(candidates: Sequence[str]) -> dict[str, Any]:
    # Source: OpenAI API reference, structured outputs: `strict` wants every property required
    # and no additional ones.
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "agent_choice",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "agent_id": {"type": "string", "enum": list(candidates)},
                    "reason": {"type": "string"},
                },
                "required": ["agent_id", "reason"],
                "additionalProperties": False,
            },
        },
    }


def read_choice(answer: str, candidates: Sequence[str], everyone: Sequence[str]) -> tuple[str, str]:
    """The id and the reason in a model's answer, be it JSON or words.

    Raises:
        ValueError: With a sentence for the model that says what is wrong.
    """
    chosen, reason = _from_json(answer) or (_from_words(answer, everyone), "")
    if chosen in candidates:
        return chosen, reason
    allowed = ", ".join(candidates)
    if chosen in everyone:
        raise ValueError(f"{chosen} may not speak now; the choice is between: {allowed}.")
    raise ValueError(f"{chosen or answer.strip()[:80]!r} is no member; the choice is between: {allowed}.")


def _from_json(answer: str) -> tuple[str, str] | None:
    start, end = answer.find("{"), answer.rfind("}")
    try:
        data = json.loads(answer[start : end + 1])
        return str(data["agent_id"]), str(data.get("reason", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_words(answer: str, everyone: Sequence[str]) -> str:
    if answer.strip() in everyone:
        return answer.strip()
    words = re.findall(r"[A-Za-z0-9_-]+", answer)
    named = [word for word in words if word in everyone]
    return named[-1] if named else ""
