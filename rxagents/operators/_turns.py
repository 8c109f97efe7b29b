"""turns: one conversation over live input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from reactivex import Observable

from ..conversations import Conversation, held
from ..conversing import Askable
from ..engine.emitters import Emitter
from ..errors import ConfigurationError
from ..transcripts import Item
from ._live_turns import POLICIES, LiveTurns, Policy

__all__ = ["turns"]


def turns(
    agent: Askable,
    policy: Policy = "switch",
    *,
    conversation: Conversation | None = None,
    on_error: Literal["continue", "fail"] = "continue",
) -> Callable[[Observable[Any]], Observable[Item]]:
    """Asks an agent about each input that arrives, in one conversation, for as long as there is input.

    The source is any observable of what `say` takes: strings, dicts, Messages, streams of tokens. It may
    be hot or cold, and emit on any thread. Each item begins a turn, whatever comes meanwhile:

    ```
    source   a---------b---------|
    first    -Well,-let-me-think|
    second             -Sure.|
    out      (m1 bot)--(m3 bot.2)|
    m1       (a|)
    bot      m2--------~
    m2       -Well,-let~
    m3       ----------(b|)
    bot.2    ----------m4----|
    m4       -----------Sure.|
    ```

    - `"switch"`: it interrupts the reply. What was said of that stays, as interrupted; its request and
      its tools are cancelled before the new turn begins, and the model is told where it was cut.
    - `"concat"`: it waits until all before it have been answered.
    - `"merge"`: it is answered at once, side by side. A turn hears those that had ended when it began,
      and its own input. In the conversation each is whole, in the order in which they began.
    - `"exhaust"`: it is ignored, and is no part of the conversation.

    Emits what the conversation was before, if it was anything, as one Transcript, then the inputs and
    what came of them. It runs its turns by itself, whoever reads their messages. Completes when the
    source has and the last turn has ended, or when a stop is asked for in a turn. When the source fails,
    what is open is interrupted, and it fails. Disposing it interrupts what is open.

    The turns run with the context variables of the subscription. What an input answers that comes in the
    very moment in which a reply ends, does not interrupt that reply, nor is it ignored.

    Args:
        agent: Who is asked: an agent, a team, an operator on conversations.
        policy: What an input does that arrives during a turn.
        conversation: To go on with, and to keep up to date; by default a new one for each subscription.
        on_error: `"continue"`: a turn that fails ends with what it has, and with a StateUpdate of the kind
            `error` (`type`, `message`, `where`) in the block that failed, and the next input is a new turn.
            `"fail"`: it fails with the turn.

    Raises:
        ConfigurationError: One of these is something else.
    """
    if not callable(agent):
        raise ConfigurationError(
            f"turns: agent is a {type(agent).__name__}; give an agent, a team, or an operator"
        )
    for name, given, known in (
        ("policy", policy, tuple(POLICIES)),
        ("on_error", on_error, ("continue", "fail")),
    ):
        if given not in known:
            raise ConfigurationError(f"turns: {name} is {given!r}; give one of {', '.join(map(repr, known))}")
    if conversation is not None:
        held(conversation)

    def operator(source: Observable[Any]) -> Observable[Item]:
        return Emitter(
            lambda sink: LiveTurns(sink, source, agent, policy, held(conversation), fails=on_error == "fail")
        )

    return operator
