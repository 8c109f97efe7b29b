"""Recorder: writes down the runs of a workflow, and what their models are asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

from reactivex import abc

from .agents import Agent
from .blocks import Block, Scope
from .engine.emitters import Emitter
from .engine.listenings import Listening
from .engine.loops import dropped
from .engine.sinks import Sink
from .handing.agent_tools import AgentTool
from .llm.around import wear
from .llm.recorded import RecordedLLM
from .recording.journal_values import delta_data, error_data
from .recording.journals import Journal
from .recording.redaction import Redact, Redaction
from .runs import Run
from .state_updates import StateUpdate
from .streams import MessageStream
from .values import FunctionResult
from .walks import Walk, is_input

__all__ = ["Recorder"]

# Seconds; the last lines of a run are written within milliseconds, unless its loop is blocked.
_PATIENCE = 1.0


class Recorder(abc.DisposableBase):
    """Writes down each run that begins until it is disposed; `Workflow.record` makes one.

    It is one more reader of a run and changes nothing in it. As a context manager it is disposed at
    the end of the block; a run that is still going on then is written up to there.

    Args:
        path: Of the file, see `rxagents.recording.journals`.
        redact: Takes out more than keys, see `rxagents.recording.redaction`.
        on_dispose: Called with this recorder, once.

    Raises:
        ConfigurationError: Nothing can be written there, or an argument is of no use.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        redact: Redact | None = None,
        on_dispose: Callable[[Recorder], object] | None = None,
    ) -> None:
        self._redaction = Redaction(redact)
        self._journal = Journal(path)
        self._on_dispose = on_dispose
        self._readers: list[tuple[Run, Sink[None]]] = []

    def follow(self, run: Run, askable: object) -> None:
        """Writes down a run that has just begun. To be called in the task that runs it."""
        journal, redaction = self._journal, self._redaction
        if journal.closed:
            return
        id = journal.new_id()
        for llm in _models_of(askable):
            redaction.meet(llm)  # before it is asked: what is put in may hold its key

        def start(sink: Sink[None]) -> abc.DisposableBase:
            journal.write(sink.loop, "run", id, askable=getattr(askable, "id", None))
            return _Notes(journal, redaction, run, sink, id)

        wear(lambda llm: RecordedLLM(llm, journal, redaction, within=id))
        reader = Emitter(start).subscribe()
        assert isinstance(reader, Sink)
        self._readers = [*(other for other in self._readers if not other[1].stopped), (run, reader)]

    def dispose(self) -> None:
        """Ends the recording."""
        if self._journal.closed:
            return
        for run, reader in self._readers:
            if run.ended and not reader.stopped:  # whoever asked for it knows that before its readers do
                run.await_its_loop(_PATIENCE)
        self._journal.close()
        for _, reader in self._readers:
            reader.dispose()
        if self._on_dispose is not None:
            self._on_dispose(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()


class _Notes(Listening):
    """The walk's visitor; what the walk hands about is the id of a block's lane."""

    def __init__(self, journal: Journal, redaction: Redaction, run: Run, sink: Sink[None], root: int) -> None:
        super().__init__()
        self._journal = journal
        self._redaction = redaction
        self._run = run
        self._sink = sink
        self._scopes: dict[int, Scope] = {root: run}
        self.add(Walk(run, sink, self, root))

    def message(self, stream: MessageStream, frame: int) -> None:
        id = self._journal.new_id()
        self._write("message", id, within=frame, role=stream.role, name=stream.name)
        put_in = is_input(stream)
        # a hook sees whole messages only
        held_back = put_in and self._redaction.hook is not None

        def on_next(item: Any) -> None:
            if isinstance(item, FunctionResult):
                self._result(id, item)
            elif not held_back:
                data = delta_data(item)
                self._write(
                    "delta", id, delta=self._redaction.value(data) if put_in else self._redaction.said(data)
                )

        def end(error: Exception | None = None) -> None:
            result = stream.result
            message = None if result is None else self._kept(result.to_dict())
            if held_back and message is not None and message.get("content"):
                self._write("delta", id, delta={"content": str(message["content"])})
            cut = result is not None and result.finish_reason == "interrupted"
            self._end(id, error, cut, stream.error_where, message=message)

        self.listen(stream, self._sink.loop, on_next, end, end)

    def state(self, update: StateUpdate, frame: int) -> None:
        data = self._redaction.value(replace(update, messages=()).to_dict())
        if update.messages:  # what was said, which the hook is to see as such
            kept = [self._kept(message.to_dict()) for message in update.messages]
            data["messages"] = [message for message in kept if message is not None]
        self._write("state", frame, kind=update.kind, data=data)

    def enter(self, block: Block, frame: int) -> int:
        id = self._journal.new_id()
        self._scopes[id] = block
        self._write("block", id, within=frame, name=block.name, entry=block.entry)
        return id

    def leave(self, frame: int, error: Exception | None) -> None:
        scope = self._scopes.pop(frame)
        if scope is not self._run:
            self._end(frame, error, scope.interrupted, scope.error_where)
            return
        result = self._run.result
        usage = result.usage.model_dump() if result is not None and result.usage else None
        self._end(frame, error, scope.interrupted, scope.error_where, result=result, usage=usage)
        self._sink.on_completed()

    def _result(self, id: int, result: FunctionResult) -> None:
        said = {"role": "tool", "tool_call_id": result.id, "content": result.result}
        text = (self._kept(said) or {}).get("content")
        self._write("result", id, name=result.name, text=text, call=result.id)

    def _kept(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """What may be written of a message; nothing, where the hook raises: the run goes on."""
        try:
            return self._redaction.message(message)
        except Exception as raised:
            dropped(raised, "the `redact` of a recording raised, and a message was left out")
            return None

    def _end(
        self, id: int, error: Exception | None, cut: bool, where: tuple[str, ...], **fields: Any
    ) -> None:
        how = "error" if error is not None else "interrupted" if cut else "completed"
        said = None
        if error is not None:
            said = error_data(error, self._redaction.text, self._redaction.value)
            said |= {"where": list(where)} if where else {}
        self._write("end", id, how=how, error=said, **fields)

    def _write(self, what: str, id: int, **fields: Any) -> None:
        self._journal.write(self._sink.loop, what, id, **fields)


def _models_of(askable: object) -> Iterator[object]:
    """The models of an agent, or of a team and its members, and of whom they may ask, so far as is seen."""
    stack = [askable]
    seen: set[int] = set()  # they may hand over to each other
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        llm = getattr(one, "llm", None)
        if callable(llm):
            yield llm
        members = getattr(one, "members", None)
        stack.extend(members.values() if isinstance(members, Mapping) else ())
        for steps in (getattr(one, "steps", ()), getattr(one, "step", ())):
            stack.extend(steps if isinstance(steps, tuple) else ())
        if isinstance(one, Agent):
            stack.extend(handoff.target for handoff in one.handoffs)
            stack.extend(tool.participant for tool in one.toolbox if isinstance(tool, AgentTool))
