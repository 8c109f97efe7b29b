"""One run of a planned team: the plan, how far it has come, and what was said."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import Any

from ..blocks import Block
from ..engine.bridges import from_async
from ..participants import Emit, until_ended
from ..places import located_as
from ..state_updates import StateUpdate
from ..strategies.readings import read
from ..streams import MessageStream
from ..transcripts import Transcript
from ..values import Message, UserMessage
from ._planning import Plans, planned
from ._resuming import paused_members
from ._turns import answer_of, result, take_turn
from ._unfinished import Unfinished, plan_variable

__all__ = ["PlannedRun"]

_log = logging.getLogger("rxagents.team")


class PlannedRun:
    """One run of a planned team.

    Args:
        team: The team, in which nothing of a run is kept.
        before: The conversation when it began.
        emit: Takes what stands in the team's block.
    """

    def __init__(self, team: Plans, before: Transcript, emit: Emit) -> None:
        self._team = team
        self._before = before
        self._heard = before
        self._emit = emit
        self._say = emit
        self._ids = tuple(team.members)
        self._forks = team.fork_conversation
        self._kept: tuple[int, int] | None = None
        self._code = "done"
        self._log: tuple[tuple[Any, ...], ...] = ()

    async def run(self) -> None:
        """Goes on with the plan that was interrupted, or makes one, and does what it says."""
        plan = Unfinished.of(self._team.id, self._ids, self._before)
        if not self._forks:
            await self._work(plan)
        else:
            if plan is not None:
                if plan.variables:
                    self._heard = self._heard.with_variables(plan.variables)
                for message in plan.fork:
                    self._heard = self._heard.with_message(message)
            fork = Block("fork", from_async(partial(self._fork, plan)), entry="aside", catches_stops=True)
            self._emit(fork)
            await until_ended(fork)
            await self._join()
        ended = result(self._code, *self._log)
        self._emit(replace(ended, variables={plan_variable(self._team.id): None}))

    async def _fork(self, plan: Unfinished | None, say: Emit) -> None:
        self._say = say
        await self._work(plan)

    async def _work(self, plan: Unfinished | None) -> None:
        team = self._team
        number = plan.number if plan is not None else 1
        while True:
            if plan is None:
                plan = await planned(team, self._heard, number, self._emit)
            for at in range(plan.at, len(plan.steps)):
                if await self._step(replace(plan, at=at)):
                    self._end("agent-stop", "plannedteam/stop")
                    return
            if team.repeat_until is None:
                return
            enough = await answer_of(team.repeat_until, self._heard, "repeat_until")
            if isinstance(enough, StateUpdate):
                self._add(enough)
            elif enough:
                return
            if number >= team.max_plans:
                self._end("max-plans", "plannedteam/max-plans")
                return
            plan, number = None, number + 1
            # members that never wait for anything must not keep the loop from all others, who may stop it
            await asyncio.sleep(0)

    def _end(self, code: str, subject: str) -> None:
        self._code = code
        self._log = (("info", subject, self._team.id),)

    async def _step(self, plan: Unfinished) -> bool:
        """Lets a member do its part of the plan; gives whether somebody in it has asked for a stop."""
        team, step = self._team, plan.steps[plan.at]
        told = UserMessage(step.instructions, name=team.id)
        # when a step is resumed, its instructions may be what was said last
        new = bool(step.instructions) and not (self._heard and _is_same(self._heard[-1], told))
        # nor is a member told again whose turn waits for approval
        new = new and not paused_members([team.members[step.agent_id]], self._heard)
        data = {"team": team.id, "plan": plan.number, "step": plan.at + 1, **step.to_dict()}
        update = StateUpdate("step", data, messages=(told,) if new else ())
        if self._kept != (plan.number, plan.at):
            self._keep(plan, self._heard)
        self._add(update)
        _log.debug("%s: step %d of %d is %s's", team.id, plan.at + 1, len(plan.steps), step.agent_id)
        # who leaves now, or in what follows the last step, resumes behind this one
        done = partial(self._keep, replace(plan, at=plan.at + 1))
        stop, self._heard = await take_turn(team.members[step.agent_id], self._heard, self._say, done)
        return stop is not None

    def _keep(self, plan: Unfinished, heard: Transcript) -> None:
        """Puts into the conversation how far the plan has come."""
        self._kept = plan.number, plan.at
        if self._forks:
            known = set(map(id, self._before))
            fork = tuple(message for message in heard if id(message) not in known)
            plan = replace(plan, heard=len(self._before), fork=fork, variables=self._changed(heard))
        else:
            plan = replace(plan, heard=len(heard))
        self._emit(StateUpdate("variables", variables={plan_variable(self._team.id): plan.to_dict()}))

    def _add(self, update: StateUpdate) -> None:
        self._say(update)
        self._heard = self._heard.fold(update)

    def _changed(self, heard: Transcript) -> dict[str, Any]:
        before = self._before.variables
        return {
            name: value
            for name, value in heard.variables.items()
            if name not in before or before[name] is not value
        }

    async def _join(self) -> None:
        """Lets enter the conversation what the strategy selects of what was said in the fork."""
        known = set(map(id, self._before))
        forked = {id(message): message for message in self._heard if id(message) not in known}
        told = [message for message in forked.values() if self._is_told(message)]
        if self._team.fork_strategy is None:
            said = [message for message in forked.values() if message not in told]
            selected, usage = tuple(said[-1:]), None
        else:
            try:
                reading = await read(self._team.fork_strategy, self._heard)
            except Exception as error:
                error = located_as(error, "fork_strategy")
                raise error
            selected, usage = reading.messages, reading.usage
        if usage:
            self._emit(StateUpdate("usage", usage=usage))
        for message in selected:
            if id(message) not in known and not self._is_told(message):
                # what was said in the fork was paid for there
                paid = {"usage": None} if id(message) in forked else {}
                self._emit(MessageStream.of(message.model_copy(update=paid)))

    def _is_told(self, message: Message) -> bool:
        return message.role == "user" and message.name == self._team.id


def _is_same(one: Message, other: Message) -> bool:
    return (one.role, one.name, one.text) == (other.role, other.name, other.text)
