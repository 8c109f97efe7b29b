"""Block, and what else stands beside the messages: the structure of a conversation.

A block is a named replay of items: one agent's turn, one team's run. Blocks nest, and that nesting is
the start/end structure of the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from reactivex import Observable

from .errors import ConfigurationError, InputError
from .places import placed
from .replays import Replay
from .streams import new_id
from .values import Message, Usage
from .work import defer, together

__all__ = ["Block", "Entry", "Scope", "StateUpdate"]

Entry = Literal["append", "replace_last", "aside"]


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """What changed beside the messages.

    Args:
        kind: What this is about: `usage`, `choice`, `variables`, `stop`, `result`, …
        data: JSON-able details, shown in the `state` marker beside the kind.
        variables: Context variables to set.
        usage: Tokens that belong to no message of the conversation.
        log: Entries for the log, each a JSON-able tuple.
        stop: Why the nearest Team, Sequence or Loop is to end (`scope="run"`: the whole run).
        scope: How far the stop reaches.
        shown: Whether `markers()` shows it without being asked.
        messages: That enter the conversation here. They bring no usage with them: who said them first
            was paid for it.
        drop: How many of the last messages go before those come, as far as there are any.
        id: Of this item; the fold counts no item twice.

    Raises:
        ConfigurationError: `drop` is no number of messages.
        InputError: Among the messages is something else.
    """

    kind: str = "state"
    data: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] | None = None
    usage: Usage | None = None
    log: tuple[tuple[Any, ...], ...] = ()
    stop: str | None = None
    scope: Literal["team", "run"] = "team"
    shown: bool = False
    messages: tuple[Message, ...] = ()
    drop: int = 0
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if not isinstance(self.drop, int) or self.drop < 0:
            raise ConfigurationError(f"StateUpdate: drop is {self.drop!r}; it must be a number, 0 or more")
        for message in self.messages:
            if not isinstance(message, Message):
                raise InputError(f"StateUpdate: messages holds {type(message).__name__}; give Messages")

    def to_dict(self) -> dict[str, Any]:
        """The content of the `state` marker."""
        extra: dict[str, Any] = {}
        if self.variables is not None:
            extra["variables"] = dict(self.variables)
        if self.usage is not None:
            extra["usage"] = self.usage.model_dump()
        if self.drop:
            extra["drop"] = self.drop
        if self.messages:
            extra["messages"] = [message.to_dict() for message in self.messages]
        if self.stop is not None:
            extra["stop"] = self.stop
        return {"kind": None, **self.data, **extra} | {"kind": self.kind}

    @property
    def beside(self) -> StateUpdate:
        """What is left of it where the conversation was consumed: the messages were, too."""
        return replace(self, messages=(), drop=0) if self.messages or self.drop else self


class Scope(Replay[Any]):
    """A replay of items that drives what it emits and ends when all of it has ended.

    While it runs it holds every message and block that passes. When one of them fails, it fails too,
    and interrupts first what is still open in it.
    """

    name: str | None = None
    catches_stops = False

    def __init__(self, source: Observable[Any] | None) -> None:
        super().__init__(source)
        self._open: dict[Replay[Any], None] = {}
        self._source_done = False
        self.stop: StateUpdate | None = None
        self.outcome: str | None = None

    @property
    def escaping_stop(self) -> StateUpdate | None:
        """The stop that was asked for inside and that is to end what is around as well."""
        if self.stop is not None and self.catches_stops and self.stop.scope == "team":
            return None
        return self.stop

    @property
    def code(self) -> str:
        """How it ended, as the `result` marker says it; the last word on it in the order counts."""
        if self.error is not None:
            return "agent-error"
        code, cut = "done", self.interrupted
        for item in self._items:
            if isinstance(item, StateUpdate):
                stopped = "agent-stop" if item.stop is not None else code
                code = item.data.get("result", code) if item.kind == "result" else stopped
            elif isinstance(item, Replay) and not (isinstance(item, Block) and item.entry == "aside"):
                cut = cut or item.interrupted
                if isinstance(item, Block):
                    code = "agent-stop" if item.escaping_stop else item.outcome or "done"
        return "interrupted" if cut else code

    def _append(self, item: Any) -> None:
        if not isinstance(item, Replay):
            if isinstance(item, StateUpdate):
                self._note(item)
            super()._append(item)
            return
        # held before it is shown: a reader that leaves at the first sight of it is not the last one
        item._on_loop(item._count_hold)
        super()._append(item)
        if self.ended:
            item._on_loop(item._release)
            return
        self._open[item] = None
        item.on_end(self._child_ended)
        item._on_loop(item._start)

    def _note(self, item: StateUpdate) -> None:
        if item.stop is not None:
            self.stop = item
        if item.kind == "result":
            self.outcome = item.data.get("result")

    def _child_ended(self, child: Replay[Any]) -> None:
        # deferred: the child's own readers hear its end before this one acts on it
        self._on_loop(lambda: defer(lambda: self._after_child(child)))

    def _after_child(self, child: Replay[Any]) -> None:
        if self.ended:
            return
        self._open.pop(child, None)
        if isinstance(child, Scope) and child.escaping_stop is not None:
            self.stop = child.escaping_stop
        if child.error is not None:
            # its own way here: the same error may have reached others by another
            self._fail(placed(child.error, child.places))
        elif self._source_done and not self._open:
            self._finish()

    def _complete(self) -> None:
        self._source_done = True
        if not self._open:
            self._finish()

    def _fail(self, error: Exception) -> None:
        if self.ended:
            self._finish(error)
            return
        together(lambda: self._end_all(error))

    def _end_all(self, error: Exception | None = None) -> None:
        *inner, _ = self._innermost_first()
        for replay in inner:
            replay._on_loop(partial(replay._finish, interrupted=True))
        self._finish(error, interrupted=error is None)

    def _settle(self) -> None:
        if self.error is not None:
            placed(self.error, self.places)

    def _interrupt(self) -> None:
        together(self._end_all)

    def _abandon(self) -> None:
        def leave() -> None:
            children = list(self._open)
            self._open.clear()
            self._finish(interrupted=True)
            for child in children:
                defer(partial(child._on_loop, child._release))

        together(leave)

    def _innermost_first(self) -> list[Replay[Any]]:
        # with a stack of its own: a thousand nested blocks are more than Python's
        order: list[Replay[Any]] = []
        stack: list[Replay[Any]] = [self]
        while stack:
            replay = stack.pop()
            order.append(replay)
            if isinstance(replay, Scope):
                stack.extend(child for child in replay._open if not child.ended)
        order.reverse()
        return order


class Block(Scope):
    """A named replay of items: one agent's turn, one team's run.

    Emits MessageStreams, StateUpdates and further Blocks as they begin. It completes only after
    every child it emitted has ended, and never runs unless somebody subscribes.

    Args:
        name: The id of the agent or team.
        source: An observable of items.
        entry: How it enters the conversation: `append`; `replace_last` (in place of the message
            before it); `aside` (shown, and paid for, but no part of it).
        catches_stops: Whether a stop inside ends here (a team's) or is passed on (an agent's).
    """

    def __init__(
        self,
        name: str,
        source: Observable[Any] | None,
        *,
        entry: Entry = "append",
        catches_stops: bool = False,
        id: str | None = None,
    ) -> None:
        super().__init__(source)
        self.name: str = name
        self.entry: Entry = entry
        self.catches_stops = catches_stops
        self.id = id or new_id()

    @property
    def places(self) -> tuple[str, ...]:
        return (self.name, *self.error_where)

    def __repr__(self) -> str:
        return f"<Block {self.name}, {'ended' if self.ended else 'open'}>"
