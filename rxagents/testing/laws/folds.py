"""The fifth law: a run's items are its conversation, which goes on from JSON as it would have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...blocks import Block
from ...conversations import Conversation
from ...state_updates import StateUpdate
from ...streams import MessageStream
from ...transcripts import Transcript, counts
from ...workflows import Workflow
from .audiences import Audience
from .balances import brief
from .cases import Broken, Case
from .sameness import asked, difference, entries, shape, sum_of
from .talks import Talk, played
from .worlds import HORIZON, Make, World

__all__ = ["check_folding", "marked"]


def check_folding(make: Make, case: Case) -> None:
    """Folding a run's items gives its conversation; restored from JSON, it goes on as the original does.

    Raises:
        Broken: There is a difference.
    """
    conversation = Conversation()
    with World() as world:
        workflow = Workflow(make(world), conversation)
        if case.leave_at is not None:
            world.at(case.leave_at, lambda: run.dispose())
        run = world.do(lambda: workflow.start(played(world, case.source)))
        world.run()
        world.do(run.dispose)
        world.run(2 * HORIZON)
        replayed = Conversation()
        for item in run.items:
            replayed.follow(item)
        wanted = sum_of(conversation.transcript)
        said = _said(run.items)
        words = None if said is None else difference(said, sum_of(conversation.transcript)["messages"])
        if words is not None:
            raise Broken(f"what was said is not what the conversation holds: {words}")
        folded = Transcript().fold_all(run.items)
        for other, what in ((folded, "fold to another one"), (replayed.transcript, "replay to another one")):
            words = difference(wanted, sum_of(other))
            if words is not None:
                raise Broken(f"the run has a conversation, and its items {what}: {words}")
    restored = Conversation.from_dict(json.loads(json.dumps(conversation.to_dict())))
    words = difference(wanted, sum_of(restored.transcript))
    if words is not None:
        raise Broken(f"the conversation is not the same when it was restored from JSON: {words}")
    if case.then is not None:
        original, lane = _went_on(make, case.then, conversation)
        from_json, other_lane = _went_on(make, case.then, restored)
        words = difference(original, from_json)
        if words is not None:
            raise Broken(
                f"the conversation that was restored from JSON went on in another way: {words}",
                [("original", lane), ("restored", other_lane)],
            )


def _said(items: Iterable[Any]) -> list[Any] | None:
    """The messages of a run in their order, by a walk that knows nothing of folds; None if one goes again."""
    said: list[Any] = []
    seen: set[str] = set()
    stack = [*items][::-1]
    while stack:
        item = stack.pop()
        if isinstance(item, Transcript):
            said += [message for message in sum_of(item)["messages"] if message not in said]
        elif isinstance(item, Block) and item.entry == "replace_last":
            return None
        elif isinstance(item, StateUpdate) and item.id not in seen:
            if item.drop:
                return None
            seen.add(item.id)
            said += [shape(message)[1] for message in item.messages]
        elif isinstance(item, Block) and item.entry == "append":
            stack += item.items[::-1]
        elif isinstance(item, MessageStream) and item.result is not None and item.id not in seen:
            seen.add(item.id)
            said += [shape(item.result)[1]] if counts(item.result) else []
    return said


def _went_on(make: Make, then: Talk, conversation: Conversation) -> tuple[dict[str, Any], str]:
    return marked(make, Case(then), conversation, log=True)


def marked(
    make: Make, case: Case, conversation: Conversation | None = None, *, log: bool = False
) -> tuple[dict[str, Any], str]:
    """One run in a world of its own: what models were asked, the markers, what it came to; and its lane."""
    with World() as world:
        audience = Audience.of(world, case)
        workflow = Workflow(make(world), conversation)
        watch = world.do(lambda: audience.attend(workflow.observe(played(world, case.source)), "markers"))
        world.run()
        world.do(audience.leave)
        world.run(2 * HORIZON)
        came_to = {
            "requests": asked(world),
            "markers": entries(watch),
            "conversation": sum_of(workflow.conversation.transcript, log=log),
        }
        return came_to, brief(watch)[1]
