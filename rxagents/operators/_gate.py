"""gate: nothing is shown, nor heard by the next, before a check has passed it."""

from __future__ import annotations

from typing import Any

from reactivex import Observable

from ..engine.emitters import Emitter
from ..engine.sinks import Sink
from ..gates.checking import Check
from ..gates.keeping import Keeper
from ..gates.rules import BLOCKED, OnFail, Rule, rule
from ..gates.windows import Window
from ..state_updates import StateUpdate
from ..streams import MessageStream
from ._twins import Operator, Twin, on_messages, replaced

__all__ = ["gate", "kept"]


def gate(
    check: Check,
    *,
    window: Window = "sentence",
    on_fail: OnFail = "cut",
    replacement: str = BLOCKED,
    retries: int = 2,
    name: str | None = None,
) -> Operator:
    """Holds the words of every message back until a check has passed them, window by window.

    What has not passed is not shown, is no part of the conversation, and the next agent does not hear
    it. The windows are checked in their order; what comes meanwhile waits, and so does what is no text
    (reasoning, tool calls and their results, refusals): it is not checked, but overtakes nothing. Text
    that leads to a tool call is a window's end. Messages of the user and the system pass as they are.
    Around a team, its members hear each other as they speak: what one must not hear of another takes a
    gate around that one; so does what an agent answers as a tool.

    When the check gives something falsy, or raises, the gate trips: the message, and the response of
    its model, is cut. A shown StateUpdate of the kind `guard` says so, and the log. Why, it tells of a
    GuardError that the check raised; of any other error only the kind, as its words may quote what was
    not to be shown (where it was raised is logged). Then, by `on_fail`:

    - `"cut"`: the message ends with what had passed, and the finish reason `content_filter`.
    - `"replace"`: its content is the replacement; what had been shown is void (a `restart` delta).
    - `"retry"`: its agent takes the turn again, tools and all, and the message goes on with what that
      says; what had been shown is void. After so many retries it is cut, and so is what no Agent says.
      To ask only the model again, put `rxagents.llm.gated` around it.

    ```
    m      --Hi.--_Oh,-damn_it.-_Bye.|
    safe   -------Hi.-----------|
    ```

    Args:
        check: Called with a `Gated`: the text of the message so far, a str, and in its attribute `window`
            the part that waits. Truthy passes, but no words: a model's "no" is neither. Plain, or async:
            so it may ask a model.
        window: `"sentence"`, a number of tokens, or the `"whole"` message.
        on_fail: What becomes of a message that does not pass.
        replacement: The words in its place.
        retries: How often the turn is taken again, 1 or more.
        name: Of the gate, in what it reports; by default the check's.

    Raises:
        ConfigurationError: An argument is of no use.
    """
    return kept(rule("gate", check, window, on_fail, replacement, retries, name))


def kept(rule: Rule) -> Operator:
    """The operator that keeps every message to a rule."""
    return on_messages(lambda stream: _Kept(stream, rule))


class _Kept(Twin):
    """A message of which only that is said which the rule lets pass."""

    def __init__(self, original: MessageStream, rule: Rule) -> None:
        super().__init__(original, Emitter(self._begin))
        self._rule = rule
        self._has_tripped = False

    def _begin(self, sink: Sink[Any]) -> Keeper:
        original, again = self.original, self._said_anew
        return Keeper(sink, self._whole_of(original), self._rule, original.name, self._tell, again)

    def _whole_of(self, original: MessageStream) -> Observable[Any]:
        """The original; when all of it has passed, this one ends as it did."""

        def start(sink: Sink[Any]) -> Any:
            def on_error(error: Exception) -> None:
                sink.on_error(replaced(error, original))

            return original.subscribe(sink.on_next, on_error, sink.on_completed)

        return Emitter(start)

    def _complete(self) -> None:
        if self.original.interrupted and not self._has_tripped:
            self.interrupt()
        super()._complete()

    def _said_anew(self) -> Observable[Any] | None:
        self.original.is_void = True
        return self.again()

    def _tell(self, update: StateUpdate) -> None:
        if update.kind == "guard":
            self._has_tripped = self.original.is_void = True
        self.beside(update)

    def _settle(self) -> None:
        super()._settle()
        if self._has_tripped and self.result is not None:
            self.parsed = None  # of words that were not said
            self.result = self.result.with_parsed(None)
