"""Run: one run of a workflow, hot, and its result."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

from reactivex import Observable, abc

from .conversations import Conversation
from .engine.demands import demanded_by
from .engine.loops import hop, is_on, retain, shared_loop
from .engine.sinks import Sink
from .operators import Marker, Shared, answer, markers
from .operators._serialized import written
from .participants import until_ended
from .replays import Replay
from .transcripts import Item, Transcript
from .values import Message, Usage
from .walks import last_message

__all__ = ["Run", "RunResult"]


class RunResult(str):
    """How a run ended: a string equal to the result code, with what came of it.

    Attributes:
        message: The last outermost message, as `answer()` gives it, or None if nobody answered.
        text: Its text, or "".
        usage: The tokens that all model calls of the run took.
        error: What the run failed with, or None.
    """

    message: Message | None
    text: str
    usage: Usage
    error: Exception | None

    def __new__(
        cls,
        code: str,
        *,
        message: Message | None = None,
        usage: Usage | None = None,
        error: Exception | None = None,
    ) -> RunResult:
        result = super().__new__(cls, code)
        result.message = message
        result.text = message.text if message is not None else ""
        result.usage = usage or Usage()
        result.error = error
        return result


class Run(Shared):
    """One run of a workflow: a replay of its items that runs by itself, to be read at any time.

    Emits what its conversation was before, if it was anything, as one Transcript, then the inputs
    and what came of them: replaying its items gives its conversation again. `markers()` are its
    output, `await run` its result, `dispose()` cancels it.

    ```
    llm       ------Hello---|
    run       (m1 bot)------|
    m1        (q|)
    bot       m2------------|
    m2        ------Hello---|
    markers   start-delta---(response end result|)
    ```

    Args:
        source: An observable of items.
        conversation: Told of every item; has its messages as they end.

    Attributes:
        result: How it ended; None until then.
    """

    def __init__(self, source: Observable[Item], conversation: Conversation) -> None:
        super().__init__(source)
        self._conversation = conversation
        before = conversation.transcript
        if len(before) or before.variables or before.usage or before.log:
            self._items.append(before)
        self._asked = len(self._items)
        self._disposed = False
        self._waits = False
        self._reader_left: Callable[[], bool] = _stays
        self.result: RunResult | None = None

    def markers(self, *, state: bool = False, inputs: bool = False) -> Observable[Marker]:
        """The run as `(mark, content)` tuples, from its beginning; see `rxagents.operators.markers`."""
        return self.pipe(markers(state=state, inputs=inputs))

    def write(self, sink: Sink[Marker], state: bool) -> abc.DisposableBase:
        """Its markers, for a subscription that has begun; gives what ends that."""
        return written(self, sink, state=state, inputs=False)

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

    def begin(self, *, keep_running: bool = True) -> None:
        """Starts it; the program does not end before it has ended.

        Args:
            keep_running: Whether it runs on when its last reader has left, and waits for none of them.
        """
        self._kept = keep_running
        self._on_loop(self._begin)

    def _begin(self) -> None:
        release = retain(self._bound_loop())
        self.on_end(lambda _: release())
        with demanded_by(None):
            if self._kept:
                self._count_hold()
            self._start()

    def _abandon(self) -> None:
        self._interrupt()  # so that the conversation has what was said till then

    @property
    def transcript(self) -> Transcript:
        """What its conversation has come to."""
        return self._conversation.transcript

    def asked(self) -> None:
        """Says that the inputs are in: what comes now is what they came to."""
        self._asked = self.length

    async def told(self) -> None:
        """Waits until all coroutines have ended that `on_message` has called with its messages."""
        if self._conversation.tells:
            await self.said()
            await self._conversation.told()

    async def said(self) -> None:
        """Waits until all that it has emitted so far has ended, however it ends."""
        for item in self.items:
            if isinstance(item, Replay):
                with contextlib.suppress(Exception):  # the run fails with it by itself
                    await until_ended(item)

    def read_by(self, has_left: Callable[[], bool]) -> None:
        """Says how to see, from any thread, whether its only reader has left it."""
        self._reader_left = has_left

    @property
    def left(self) -> bool:
        """Whether it was disposed, or its only reader has left: it ends as soon as its loop comes to it."""
        return self._disposed or self._reader_left()

    def dispose(self) -> None:
        """Cancels: what is open ends as interrupted, and keeps what had arrived. From any thread."""
        self._disposed = True
        self.interrupt()

    def wait_no_longer(self) -> None:
        """Ends it, as waiting for approval: what is open is cut, to be gone on with by another run."""
        self._waits = True
        self.interrupt()

    @property
    def code(self) -> str:
        code = super().code
        return "waiting" if self._waits and code == "interrupted" else code

    def end_if_left(self, timeout: float) -> None:
        """Ends it now if it was left; what it came to is in the conversation then.

        Args:
            timeout: Seconds to wait for its loop, if that is another thread's.
        """
        if not (self._kept or self.ended):
            self.await_its_loop(timeout)  # which may not have heard yet that its last reader has left
        if self.ended or not self.left:
            return
        ended = threading.Event()
        self.on_end(lambda _: ended.set())
        self.dispose()
        # the shared loop must not wait for a loop that may be waiting for it
        if not self.ended and self._bound_loop().is_running() and not is_on(shared_loop()):
            ended.wait(timeout)

    def await_its_loop(self, timeout: float) -> None:
        """Waits until its loop has done what it is at, if that is another thread's.

        Args:
            timeout: Seconds to wait at most.
        """
        loop = self._bound_loop()
        if loop.is_running() and not is_on(loop) and not is_on(shared_loop()):
            heard = threading.Event()
            hop(loop, heard.set)
            heard.wait(timeout)

    @property
    def going_on(self) -> bool:
        """Whether it has not ended yet, and its loop can still bring it to its end."""
        return not self.ended and not self._bound_loop().is_closed()

    def _append(self, item: Item) -> None:
        self._conversation.follow(item, driven=True)
        super()._append(item)

    def _settle(self) -> None:
        came = [item for item in self._items[self._asked :] if not isinstance(item, Transcript)]
        transcript = Transcript().fold_all(came)
        self.result = RunResult(
            self.code,
            message=last_message(came),
            usage=transcript.usage,
            error=self.error,
        )
        # the conversation takes its messages over, and need not follow the run's items any more
        _ = self._conversation.transcript


def _stays() -> bool:
    return False
