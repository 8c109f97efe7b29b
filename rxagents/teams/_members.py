"""Who is in a team, and who may follow whom: checked when the team is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import ConfigurationError
from ..participants import Participant, check_id

__all__ = ["check_members", "check_steps", "check_transitions"]


def check_members(what: str, members: Iterable[Participant]) -> dict[str, Participant]:
    """The members by id; refuses an empty list, two of one id, and what is no operator with an id."""
    by_id: dict[str, Participant] = {}
    for member in _each(what, "members", members):
        if member.id in by_id:
            raise ConfigurationError(f"{what}: two members have the id {member.id!r}; ids must differ")
        by_id[member.id] = member
    if not by_id:
        raise ConfigurationError(f"{what} has no members; give it at least one")
    return by_id


def check_steps(what: str, name: str, steps: Iterable[Participant]) -> tuple[Participant, ...]:
    """The steps in their order; one may come twice, but two of one id would be told apart by nobody."""
    by_id: dict[str, Participant] = {}
    in_order = tuple(_each(what, name, steps))
    for step in in_order:
        if by_id.setdefault(step.id, step) is not step:
            raise ConfigurationError(f"{what}: two steps have the id {step.id!r}; ids must differ")
    if not in_order:
        raise ConfigurationError(f"{what} has no steps; give it at least one")
    return in_order


def _each(what: str, name: str, members: Iterable[Participant]) -> Iterator[Participant]:
    if isinstance(members, str) or not isinstance(members, Iterable):
        kinds = name if name.endswith("s") else f"{name}s"
        raise ConfigurationError(f"{what}: {name} is a {type(members).__name__}; give a list of {kinds}")
    for member in members.values() if isinstance(members, Mapping) else members:
        if not callable(member) or not isinstance(getattr(member, "id", None), str):
            kind = name.removesuffix("s")
            raise ConfigurationError(
                f"{what}: {type(member).__name__} is no {kind}; give an Agent, a User, a team, or "
                "as_agent(id, operator)"
            )
        check_id(member.id, what)
        yield member


def check_transitions(
    what: str, members: Mapping[str, Participant], allowed: Mapping[Any, Iterable[Any]] | None
) -> dict[str, tuple[str, ...]] | None:
    """Who may follow whom, by id, of members or ids; refuses who is no member.

    Who is given as a member must be one of these, not another with the same id.
    """
    if allowed is None:
        return None
    if not isinstance(allowed, Mapping):
        raise ConfigurationError(
            f"{what}: allowed_transitions is a {type(allowed).__name__}; give a dict of who may follow whom, "
            "such as {'a': ['b']}"
        )

    def id_of(thing: Any) -> str:
        id = str(thing if isinstance(thing, str) else getattr(thing, "id", ""))
        if id in members and thing in (id, members[id]):
            return id
        raise ConfigurationError(
            f"{what}: allowed_transitions names {thing!r}, who is no member; "
            f"the members are {', '.join(members)}"
        )

    transitions: dict[str, tuple[str, ...]] = {}
    for one, others in allowed.items():
        if isinstance(others, str) or not isinstance(others, Iterable):
            raise ConfigurationError(
                f"{what}: allowed_transitions gives {id_of(one)} {others!r}; give a list of its followers"
            )
        transitions[id_of(one)] = tuple(map(id_of, others))
    return transitions
