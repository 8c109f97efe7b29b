"""Run: one run of a workflow, hot, and its result."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from reactivex import Observable

from .blocks import Block
from .conversations import Conversation
from .operators import Marker, Shared, answer, markers
from .participants import until_ended
from .transcripts import Item
from .values import Message, Usage

__all__ = ["Run", "RunResult"]


class RunResult(str):
    """How a run ended: a string equal to the result code, with what came of it.

    Attributes:
        message: The last message, or None if nobody answered.
        text: Its text, or "".
        usage: The tokens that all model calls of the run took.
        error: What the run failed with, or None.
    """

    message: Message | None
    text: str
    usage: Usage
    error: Exception | None

    def __new__(
        cls, code: str, *, message: Message | None, usage: Usage, error: Exception | None
    ) -> RunResult:
        result = super().__new__(cls, code)
        result.message = message
        result.text = message.text if message is not None else ""
        result.usage = usage
        result.error = error
        return result


class Run(Shared):
    """One run of a workflow: a replay of its items that runs by itself, to be read at any time.

    Emits the inputs and what came of them. `markers()` are its output, `await run` its result,
    `dispose()` cancels it.

    ```
    run       --(q B)------|
    markers   --(start delta)-delta-(response end result|)
    ```

    Args:
        source: An observable of items.
        conversation: Told of every item; has its messages as they end.
    """

    def __init__(self, source: Observable[Item], conversation: Conversation) -> None:
        super().__init__(source)
        self._conversation = conversation
        before = conversation.transcript
        self._spent = before.usage
        self._said = len(before)
        self.result: RunResult | None = None

    def markers(self, *, state: bool = False, inputs: bool = False) -> Observable[Marker]:
        """The run as `(mark, content)` tuples, from its beginning; see `rxagents.operators.markers`."""
        return self.pipe(markers(state=state, inputs=inputs))

    def answer(self) -> Observable[Message]:
        """The run's last message, once it has ended."""
        return self.pipe(answer())

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self._whole().__await__()

    async def _whole(self) -> RunResult:
        hold = self.hold()
        try:
            await until_ended(self)
        except Exception:
            if self.result is None:
                raise
        finally:
            hold.dispose()
        assert self.result is not None
        return self.result

    def _append(self, item: Item) -> None:
        self._conversation.follow(item)
        super()._append(item)

    def _settle(self) -> None:
        transcript = self._conversation.transcript
        spoken = [message for message in transcript[self._said :] if message.role == "assistant"]
        self.result = RunResult(
            self._code(),
            message=spoken[-1] if spoken else None,
            usage=_difference(transcript.usage, self._spent),
            error=self.error,
        )

    def _code(self) -> str:
        if self.error is not None:
            return "agent-error"
        if self.interrupted or any(isinstance(item, Block) and item.interrupted for item in self._items):
            return "interrupted"
        if self.stop is not None:
            return "agent-stop"
        blocks = [item for item in self._items if isinstance(item, Block)]
        return (blocks[-1].outcome if blocks else None) or "done"


def _difference(after: Usage, before: Usage) -> Usage:
    return Usage(
        completion_tokens=after.completion_tokens - before.completion_tokens,
        prompt_tokens=after.prompt_tokens - before.prompt_tokens,
        total_tokens=after.total_tokens - before.total_tokens,
    )
