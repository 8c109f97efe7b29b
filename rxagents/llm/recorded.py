"""record: a model that passes through, and writes down what it was asked and what it answered."""

from __future__ import annotations

import os
from typing import Any, Self

from reactivex import Observable, abc

from ..errors import ConfigurationError
from ..recording.journal_values import completion_data, delta_data, error_data
from ..recording.journals import Journal, Timekeeper, timekeeper
from ..recording.redaction import Redact, Redaction
from ..values import Completion
from .listening import How, noted
from .requests import LLM, ChatRequest, LLMConstraints

__all__ = ["RecordedLLM", "record"]

_CAN_ALL = LLMConstraints()


class RecordedLLM:
    """A model that passes through and is written down; `record` and `Workflow.record` make it.

    Args:
        llm: The model.
        journal: Where to write to.
        redaction: What is taken out.
        within: The run that its requests belong to.

    Attributes:
        llm: The model.
        constraints: What the model cannot do.
    """

    def __init__(self, llm: LLM, journal: Journal, redaction: Redaction, within: int | None = None) -> None:
        self.llm = llm
        self.constraints: LLMConstraints = getattr(llm, "constraints", _CAN_ALL)
        self._journal = journal
        self._redaction = redaction
        self._within = within
        redaction.meet(llm)

    def __call__(self, request: ChatRequest, /) -> Observable[Any]:
        def begin(clock: abc.SchedulerBase | None) -> _Call | None:
            return None if self._journal.closed else _Call(self, request, timekeeper(clock))

        return noted(self.llm, request, begin)

    def dispose(self) -> None:
        """Ends the recording: what is asked from now on passes through unwritten."""
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def __repr__(self) -> str:
        return f"record({self.llm!r}, {self._journal.path!r})"


class _Call:
    """One request and its answer, while it is written."""

    def __init__(self, recorded: RecordedLLM, request: ChatRequest, time: Timekeeper) -> None:
        self._journal = recorded._journal
        self._redaction = recorded._redaction
        self._time = time
        self.ended = False
        body = self._redaction.body(request.body())
        self._id = self._journal.new_id()
        constraints = None if recorded.constraints == _CAN_ALL else recorded.constraints._asdict()
        self._write(
            "request", within=recorded._within, agent=request.agent, body=body, constraints=constraints
        )

    def _write(self, what: str, **fields: Any) -> None:
        self._journal.write(self._time, what, self._id, **fields)

    def item(self, item: Any) -> None:
        if self.ended:
            return
        if isinstance(item, Completion):
            self._write("completion", **completion_data(item))
        elif isinstance(item, str | dict):
            self._write("delta", delta=self._redaction.said(delta_data(item)))

    def end(self, how: How, error: Exception | None = None) -> None:
        if not self.ended:
            self.ended = True
            redaction = self._redaction
            said = None if error is None else error_data(error, redaction.text, redaction.value)
            self._write("end", how=how, error=said)


def record(llm: LLM, path: str | os.PathLike[str], *, redact: Redact | None = None) -> RecordedLLM:
    """A model that passes through and writes each request with its answer, as they come, to a file.

    The file is one of JSON lines, see `rxagents.recording.journals`; `rxagents.testing.replay` answers
    from it and `rxagents.testing.read_recording` reads it. It is begun anew with the first request;
    models that are recorded to one path at the same time share it. It holds no header and no key, see
    `rxagents.recording.redaction`.

    Args:
        llm: The model.
        path: Of the file.
        redact: Takes out more: called with the JSON-able body of each request, a copy, it returns the
            body to write. What it raises fails the request.

    Returns:
        A model with the same `constraints`. Each subscription is a request of its own. `dispose()`,
        or the end of a `with` block, ends the recording; until then what is asked is written.

    Raises:
        ConfigurationError: Nothing can be written there, or an argument is of no use.
    """
    if not callable(llm):
        raise ConfigurationError(f"`llm` is a {type(llm).__name__}; give a model, such as OpenAILLM(...)")
    redaction = Redaction(redact)
    return RecordedLLM(llm, Journal(path), redaction)
