"""Who of a team is to go on: those in whom a turn waits, or waited, for approval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from ..participants import Participant
from ..transcripts import Transcript
from ..waiting.paused_turns import paused_agents

__all__ = ["from_paused", "paused_members", "yet_to_speak"]


def paused_members(members: Iterable[Participant], conversation: Transcript) -> list[Participant]:
    """The members who are, or in whom are, the agents whose turns are to be gone on with."""
    agents = paused_agents(conversation)
    return [member for member in members if _holds(member, agents)] if agents else []


def from_paused(steps: Iterable[Participant], conversation: Transcript) -> list[Participant]:
    """The steps, from the first one on that is to go on; all of them, if there is none."""
    steps = list(steps)
    paused = paused_members(steps, conversation)
    return steps[steps.index(paused[0]) :] if paused else steps


def yet_to_speak(members: Iterable[Participant], conversation: Transcript) -> list[Participant]:
    """The members after the last one that is to go on who have said nothing since."""
    agents, members = paused_agents(conversation), list(members)
    last = max(at for at, member in enumerate(members) if _holds(member, agents))
    since = {m.name or "" for m in takewhile(lambda m: m.name not in agents, reversed(conversation))}
    return [member for member in members[last + 1 :] if not _holds(member, since)]


def _holds(member: Participant, agents: set[str]) -> bool:
    seen: set[int] = set()
    stack: list[Any] = [member]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if getattr(one, "id", None) in agents:
            return True
        for name in ("members", "steps", "step"):
            inside = getattr(one, name, ())
            inside = inside.values() if isinstance(inside, Mapping) else inside
            stack.extend(inside if isinstance(inside, Iterable) else ())
        stack.extend(handoff.target for handoff in getattr(one, "handoffs", ()))
    return False
