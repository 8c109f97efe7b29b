"""coalesced: tokens that came while the reader was busy are joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable

from ..engine.emitters import Emitter
from ..engine.sinks import Sink
from ._live import LiveView
from ._marks import Mark

__all__ = ["coalesced"]

T = TypeVar("T")


def coalesced() -> Callable[[Observable[T]], Observable[T]]:
    """Joins the tokens that came while the reader was busy, so that a slow one lags by no more than one step.

    Strings, as of `text()`, are joined; so are deltas of nothing but content, as of one message or
    `deltas()`, and `delta` markers of the same message. Everything else passes, in its order, one for each
    time that the reader asks. Nothing is lost.

    For anything that is read by an iterator, such as `async for` over it; who subscribes is never behind,
    and is told everything. The source is read at full speed. Completes, or fails, with the source, after all
    that came. Here the reader is busy for five frames with each.

    ```
    tokens   a-b-c-d-e------|
    joined   a----bc---de---|
    ```
    """
    return lambda source: Emitter(lambda sink: _Coalesced(sink, source))


class _Coalesced(LiveView):
    def __init__(self, sink: Sink[Any], source: Observable[Any]) -> None:
        self._waiting: deque[_Joined] = deque()
        super().__init__(sink, source)

    def take(self, item: Any) -> None:
        if not self._waiting and self._is_awaited:
            self._sink.on_next(item)
            return
        text = _text_of(item)
        if text is not None and self._waiting and self._waiting[-1].goes_on_with(item):
            self._waiting[-1].texts.append(text)
        else:
            self._waiting.append(_Joined(item, text))

    def hand_on(self) -> None:
        if self._waiting:
            self._sink.on_next(self._waiting.popleft().item())

    def hand_on_all(self) -> None:
        while self._waiting:
            self.hand_on()


class _Joined:
    """One item, and the texts of those that are joined to it."""

    __slots__ = ("_first", "texts")

    def __init__(self, first: Any, text: str | None) -> None:
        self._first = first
        self.texts: list[str] = [] if text is None else [text]

    def goes_on_with(self, item: Any) -> bool:
        """Whether an item of nothing but text is of the same kind, and of the same message."""
        first = self._first
        same = bool(self.texts) and type(item) is type(first)
        return same and (not isinstance(item, tuple) or item[0] is first[0])

    def item(self) -> Any:
        """All of it."""
        if len(self.texts) < 2:
            return self._first
        text = "".join(self.texts)
        if isinstance(self._first, str):
            return text
        if isinstance(self._first, tuple):
            mark, delta = self._first
            return (mark, {**delta, "content": text})
        return {**self._first, "content": text}


def _text_of(item: Any) -> str | None:
    """The text of what is nothing but text."""
    if type(item) is tuple and len(item) == 2 and isinstance(item[0], Mark) and item[0] == "delta":
        item = item[1]
    if type(item) is str:
        return item
    if type(item) is dict and len(item) == 4:
        content, *others = (item.get(key) for key in ("content", "function_call", "refusal", "tool_calls"))
        if others == [None, None, None] and (content is None or type(content) is str):
            return content or ""
    return None
