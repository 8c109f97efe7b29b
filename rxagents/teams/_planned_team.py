"""PlannedTeam: a model writes a plan, and the members carry it out."""

from __future__ import annotations

from collections.abc import Iterable

from ..checks import check_number
from ..llm.requests import LLM
from ..participants import Emit, Participant, check_model
from ..strategies.readings import ReadingStrategy, check_strategy
from ..transcripts import Transcript
from ._compositions import Composition
from ._members import check_members
from ._planned_runs import PlannedRun
from ._turns import Condition, check_condition

__all__ = ["PlannedTeam"]


class PlannedTeam(Composition):
    """Members who carry out a plan; a model writes it, before any of them speaks.

    The plan says who does what, in which order. It is shown as a StateUpdate of the kind `plan`. Each
    step's instructions enter the conversation as a message of the user that bears the team's name,
    since every model follows those; then its member hears the conversation so far. The team is `done`
    after the last step. A step that stops ends it (`agent-stop`), and one that fails fails it.

    With `repeat_until`, what the plan led to is looked at; if it will not do, there is another plan,
    up to `max_plans` (`max-plans`).

    The plan belongs to the run. While it is unfinished, it is in the conversation, as the context
    variable `__plan:<id>`; so a run that was cut or failed is resumed by running on, in another process
    if need be: without another plan, with the step that was interrupted. Unless the user has said
    something since: then there is a new plan, made in view of what was done. Planned teams within each
    other need ids that differ; one that works in the fork of another begins its step anew.

    ```
    source   -q-|
    out      ---(team|)
    team     -----(<plan> ann)bob-|
    ann      -----m1----------|
    m1       -----Hi----------|
    bob      -----------------m2--|
    m2       -----------------Yes-|
    ```

    Args:
        id: Its name in the conversation.
        members: Agents, users, teams: whatever is an operator with an id.
        llm: The model that plans. It is asked for JSON by a schema, or in words where its constraints
            say that it knows none.
        fork_conversation: Whether the members work on a fork of the conversation: all they say is shown
            (in a block `fork`) and paid for, but no part of it.
        fork_strategy: A reading strategy that selects, at the end, what of the fork enters the
            conversation; by default the last message. What was there before does not enter again.
        include_tools_descriptions: Whether the model reads what tools the members have.
        repeat_until: Called with the Transcript (of the fork, if there is one) when a plan is done,
            plain or async; true ends the team. A StateUpdate is a no, and may set the feedback.
        feedback_variable: The context variable that tells the model what was wrong with the plan
            before; members, tools and `repeat_until` may set it.
        description: What it is good for; the model of a team around it reads it.
        system_prompt: The planner's prompt in place of the built-in one; may hold `{agents}`,
            `{history}`, `{inquiry}` (the user's last message) and `{feedback}`.
        max_plans: After so many plans the team ends.

    Raises:
        ConfigurationError: One of these will not do.
    """

    def __init__(
        self,
        id: str,
        members: Iterable[Participant],
        llm: LLM,
        fork_conversation: bool = False,
        fork_strategy: ReadingStrategy | None = None,
        include_tools_descriptions: bool = False,
        repeat_until: Condition | None = None,
        feedback_variable: str = "__feedback",
        description: str = "",
        system_prompt: str = "",
        max_plans: int = 10,
    ) -> None:
        super().__init__(id, description)
        what = f"planned team {id}"
        self.members = check_members(what, members)
        self.llm = check_model(what, llm)
        self.fork_conversation = fork_conversation
        if fork_strategy is not None:
            check_strategy(f"{what}, fork_strategy", fork_strategy)
        self.fork_strategy = fork_strategy
        self.include_tools_descriptions = include_tools_descriptions
        self.repeat_until = check_condition(what, "repeat_until", repeat_until)
        self.feedback_variable = feedback_variable
        self.system_prompt = system_prompt
        self.max_plans = check_number(what, "max_plans", max_plans, 1)

    async def _run(self, transcript: Transcript, emit: Emit) -> None:
        await PlannedRun(self, transcript, emit).run()
