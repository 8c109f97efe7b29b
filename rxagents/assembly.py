"""From increments to the finished thing: how deltas, results and completions make one Message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .kept_deltas import Deltas, Kept
from .values import Completion, Delta, FunctionResult, Message, Role, ToolCall, Usage

__all__ = ["TAKEN_BACK", "assemble", "assemble_calls"]

# Lists that a model takes back with the results of its tools: thoughts, and what kind of text it said.
TAKEN_BACK = frozenset(("output_items", "phases"))

_STANDARD = frozenset(("content", "function_call", "refusal", "tool_calls", "role", "restart", "progress"))


def assemble_calls(deltas: Iterable[Delta], fallback_id: str = "call") -> tuple[ToolCall, ...]:
    """Joins the fragments of tool calls by their `index`, in the order of the indices.

    Providers send the id and the name once, in the first fragment of a call, and the arguments in
    pieces (OpenAI, chat-completion chunk object). Where a provider leaves the index out, a new id
    begins a new call; where it leaves the id out, one is made from `fallback_id`.
    """
    calls: dict[int, dict[str, str]] = {}
    latest = -1
    for increment in deltas:
        for fragment in increment["tool_calls"] or ():
            index = fragment.get("index")
            if index is None:
                begins = fragment.get("id") and fragment["id"] != calls.get(latest, {}).get("id")
                index = latest + 1 if begins or latest < 0 else latest
            latest = index
            call = calls.setdefault(index, {"id": "", "name": "", "arguments": "", "type": ""})
            function = fragment.get("function") or {}
            call["id"] = call["id"] or fragment.get("id") or ""
            call["type"] = call["type"] or fragment.get("type") or ""
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
    return tuple(
        ToolCall(
            id=call["id"] or f"{fallback_id}_{index}",
            type=call["type"] or "function",
            function={"arguments": call["arguments"], "name": call["name"]},
        )
        for index, call in sorted(calls.items())
    )


def assemble(
    items: Sequence[Kept],
    completions: Sequence[Completion] = (),
    *,
    role: Role = "assistant",
    name: str | None = None,
    finish_reason: str | None = None,
    fallback_id: str = "call",
    offset: int = 0,
) -> Message:
    """Folds everything that a message stream carried into its Message.

    The content is the concatenation of all its tokens, or of those after its last `restart`. Each run
    of deltas that was followed by function results is a round: its calls and their answers become
    `steps`. Calls that nobody answered stay in `tool_calls`. A tool's `progress` is no part of it.

    Args:
        items: The deltas, with the function results between them; a string is mere words.
        completions: One for each model call, in order.
        role: Of the message.
        name: Of its speaker.
        finish_reason: Overrules the model's own (`interrupted`, `error`).
        fallback_id: The stem of the ids of calls that came without one.
        offset: The place of the first item in its stream; it makes those ids the same for a part of
            a stream as for the whole.
    """
    steps: list[Message] = []
    content: list[str] = []
    refusal: list[str] = []
    added: dict[str, list[Any]] = {}
    open_round: list[Delta] = []
    begun = offset
    calls: tuple[ToolCall, ...] = ()
    unanswered: list[ToolCall] = []
    answered: list[FunctionResult] = []

    def close_round() -> None:
        ids = {result.id for result in answered}
        text = "".join(d["content"] for d in open_round if d["content"])
        done = tuple(call for call in calls if call.id in ids)
        unanswered.extend(call for call in calls if call.id not in ids)
        kept: dict[str, list[Any]] = {}
        for increment in open_round:
            if len(increment) > 4:
                for key in TAKEN_BACK & increment.keys():
                    # a TypedDict knows no key that only a provider has
                    kept.setdefault(key, []).extend(increment[key] or ())  # type: ignore[literal-required]
        steps.append(Message(role=role, content=text or None, name=name, tool_calls=done, metadata=kept))
        steps.extend(Message(role="tool", content=r.result, name=r.name, tool_call_id=r.id) for r in answered)
        open_round.clear()
        answered.clear()

    words = _mere_words(items)
    if words is not None:
        content = words
    for position, item in enumerate(() if words is not None else Deltas([*items]), offset):
        if isinstance(item, FunctionResult):
            if not answered:
                calls = assemble_calls(open_round, f"{fallback_id}_{begun}")
            answered.append(item)
            continue
        extended = len(item) > 4
        if extended and item.get("progress") is not None:
            continue  # of a call that is under way, while another has its result already
        if answered:
            close_round()
            begun = position
        if extended and item.get("restart") is not None:
            # what was said is void, and calls that it was about to make; what tools have done is not
            steps[:] = [step if step.role == "tool" else _without_words(step) for step in steps]
            open_round.clear()
            content.clear()
            refusal.clear()
            added.clear()
            begun = position + 1
            continue
        open_round.append(item)
        if item["content"]:
            content.append(item["content"])
        if item["refusal"]:
            refusal.append(item["refusal"])
        if extended:
            for key, value in item.items():
                if key not in _STANDARD and value is not None:
                    added.setdefault(key, []).append(value)
    if answered:
        close_round()
    else:
        unanswered.extend(assemble_calls(open_round, f"{fallback_id}_{begun}"))

    usage = sum((c.usage for c in completions if c.usage), Usage())
    last = completions[-1] if completions else Completion()
    extra = {key: _joined(values) for key, values in added.items()}
    if last.model:
        extra.setdefault("model", last.model)
    if last.request_id:
        extra.setdefault("request_id", last.request_id)
    return Message(
        role=role,
        content="".join(content),
        name=name,
        tool_calls=tuple(unanswered),
        refusal="".join(refusal) or None,
        finish_reason=finish_reason or last.finish_reason,
        usage=usage or None,
        steps=tuple(steps),
        metadata=extra,
    )


def _mere_words(items: Sequence[Kept]) -> list[str] | None:
    """The words, where there is nothing else, as in most messages; None where there is."""
    words = [
        item if isinstance(item, str) else item["content"] or ""
        for item in items
        if isinstance(item, str) or (isinstance(item, dict) and _says_no_more(item))
    ]
    return words if len(words) == len(items) else None


def _says_no_more(item: Delta) -> bool:
    return len(item) == 4 and item["tool_calls"] is None and item["refusal"] is None


def _without_words(step: Message) -> Message:
    return step.model_copy(update={"content": None})


def _joined(values: list[Any]) -> Any:
    """What a provider added under one key: text and lists grow, of anything else the last counts."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return [part for value in values for part in value]
    return values[-1]
