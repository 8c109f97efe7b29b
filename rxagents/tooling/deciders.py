"""Who decides about calls by himself: a function, or an observable of decisions."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

from reactivex import Observable

from ..engine.inlets import listen
from ..engine.loops import hop, is_on
from ..errors import ConfigurationError, InputError
from ..places import located_as
from .pending_calls import Approve, Decision, PendingCall, Reject

__all__ = ["Decider", "Waiter", "check_decider", "consult"]

Decider: TypeAlias = Callable[[PendingCall], Any] | Observable[Any]
"""Who decides by himself.

A function of the PendingCall, plain (called on the loop) or async: True, False, an Approve, a Reject, or
None, which leaves it to others. Or an observable of Approve, Reject and `(call_id, bool)`, on any thread.
"""


class Waiter:
    """A call that waits, on its loop.

    Args:
        call: The call.
        left: Called when nobody is being asked any more, and nobody has decided.

    Attributes:
        settled: What was decided, or what went wrong.
    """

    def __init__(self, call: PendingCall, left: Callable[[], object]) -> None:
        self.call = call
        self._left = left
        self._asked = 1  # by whoever has not said yet whom to ask
        self.loop = asyncio.get_running_loop()
        # an error is its result: a future takes no StopIteration for an exception
        self.answer: asyncio.Future[Decision | Exception] = self.loop.create_future()
        self._lock = threading.Lock()
        self.settled: Decision | Exception | None = None

    @property
    def waits(self) -> bool:
        """Whether it can still be decided."""
        return self.settled is None and not self.loop.is_closed()

    def settle(self, decision: Decision | Exception) -> bool:
        """Decides it, from any thread; False if that was done already."""
        with self._lock:
            if self.settled is not None:
                return False
            self.settled = decision
        if is_on(self.loop):
            self._set(decision)
            return True
        return hop(self.loop, self._set, decision)

    def asks(self) -> None:
        """Says that somebody is being asked."""
        self._asked += 1

    def has_asked(self) -> None:
        """Says that somebody was asked."""
        self._asked -= 1
        if not self._asked and self.settled is None:
            self._left()

    async def decision(self) -> Decision:
        """Waits until somebody decides.

        Raises:
            Exception: What somebody who was asked raised, located at `approvals`.
        """
        decision = await self.answer
        if isinstance(decision, Exception):
            raise decision
        return decision

    def _set(self, decision: Decision | Exception) -> None:
        if not self.answer.done():
            self.answer.set_result(decision)


def check_decider(decider: Decider | None) -> Decider | None:
    """Refuses who decides nothing."""
    if decider is not None and not isinstance(decider, Observable) and not callable(decider):
        raise ConfigurationError(
            f"approvals: {type(decider).__name__} decides nothing; give a function of the PendingCall, an "
            "observable of decisions, or an Approvals"
        )
    return decider


def consult(decider: Decider, waiter: Waiter, held: ExitStack) -> None:
    """Asks somebody about a call until what is held is let go of."""
    if isinstance(decider, Observable):
        held.enter_context(_Listening(decider, waiter))
    else:
        waiter.asks()
        asking = asyncio.ensure_future(_asked(decider, waiter))
        held.callback(asking.cancel)


class _Listening:
    """Hears decisions while a call waits."""

    def __init__(self, decisions: Observable[Any], waiter: Waiter) -> None:
        self._waiter = waiter
        self._subscription = listen(decisions, waiter.loop, self._hear, self._fail, lambda: None)

    def _hear(self, item: Any) -> None:
        decision = _decision(item)
        if decision.call_id == self._waiter.call.call_id:
            self._waiter.settle(decision)

    def _fail(self, error: Exception) -> None:
        self._waiter.settle(located_as(error, "approvals"))

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._subscription.dispose()


async def _asked(decide: Callable[[PendingCall], Any], waiter: Waiter) -> None:
    try:
        answer = decide(waiter.call)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is not None:
            waiter.settle(_decision((waiter.call.call_id, answer) if isinstance(answer, bool) else answer))
    except Exception as error:
        waiter.settle(located_as(error, "approvals"))
    waiter.has_asked()


def _decision(item: Any) -> Decision:
    if isinstance(item, Approve | Reject):
        return item
    match item:
        case (str(call_id), bool(yes)):
            return Approve(call_id) if yes else Reject(call_id)
    raise InputError(
        f"approvals: {type(item).__name__} is no decision; give True, False, an Approve or a Reject, from an "
        "observable also (call_id, True)"
    )
