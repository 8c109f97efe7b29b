"""Chain: each hears what the one before says, while it is being said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from reactivex import Observable

from ..blocks import Block
from ..engine.bridges import from_async
from ..engine.emitters import just
from ..errors import ConfigurationError
from ..participants import Emit, Participant, hear
from ..replays import Replay
from ..state_updates import StateUpdate
from ..transcripts import Item, Transcript
from ._links import ChainTurn, Link, all_said, hears_live
from ._members import check_steps
from ._resuming import from_paused

__all__ = ["Chain"]


class Chain(Participant):
    """Each step hears what the one before said, and nothing else; the first hears the conversation.

    Like a pipe, but what every step says is shown, each in a block of its own. A step that hears
    live (`@agent.live`, `as_agent(id, operator)`) gets the messages while they are being written, so
    tokens go straight through; any other begins when the step before it has ended. Context variables
    are there for all.

    It ends with its last step. A step that fails fails it, after its tokens. One that stops ends it,
    and, as in a pipe, whatever Team, Sequence or Loop is around.

    ```
    source   -q-|
    out      ---(both|)
    both     ---(it up)-|
    it       ---m1------|
    m1       ---Hi--you-|
    up       ---m2------|
    m2       ---HI--YOU-|
    ```

    Args:
        id: Its name in the conversation.
        steps: Agents, users, teams, operators with a name; one of them may come twice.
        description: What it is good for; the model of a team around it reads it.
        keep: Whose words stay in the conversation: `"all"`, or those of the `"last"` step, the others
            being shown only. What they take and what variables they set counts either way.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        steps: Iterable[Participant],
        description: str = "",
        *,
        keep: Literal["all", "last"] = "all",
    ) -> None:
        super().__init__(id, description)
        self.steps = check_steps(f"chain {id}", "steps", steps)
        if keep not in ("all", "last"):
            raise ConfigurationError(f"chain {id}: keep is 'all' or 'last', not {keep!r}")
        self.keep = keep
        self.hears_live = hears_live(self.steps[0])

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        if not self.hears_live:
            return super().__call__(source)

        async def begin(emit: Emit) -> None:
            heard = Replay[Item](source)
            emit(Block(self.id, self._linked(heard)))
            await hear(heard, emit)

        return from_async(begin)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return self._linked(just(transcript), transcript)

    def _linked(self, source: Observable[Item], transcript: Transcript | None = None) -> Observable[Item]:
        return from_async(lambda emit: self._run(source, transcript or Transcript(), emit))

    async def _run(self, source: Observable[Item], transcript: Transcript, emit: Emit) -> None:
        variables: dict[str, Any] = dict(transcript.variables)
        heard = source
        links: list[Link] = []
        turn = ChainTurn(source)
        steps = from_paused(self.steps, transcript)
        last = len(steps) - 1
        try:
            for number, step in enumerate(steps):
                aside = self.keep == "last" and number < last
                links.append(Link(step, heard, emit, turn, aside=aside))
                if number < last and hears_live(steps[number + 1]):
                    await links[-1].begun()
                    heard = links[-1].live()
                else:
                    for link in links:
                        await link.ended()
                    said = links[-1].said(variables)
                    variables.update(said.variables)
                    heard = just(said)
                if any(link.stopped for link in links):
                    break
            for link in links:
                await link.ended()
            if self.keep == "last":
                self._keep_variables(links, emit)
        finally:
            for link in links:
                link.dispose()
            spent = turn.end(item for link in links for item in link.out.items)
        if spent is not None:
            emit(spent)

    def _keep_variables(self, links: list[Link], emit: Emit) -> None:
        items = [item for link in links for item in all_said(link.out.items)]
        variables = Transcript().fold_all(items).variables
        if variables:
            emit(StateUpdate("variables", variables=dict(variables)))
