"""ModelCall: one call of a model as a log keeps it, put together when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..assembly import assemble
from ..recording.journal_values import error_data
from ..recording.redaction import Redaction
from ..values import Completion, Delta, Message, delta
from .listening import How
from .requests import ChatRequest

__all__ = ["ModelCall", "model_call", "own_settings"]


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model: what it was asked, what had arrived of its answer, and how it ended.

    It holds no key: see `rxagents.recording.redaction`.

    Args:
        number: Counts the calls of one log, from 1, in the order in which they began.
        agent: Who asked.
        model: The model's name, so far as it is known.
        begun: When it was asked, in UTC.
        seconds: How long it took, by the time of the loop.
        how: `completed`, `interrupted` (also by disposing) or `error`.
        body: The request as JSON data: `messages`, `tools`, `response_format`, and the parameters, those
            of the model's own included.
        answer: What had arrived, with tool calls, refusal, usage, finish reason; what else the
            provider said is its `metadata`.
        error: What it failed with, as its type and its words; None if it did not.
    """

    number: int
    agent: str | None
    model: str | None
    begun: datetime
    seconds: float
    how: How
    body: Mapping[str, Any]
    answer: Message
    error: str | None = None


def model_call(
    llm: object,
    request: ChatRequest,
    items: Sequence[object],
    redaction: Redaction,
    *,
    number: int,
    begun: datetime,
    seconds: float,
    how: How,
    error: Exception | None = None,
) -> ModelCall:
    """Puts a call together.

    Args:
        llm: Who was asked.
        request: What it was asked.
        items: What it emitted.
        redaction: What is taken out.
        number, begun, seconds, how: As a ModelCall has them.
        error: What it failed with.

    Raises:
        Exception: What the redaction's hook raises; what was emitted is no answer.
    """
    model, params = own_settings(llm)
    completions = [item for item in items if isinstance(item, Completion)]
    message = assemble(
        [_whole(item) for item in items if isinstance(item, str | Mapping)],
        completions,
        name=request.agent,
        finish_reason=None if how == "completed" else how,
    )
    said = None if error is None else error_data(error, redaction.text, redaction.value)
    answer = Message(**redaction.value(message.to_dict()))
    return ModelCall(
        number=number,
        agent=None if request.agent is None else redaction.text(str(request.agent)),
        model=answer.metadata.get("model") or (None if model is None else redaction.text(model)),
        begun=begun,
        seconds=seconds,
        how=how,
        body=redaction.body(params | request.body()),
        answer=answer,
        error=None if said is None else f"{said['type']}: {said['message']}",
    )


def own_settings(llm: object) -> tuple[str | None, dict[str, Any]]:
    """A model's name and its own parameters, so far as they can be seen through what is around it."""
    seen: list[object] = []
    while llm is not None and not any(llm is one for one in seen):
        seen.append(llm)
        model = getattr(llm, "model", None)
        if isinstance(model, str):
            params = getattr(llm, "_params", None)
            return model, dict(params) if isinstance(params, Mapping) else {}
        llm = getattr(llm, "llm", None)
    return None, {}


def _whole(item: str | Mapping[str, Any]) -> Delta:
    # a provider's own keys stay, of which a TypedDict knows nothing
    return delta(item) if isinstance(item, str) else {**delta(), **item}  # type: ignore[typeddict-item]
