"""The nouns of the stream: MessageStream, Block, StateUpdate.

A message is a replay of its deltas; a block is a named replay of items: one agent's turn, one
team's run. Blocks nest, and that nesting is the start/end structure of the output.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from reactivex import Observable

from .assembly import assemble
from .errors import InputError, located
from .replays import Replay
from .sinks import Emitter, Sink
from .values import Completion, Delta, FunctionResult, Message, Role, Usage, delta
from .work import defer, together

__all__ = ["Block", "Entry", "MessageStream", "Scope", "StateUpdate", "new_id"]

Entry = Literal["append", "replace_last", "aside"]


def new_id() -> str:
    """An id that no other item has, in no process."""
    return uuid4().hex


class MessageStream(Replay[Delta | FunctionResult]):
    """A message while it is being written: a replay of deltas that ends as one frozen Message.

    Emits `Delta`s, with a `FunctionResult` between them where a tool has answered. It knows its
    `id`, `name` and `role` at once. Read it as often and as late as you like: subscribe to it,
    `async for delta in stream`, or `await stream` for the Message.

    ```
    source     --Hel-lo-|
    stream     --Hel-lo-|
    message    ---------(Hello|)
    ```

    Args:
        source: An observable of Deltas (strings count as content), with FunctionResults where tools
            answered and a Completion for each model call.
        name: The speaker, for an agent its id.
        role: The speaker's role.
        id: Of this message; made if not given.
    """

    def __init__(
        self,
        source: Observable[Any] | None,
        *,
        name: str | None = None,
        role: Role = "assistant",
        id: str | None = None,
    ) -> None:
        super().__init__(source)
        self.id = id or new_id()
        self.name = name
        self.role: Role = role
        self.result: Message | None = None
        self._completions: list[Completion] = []

    @classmethod
    def of(cls, message: Message, *, id: str | None = None) -> MessageStream:
        """A finished message as a stream: one delta that carries all of it."""
        stream = cls(None, name=message.name, role=message.role, id=id)
        if isinstance(message.content, list):
            stream._items = [delta(message.text or None, content_parts=message.content)]
        elif message.content or message.refusal:
            stream._items = [delta(message.content or None, refusal=message.refusal)]
        stream.ended = stream._started = True
        stream.result = message
        return stream

    @property
    def message(self) -> Observable[Message]:
        """An observable of one Message, when the stream ends; it fails as the stream fails."""

        def start(sink: Sink[Message]) -> Any:
            def complete() -> None:
                assert self.result is not None
                sink.on_next(self.result)
                sink.on_completed()

            return self.subscribe(None, sink.on_error, complete)

        return Emitter(start)

    def __await__(self) -> Generator[Any, None, Message]:  # type: ignore[override]
        return self._whole().__await__()

    async def _whole(self) -> Message:
        async for _ in self:
            pass
        assert self.result is not None
        return self.result

    def _accept(self, item: Any) -> None:
        if self.ended:
            return
        if type(item) is dict:
            self._append(item if len(item) >= 4 else delta(**item))  # type: ignore[arg-type]
        elif isinstance(item, str):
            self._append(delta(item))
        elif isinstance(item, Completion):
            self._completions.append(item)
        elif isinstance(item, FunctionResult):
            self._append(item)
        else:
            raise InputError(
                f"a message is made of deltas and strings, but got {type(item).__name__}; "
                "emit strings, or dicts like rxagents.values.delta('text')"
            )

    def assembled(self, begun: int = 0) -> Message:
        """The Message that the items so far make, from a position on."""
        reason = "interrupted" if self.interrupted else "error" if self.error else None
        return assemble(
            self.since(begun),
            self._completions,
            role=self.role,
            name=self.name,
            finish_reason=reason,
            fallback_id=f"call_{self.id[:8]}",
            offset=begun,
        )

    def _settle(self) -> None:
        self.result = self.assembled()

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else "failed" if self.error else "ended"
        return f"<MessageStream of {self.name or self.role}, {state if self.ended else 'open'}>"


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
        id: Of this item; the fold counts no item twice.
    """

    kind: str = "state"
    data: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] | None = None
    usage: Usage | None = None
    log: tuple[tuple[Any, ...], ...] = ()
    stop: str | None = None
    scope: Literal["team", "run"] = "team"
    shown: bool = False
    id: str = field(default_factory=new_id)

    def to_dict(self) -> dict[str, Any]:
        """The content of the `state` marker."""
        extra: dict[str, Any] = {}
        if self.variables is not None:
            extra["variables"] = dict(self.variables)
        if self.usage is not None:
            extra["usage"] = self.usage.model_dump()
        if self.stop is not None:
            extra["stop"] = self.stop
        return {"kind": self.kind, **self.data, **extra}


class Scope(Replay[Any]):
    """A replay of items that drives what it emits and ends when all of it has ended.

    While it runs it holds every message and block that passes. A child's failure is its own; one
    that fails interrupts its open children first.
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

    def _append(self, item: Any) -> None:
        if isinstance(item, StateUpdate):
            self._note(item)
        super()._append(item)
        if isinstance(item, Replay) and not self.ended:
            self._open[item] = None
            item.on_end(self._child_ended)
            item._on_loop(item._retain)

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
        if (
            isinstance(child, Scope)
            and child.stop
            and not (child.catches_stops and child.stop.scope == "team")
        ):
            self.stop = child.stop
        if child.error is not None:
            self._fail(child.error)
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

    def _end_all(self, error: Exception) -> None:
        for replay in self._innermost_first():
            if replay is not self:
                replay._finish(interrupted=True)
        self._finish(error)

    def _finish(self, error: Exception | None = None, *, interrupted: bool = False) -> None:
        super()._finish(error, interrupted=interrupted)
        if error is not None and error is self.error and self.name is not None:
            located(error, self.name)

    def _interrupt(self) -> None:
        def interrupt_all() -> None:
            for replay in self._innermost_first():
                replay._finish(interrupted=True)

        together(interrupt_all)

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
            before it); `aside` (shown, but no part of it).
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

    def __repr__(self) -> str:
        return f"<Block {self.name}, {'ended' if self.ended else 'open'}>"
