"""Approvals: the desk at which calls wait, and are decided."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from ..errors import ApprovalError, ConfigurationError
from .deciders import Decider, Waiter, check_decider, consult
from .pending_calls import Approve, Decision, PendingCall, Reject

__all__ = ["Approvals", "approvals_of", "current_approvals", "not_gone_on", "not_waiting", "wait_at"]

# Tasks inherit it, so it reaches all agents of a run, however deep, and no others.
current_approvals: ContextVar[tuple[Approvals, ...]] = ContextVar("rxagents.approvals", default=())

# A call has one id at all desks where it waits, so it comes to all of them in one moment.
_entering = threading.Lock()


class Approvals:
    """The desk at which calls that need approval wait, and are decided, from any thread.

    A workflow has one of its own: decide there. Outside of workflows, agents are given one. Several agents
    and workflows may be given the same one, on several loops: what waits in all of them waits there.

    ```python
    desk = Approvals()
    bot = Agent("bot", llm, tools=[refund], approvals=desk)
    …
    desk.approve(desk.waiting[0].call_id)
    ```

    Args:
        decide: Who is asked first: a function of the PendingCall, plain (called on the loop) or async,
            that gives True, False, an Approve, a Reject, or None to leave the call waiting; or an
            observable of Approve, Reject and `(call_id, bool)`, on any thread. It is subscribed to while
            a call waits; decisions about other calls are none of its business.

    Attributes:
        stalled: The messages in which there is nothing to do but to wait here.

    Raises:
        ConfigurationError: `decide` is neither.
    """

    def __init__(self, decide: Decider | None = None) -> None:
        self._decide = check_decider(decide)
        self._waiting: dict[str, Waiter] = {}
        self._ahead: dict[str, Decision] = {}
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._looking: tuple[Callable[[], object], ...] = ()
        self.stalled: set[object] = set()

    @property
    def waiting(self) -> tuple[PendingCall, ...]:
        """The calls that wait here now, the first that came first."""
        with self._lock:
            return tuple(waiter.call for waiter in self._waiting.values() if waiter.waits)

    def approve(self, call_id: str, *, arguments: Mapping[str, Any] | None = None) -> None:
        """Lets a call run, from any thread.

        Args:
            call_id: Of the call.
            arguments: To call the tool with in place of those that the model gave.

        Raises:
            ApprovalError: No such call waits; the text names those that do.
        """
        self.decide(Approve(call_id, arguments))

    def reject(self, call_id: str, reason: str = "") -> None:
        """Keeps a call from being run, from any thread; the model is told.

        Args:
            call_id: Of the call.
            reason: In words, for the model.

        Raises:
            ApprovalError: No such call waits; the text names those that do.
        """
        self.decide(Reject(call_id, reason))

    def decide(self, decision: Decision) -> None:
        """Decides a call that waits.

        Raises:
            ApprovalError: No such call waits; the text names those that do.
        """
        if not self.decides(decision):
            raise not_waiting(decision.call_id, self.waiting)

    def decides(self, decision: Decision, *, ahead: bool = False) -> bool:
        """Decides a call, if it waits.

        Args:
            decision: What was decided.
            ahead: Keep it until the call waits here, if it does not yet.
        """
        with self._lock:
            waiter = self._waiting.get(decision.call_id)
            if waiter is None and ahead:
                return self._ahead.setdefault(decision.call_id, decision) is decision
        return waiter is not None and waiter.settle(decision)

    def has_decided(self, call_id: str) -> bool:
        """Whether the call was decided just now, or is to be as soon as it waits here."""
        with self._lock:
            waiter = self._waiting.get(call_id)
            return call_id in self._ahead or (waiter is not None and waiter.settled is not None)

    def take_ahead(self) -> list[Decision]:
        """What was decided ahead about calls that have not come to wait; it is forgotten here."""
        with self._lock:
            ahead, self._ahead = self._ahead, {}
        return list(ahead.values())

    def stalls(self, stream: object, stalled: bool) -> None:
        """Says of a message whether there is nothing to do in it but to wait here."""
        if not stalled:
            self.stalled.discard(stream)
            return
        self.stalled.add(stream)
        self.look()

    def look(self) -> None:
        """Calls those back who watch for what stalls: what has stalled unseen may be seen now."""
        for look in self._looking:
            look()

    def on_stall(self, look: Callable[[], object]) -> Callable[[], None]:
        """Calls back when a message stalls; gives what ends that."""
        self._looking = (*self._looking, look)

        def forget() -> None:
            self._looking = tuple(other for other in self._looking if other is not look)

        return forget

    def take_name(self, name: str) -> str:
        """The name, or one that is made of it where somebody has that; to be given back."""
        with self._lock:
            free = _free(name, self._names)
            self._names.add(free)
            return free

    def give_back(self, name: str) -> None:
        """Lets others have the name."""
        with self._lock:
            self._names.discard(name)

    def consult(self, waiter: Waiter, held: ExitStack) -> None:
        """Asks who decides about a call that waits here, until what is held is let go of."""
        if self._decide is not None and waiter.settled is None:
            consult(self._decide, waiter, held)

    def _ids(self) -> set[str]:
        with self._lock:  # those of a loop that was closed under them wait no more
            return {id for id, waiter in self._waiting.items() if not waiter.loop.is_closed()}

    def _enter(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiting[waiter.call.call_id] = waiter

    def _take_ahead(self, call_id: str) -> Decision | None:
        with self._lock:
            return self._ahead.pop(call_id, None)

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            if self._waiting.get(waiter.call.call_id) is waiter:
                del self._waiting[waiter.call.call_id]


def wait_at(
    desks: Iterable[Approvals], call: PendingCall, left: Callable[[], object], *, stored: bool
) -> tuple[Waiter, ExitStack]:
    """Lets a call wait at all the desks until what is given is closed; nobody is asked yet.

    Args:
        desks: Where.
        call: The call. Where another one of its id waits, it gets an id that is made of it.
        left: Called when nobody is being asked any more, and nobody has decided.
        stored: Whether it waited in the conversation, so that it may have been decided ahead.
    """
    held = ExitStack()
    with _entering:
        taken = set().union(*(desk._ids() for desk in desks))
        waiter = Waiter(replace(call, call_id=_free(call.call_id, taken)), left)
        for desk in desks:
            desk._enter(waiter)
            held.callback(desk._leave, waiter)
    for desk in desks if stored else ():
        ahead = desk._take_ahead(call.call_id)
        if ahead is not None:
            waiter.settle(ahead)
    return waiter, held


def approvals_of(what: str, approvals: Approvals | Decider | None) -> Approvals | None:
    """A desk of what was given for one, or None.

    Raises:
        ConfigurationError: It decides nothing.
    """
    if approvals is None or isinstance(approvals, Approvals):
        return approvals
    try:
        return Approvals(approvals)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None


def not_waiting(call_id: str, waiting: Iterable[PendingCall]) -> ApprovalError:
    """What to raise where a call is decided that does not wait."""
    return ApprovalError(f"no call {call_id!r} waits for approval; waiting: {_listed(waiting) or 'none'}")


def not_gone_on(agent: str, calls: Iterable[PendingCall]) -> ApprovalError:
    """What a run fails with that did not go on with a turn in which calls were decided."""
    return ApprovalError(
        f"what was decided about {_listed(calls)} was not done: nobody who was asked goes on with the turn "
        f"of {agent}; of a bare pipe(a, b) make a Sequence, or say something else, which makes the call void"
    )


def _listed(calls: Iterable[PendingCall]) -> str:
    return ", ".join(f"{call.call_id!r} ({call.tool} of {call.agent})" for call in calls)


def _free(call_id: str, taken: Container[str]) -> str:
    free, number = call_id, 1
    while free in taken:
        number += 1
        free = f"{call_id}.{number}"
    return free
