"""MessageStream: a message while it is being written."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from uuid import uuid4

from pydantic_core import to_jsonable_python
from reactivex import Observable

from .assembly import assemble
from .engine.emitters import Emitter
from .engine.inlets import listen
from .engine.sinks import Sink
from .errors import InputError
from .message_kinds import PLAIN, MessageKind
from .replays import Replay
from .values import Completion, Delta, FunctionResult, Message, Role, delta

__all__ = ["MessageStream", "new_id"]


_KEYS = ["content", "function_call", "refusal", "tool_calls"]
_CALL = ("id", "function", "type", "index")
_FUNCTION = ("arguments", "name")
_NONE = type(None)
_TEXT = (str, _NONE)
_PLAIN = frozenset((str, _NONE, bool, int))


def new_id() -> str:
    """An id that no other item has, in no process."""
    return uuid4().hex


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
    """

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
            whole: Any = item if _in_order(item) else _put_in_order(item)
            self._append(whole)
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
        said = self.assembled()
        try:
            made = self.kind.part(said) if self.interrupted or self.error else self.kind.made(said)
        except Exception:
            # the stream fails with it, and keeps what was said
            self.result = self.kind.kept(said.model_copy(update={"finish_reason": "error"}))
            raise
        self.result = made if self.parsed is None else made.with_parsed(self.parsed)

    def __repr__(self) -> str:
        state = "interrupted" if self.interrupted else "failed" if self.error else "ended"
        return f"<MessageStream of {self.name or self.role}, {state if self.ended else 'open'}>"


def _ignore(_: object) -> None:
    pass


def _in_order(item: dict[str, Any]) -> bool:
    """Whether a dict can be shown as it is. Asked for every token, so what is most common comes first."""
    keys = [*item]
    if keys == _KEYS:
        content, function_call, refusal, calls = item.values()
        if content.__class__ is str and function_call is refusal is calls is None:
            return True
    elif keys[:4] == _KEYS and _has_plain_extras(item):
        content, function_call, refusal, calls, *_ = item.values()
    else:
        return False
    if calls is not None and not (calls.__class__ is list and all(map(_is_call_in_order, calls))):
        return False
    return function_call is None and content.__class__ in _TEXT and refusal.__class__ in _TEXT


def _has_plain_extras(item: dict[str, Any]) -> bool:
    # reasoning comes token by token under a key of its own, and is text
    extras = [key for key in item if key not in _KEYS]
    return all(key.__class__ is str and key != "role" and item[key].__class__ in _PLAIN for key in extras)


def _is_call_in_order(call: Any) -> bool:
    if call.__class__ is not dict or tuple(call) != _CALL:
        return False
    id, function, kind, index = call.values()
    if function.__class__ is not dict or tuple(function) != _FUNCTION:
        return False
    texts = (id, kind, *function.values())
    return index.__class__ in (int, _NONE) and all(text.__class__ in _TEXT for text in texts)


def _put_in_order(partial: dict[str, Any]) -> dict[str, Any]:
    """A Delta of what a model gave; the role is the message's, and is known already."""
    calls = _checked((list, tuple), partial.get("tool_calls"), "tool_calls")
    whole: dict[str, Any] = {
        "content": _checked(str, partial.get("content"), "content"),
        "function_call": _jsonable(_checked(dict, partial.get("function_call"), "function_call")),
        "refusal": _checked(str, partial.get("refusal"), "refusal"),
        "tool_calls": None if calls is None else [_call(call) for call in calls if call is not None],
    }
    extras = {key: value for key, value in partial.items() if key not in _KEYS and key != "role"}
    return {**whole, **_jsonable(extras)} if extras else whole


def _call(given: object) -> dict[str, Any]:
    call: dict[str, Any] = _checked(dict, given, "entry of tool_calls")
    function = _checked(dict, call.get("function"), "function of a tool call") or {}
    whole = {
        "id": _checked(str, call.get("id"), "id of a tool call"),
        "function": {key: _checked(str, function.get(key), f"{key} of a tool call") for key in _FUNCTION},
        "type": _checked(str, call.get("type"), "type of a tool call"),
        "index": _checked(int, call.get("index"), "index of a tool call"),
    }
    extras = {key: value for key, value in call.items() if key not in _CALL}
    return {**whole, **_jsonable(extras)} if extras else whole


def _checked(kind: type | tuple[type, ...], value: Any, name: str) -> Any:
    if value is None or isinstance(value, kind):
        return value
    wanted = kind[0] if isinstance(kind, tuple) else kind
    raise InputError(f"the {name} of a delta is {type(value).__name__}; it must be {wanted.__name__} or None")


def _jsonable(value: Any) -> Any:
    try:
        return to_jsonable_python(value, fallback=str)
    except ValueError as error:
        raise InputError(f"what a delta carries cannot be written as JSON: {error}") from error
