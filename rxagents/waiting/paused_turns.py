"""A turn in which a call waits for approval, as it stands in the variables of a conversation.

It is put there when the call begins to wait, so that whoever has the conversation, in whatever process,
knows what waits, may decide it, and may let the agent go on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..assembly import TAKEN_BACK
from ..state_updates import StateUpdate
from ..strategies.updates import Update
from ..tooling.pending_calls import Decision
from ..transcripts import Transcript
from ..values import Delta, FunctionResult, Message, ToolCall, delta, message_from
from .paused_calls import PausedCall

__all__ = [
    "PREFIX",
    "PausedTurn",
    "decided_turns",
    "gone_on",
    "is_urgent",
    "lost_turns",
    "paused_agents",
    "paused_turn",
    "paused_turns",
    "since_question",
    "void_turns",
    "waiting_calls",
]

PREFIX = "__approval:"
"""How the names of the variables begin that hold paused turns; None: there is none any more."""


@dataclass(frozen=True, slots=True)
class PausedTurn:
    """A turn in which a call waits, or was at work when the turn was cut.

    Args:
        agent: The id of the agent whose turn it is.
        message: What it has said, with the calls of the round that waits.
        asked: The key of what the user had said last.
        turns: How often the agent had spoken since.
        calls: Those that wait.
        results: What the others of that round have answered, by the id of the call.
        variables: The context variables that its tools have set.
        variable: Where it stands in the conversation.
    """

    agent: str
    message: Message
    asked: str
    turns: int = 0
    calls: tuple[PausedCall, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    variable: str = ""

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able data."""
        return {
            "agent": self.agent,
            "asked": self.asked,
            "turns": self.turns,
            "message": self.message.to_dict(),
            "calls": [call.to_dict() for call in self.calls],
            "results": dict(self.results),
            "variables": dict(self.variables),
        }

    @classmethod
    def of(cls, variable: str, data: Any) -> PausedTurn | None:
        """The one that `to_dict` wrote, if the data is one."""
        if not isinstance(data, Mapping):
            return None
        try:
            return cls(
                str(data["agent"]),
                message_from(data["message"]),
                str(data["asked"]),
                int(data["turns"]),
                tuple(map(PausedCall.of, data["calls"])),
                {str(id): str(text) for id, text in data["results"].items()},
                dict(data.get("variables", ())),
                variable,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def decided(self, decision: Decision) -> PausedTurn:
        """The same, with what was decided about one of its calls."""
        calls = tuple(
            replace(call, decision=decision) if call.pending.call_id == decision.call_id else call
            for call in self.calls
        )
        return replace(self, calls=calls)

    def stored(self) -> StateUpdate:
        """Puts it into the conversation."""
        return StateUpdate("variables", variables={self.variable: self.to_dict()})

    def said(self, conversation: Transcript) -> tuple[Message | None, bool]:
        """Its message as the conversation holds it, or None, and whether it may still be gone on with.

        It may not where the user has spoken since, as that may be about something else, nor where its calls
        have been answered: then it was cut in what it said about them.
        """
        question, own = since_question(conversation, self.agent)
        ids = {call.id for call in self.message.tool_calls}
        for message in reversed(conversation):
            if message.name == self.agent and any(call.id in ids for call in message.tool_calls):
                still = any(message is other for other in own)
                return (message, True) if still else (None, False)
        # else who wrote it down was killed before it had ended; it may have heard no user
        return None, self.asked in (question, "") and len(own) <= self.turns

    def before(self, conversation: Transcript) -> Transcript:
        """The conversation without its message."""
        message, _ = self.said(conversation)
        if message is None:
            return conversation
        return conversation.reduced_to(other for other in conversation if other is not message)

    def items(self) -> Iterator[Delta | FunctionResult]:
        """What its message was made of, up to the calls that have no result."""
        said = 0
        kept: dict[str, int] = {}
        for step in self.message.steps:
            if step.role == "tool":
                yield FunctionResult(step.name or "", step.text, step.tool_call_id or "")
                continue
            said += len(step.text)
            taken = {key: step.metadata[key] for key in TAKEN_BACK if key in step.metadata}
            for key, value in taken.items():
                kept[key] = kept.get(key, 0) + len(value)
            yield delta(step.text or None, tool_calls=_fragments(step.tool_calls), **taken)
        extras = {
            key: value[kept.get(key, 0) :] if key in TAKEN_BACK else value
            for key, value in self.message.metadata.items()
            if key not in ("model", "request_id")
        }
        rest = self.message.text[said:]
        yield delta(
            rest or None,
            refusal=self.message.refusal,
            tool_calls=_fragments(self.message.tool_calls),
            **{key: value for key, value in extras.items() if value},
        )


def _fragments(calls: tuple[ToolCall, ...]) -> list[Any]:
    return [{**call.model_dump(), "index": index} for index, call in enumerate(calls)]


def paused_turns(conversation: Transcript) -> list[PausedTurn]:
    """The turns that may be gone on with."""
    if not conversation.variables:  # as mostly
        return []
    return [turn for turn in _all(conversation) if turn.said(conversation)[1]]


def paused_turn(agent: str, conversation: Transcript) -> PausedTurn | None:
    """The turn of an agent that is to be gone on with, or None."""
    if not conversation.variables:
        return None
    return next((turn for turn in paused_turns(conversation) if turn.agent == agent), None)


def gone_on(agent: str, conversation: Transcript, strategy: Update) -> Update:
    """How what an agent says enters the conversation: what it goes on with is replaced."""
    paused = paused_turn(agent, conversation)
    before = None if paused is None else paused.said(conversation)[0]
    if before is None:
        return strategy

    def update(heard: tuple[Message, ...], said: tuple[Message, ...]) -> Iterable[Message]:
        if not said:
            return heard
        return strategy(tuple(message for message in heard if message is not before), said)

    return update


def void_turns(conversation: Transcript) -> list[PausedTurn]:
    """The turns that may not be gone on with any more."""
    return [turn for turn in _all(conversation) if not turn.said(conversation)[1]]


def _all(conversation: Transcript) -> Iterator[PausedTurn]:
    for name, value in conversation.variables.items():
        if value is not None and str(name).startswith(PREFIX):
            turn = PausedTurn.of(name, value)
            if turn is not None:
                yield turn


def paused_agents(conversation: Transcript) -> set[str]:
    """The ids of the agents whose turns may be gone on with."""
    if not conversation.variables:
        return set()
    return {turn.agent for turn in paused_turns(conversation)}


def lost_turns(conversation: Transcript) -> list[PausedTurn]:
    """The turns whose process was killed before what they had said entered the conversation."""
    return [turn for turn in paused_turns(conversation) if turn.said(conversation)[0] is None]


def waiting_calls(conversation: Transcript) -> Iterator[tuple[PausedTurn, PausedCall]]:
    """The calls about which nothing was decided yet."""
    for turn in paused_turns(conversation):
        for call in turn.calls:
            if call.decision is None:
                yield turn, call


def decided_turns(conversation: Transcript) -> list[PausedTurn]:
    """The turns in which something was decided that nobody has taken up yet."""
    return [turn for turn in paused_turns(conversation) if any(call.decision for call in turn.calls)]


def since_question(conversation: Transcript, agent: str) -> tuple[str, list[Message]]:
    """The key of what the user said last (empty, if that is nothing), and what an agent has said since."""
    own: list[Message] = []
    for message in reversed(conversation):
        if message.role == "user":
            return message.hash_key, own[::-1]
        if message.name == agent:
            own.append(message)
    return "", own[::-1]


def is_urgent(update: StateUpdate) -> bool:
    """Whether an update says what waits, and nothing else."""
    names = update.variables or {}
    more = update.messages or update.drop or update.usage or update.log
    return bool(names) and not more and all(str(name).startswith(PREFIX) for name in names)
