"""MessageStream: a message while it is being written."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from random import Random
from typing import Any

from reactivex import Observable

from .assembly import assemble
from .delta_forms import in_order, put_in_order
from .engine.emitters import Emitter
from .engine.inlets import listen
from .engine.sinks import Sink
from .errors import InputError
from .kept_deltas import Deltas, Kept
from .message_kinds import PLAIN, MessageKind
from .replays import Replay
from .values import Completion, Delta, FunctionResult, Message, Role, delta

__all__ = ["MessageStream", "new_id"]


# Ids are no secrets: from the system's entropy once, and not for each of them, as for a uuid.
_random = Random()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """An id that no other item has, in no process."""
    return f"{_random.getrandbits(128):032x}"


class MessageStream(Replay[Delta | FunctionResult]):
    """A message while it is being written: a replay of deltas that ends as one frozen Message.

    Emits `Delta`s, with a `FunctionResult` between them where a tool has answered. It knows its
    `id`, `name` and `role` at once. Read it as often and as late as you like: subscribe to it,
    `async for delta in stream`, or `await stream` for the Message.

    ```
    source    --Hel-lo-|
    stream    --Hel-lo-|
    message   ---------([Hello]|)
    ```

    Args:
        source: An observable of Deltas (strings count as content), with FunctionResults where tools
            answered and a Completion for each model call.
        name: The speaker, for an agent its id.
        role: The speaker's role.
        id: Of this message; made if not given.
        kind: The class of message that it ends as, with the fields that the tokens do not tell.

    Attributes:
        parsed: Set before it ends: what its content was parsed to, the `parsed` of its Message.
        result: Its Message, once it has ended.
        is_void: Whether a guard has cut it: calls of it that wait are not gone on with.
    """

    is_void = False
    _runs_ahead = True

    def __init__(
        self,
        source: Observable[Any] | None,
        *,
        name: str | None = None,
        role: Role = "assistant",
        id: str | None = None,
        kind: MessageKind = PLAIN,
    ) -> None:
        super().__init__(source)
        self.id = id or new_id()
        self.kind = kind
        self.name = name
        self.role: Role = role
        self.parsed: Any = None
        self.result: Message | None = None
        self._completions: list[Completion] = []
        self._made: tuple[Any, Message] | None = None

    @classmethod
    def of(cls, message: Message, *, id: str | None = None) -> MessageStream:
        """A finished message as a stream: one delta that carries all of it."""
        stream = cls(None, name=message.name, role=message.role, id=id, kind=MessageKind.of(message))
        calls = [{**call.model_dump(), "index": index} for index, call in enumerate(message.tool_calls)]
        parts: dict[str, Any] = (
            {"content_parts": message.content} if isinstance(message.content, list) else {}
        )
        whole = delta(message.text or None, refusal=message.refusal, tool_calls=calls or None, **parts)
        if any(whole.values()):
            stream._items = [whole]
        stream.ended = stream._started = True
        stream.result, stream.parsed = message, message.parsed
        return stream

    def speak_as(self, name: str | None) -> None:
        """Says whose words these are, where nobody has yet; ended or not makes no difference."""
        self.name = name
        if self.result is not None:
            self.result = self.result.model_copy(update={"name": name})

    @property
    def message(self) -> Observable[Message]:
        """An observable of one Message, when the stream ends; it fails as the stream fails."""

        def start(sink: Sink[Message]) -> Any:
            def complete() -> None:
                assert self.result is not None
                sink.on_next(self.result)
                sink.on_completed()

            return listen(self, sink.loop, _ignore, sink.on_error, complete)

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
            whole: Any = item if in_order(item) else put_in_order(item)
            self._append(whole)
        elif isinstance(item, str):
            self._append(str(item))
        elif isinstance(item, Completion):
            self._completions.append(item)
        elif isinstance(item, FunctionResult):
            self._append(item)
        else:
            raise InputError(
                f"a message is made of deltas and strings, but got {type(item).__name__}; "
                "emit strings, or dicts like rxagents.values.delta('text')"
            )

    def _accept_many(self, items: Sequence[Delta | FunctionResult]) -> None:
        # deltas as decoders make them, so their form needs no look
        if self.ended:
            return
        kept: Sequence[Kept] = items.kept if isinstance(items, Deltas) else items
        readers = self._readers
        if all(reader.reads_on for reader in readers):
            self._items.extend(kept)
            for reader in readers:
                reader.read()
            return
        for each in kept:
            if self.ended:  # by a reader, at the sight of the one before
                return
            self._append(each)

    def _shown(self, items: list[Any]) -> Deltas:
        return Deltas(items)

    def _shown_one(self, item: Any) -> Delta:
        return {"content": item, "function_call": None, "refusal": None, "tool_calls": None}

    def assembled(self, begun: int = 0) -> Message:
        """The Message that the items so far make, from a position on."""
        reason = "interrupted" if self.interrupted else "error" if self.error else None
        state = (begun, len(self._items), len(self._completions), reason, self.name)
        if self._made is None or self._made[0] != state:  # who has asked the model looks at it before its end
            self._made = (state, self._assembled(begun, reason))
        return self._made[1]

    def _assembled(self, begun: int, reason: str | None) -> Message:
        return assemble(
            self._items[begun:],
            self._completions,
            role=self.role,
            name=self.name,
            finish_reason=reason,
            fallback_id=f"call_{self.id[:8]}",
            offset=begun,
        )

    def _append(self, item: Any) -> None:
        self._items.append(item)
        for reader in self._readers:
            reader.read()

    @property
    def _unread(self) -> int:  # type: ignore[override]
        return len(self._items)

    def _settle(self) -> None:
        said = self.assembled()
        try:
            made = self.kind.part(said) if self.interrupted or self.error else self.kind.made(said)
        except Exception:
            # the stream fails with it, and keeps what was said
            self.result = self.kind.kept(said.model_copy(update={"finish_reason": "error"}))
            raise
        self.result = made if self.parsed is None else made.with_parsed(self.parsed)
        self._made = None

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else "failed" if self.error else "ended"
        return f"<MessageStream of {self.name or self.role}, {state if self.ended else 'open'}>"


def _ignore(_: object) -> None:
    pass
