"""MessageStream: a message while it is being written."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from uuid import uuid4

from reactivex import Observable

from .assembly import assemble
from .errors import InputError
from .inlets import listen
from .replays import Replay
from .sinks import Emitter, Sink
from .values import Completion, Delta, FunctionResult, Message, Role, delta

__all__ = ["MessageStream", "new_id"]


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
        calls = [{**call.model_dump(), "index": index} for index, call in enumerate(message.tool_calls)]
        parts: dict[str, Any] = (
            {"content_parts": message.content} if isinstance(message.content, list) else {}
        )
        whole = delta(message.text or None, refusal=message.refusal, tool_calls=calls or None, **parts)
        if any(whole.values()):
            stream._items = [whole]
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
            self._append(item if _is_whole(item) else _made_whole(item))  # type: ignore[arg-type]
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


def _ignore(_: object) -> None:
    pass


def _is_whole(item: dict[str, Any]) -> bool:
    # key by key, since this is asked for every token and sets would cost more
    wire = "content" in item and "function_call" in item and "refusal" in item and "tool_calls" in item
    return wire and "role" not in item


def _made_whole(partial: dict[str, Any]) -> Delta:
    """A Delta of what a model gave; the role is the message's, and is known already."""
    return delta(**{key: value for key, value in partial.items() if key != "role"})
