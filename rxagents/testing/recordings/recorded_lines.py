"""The lines of a recording, read one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from ...llm.requests import LLMConstraints
from ...recording.journal_values import completion_from, delta_from
from ...recording.journals import HEADER
from ..lane_sheets import LaneSheet
from ..lanes import Lane, Returned, moment, state_mark
from .exchanges import End, Exchange, recorded_error

__all__ = ["BrokenLineError", "RecordedLines"]


class BrokenLineError(Exception):
    """This is no line of a recording; the text says why."""


@dataclass(slots=True)
class _Asked:
    """A request while its lines are read."""

    at: float
    line: dict[str, Any]
    answer: list[tuple[float, Any]] = field(default_factory=list)
    last: float = 0.0
    end: dict[str, Any] = field(default_factory=dict)

    def exchange(self, number: int) -> Exchange:
        return Exchange(
            number,
            self.at,
            self.line["body"],
            self.line.get("agent"),
            LLMConstraints(**self.line.get("constraints", {})),
            tuple(self.answer),
            self.end.get("how"),
            self.last,
            self.end.get("error"),
        )


class RecordedLines:
    """Reads the lines of one recording, in their order."""

    def __init__(self) -> None:
        self._begun = False
        self._root = LaneSheet()
        self._sheets: dict[int, LaneSheet] = {}
        self._asked: dict[int, _Asked] = {}

    def read(self, line: Any) -> None:
        """Takes in the next line.

        Raises:
            BrokenLineError: It is no line of a recording.
        """
        if not isinstance(line, dict):
            raise BrokenLineError(f"a line is a JSON object, not {type(line).__name__}")
        if not self._begun:
            self._begin(line)
            return
        kind = line.get("is")
        read = _READ.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise BrokenLineError(f"there are no lines of the kind {kind!r}")
        try:
            read(self, moment(line["at"]), line["id"], line)
        except KeyError as error:
            raise BrokenLineError(f"a line of the kind {kind!r} needs {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise BrokenLineError(f"this is no line of the kind {kind!r}: {error}") from None

    def _begin(self, line: dict[str, Any]) -> None:
        if line.get("rxagents") != HEADER["rxagents"]:
            raise BrokenLineError(f"a recording of rxagents begins with {HEADER}")
        if line.get("version") != HEADER["version"]:
            raise BrokenLineError(
                f"the recording has version {line.get('version')!r}, and this rxagents reads "
                f"{HEADER['version']}"
            )
        self._begun = True

    def lane(self) -> Lane:
        """All of it as lanes."""
        return self._root.lane()

    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests, in the order in which they were asked."""
        return tuple(asked.exchange(number) for number, asked in enumerate(self._asked.values(), 1))

    def _run(self, at: float, id: int, line: dict[str, Any]) -> None:
        self._open(at, id, self._root, LaneSheet(detail={"id": id, "askable": line.get("askable")}))

    def _block(self, at: float, id: int, line: dict[str, Any]) -> None:
        inner = LaneSheet(line["name"], {"id": id, "entry": line.get("entry", "append")})
        self._open(at, id, self._sheet(line["in"]), inner)

    def _message(self, at: float, id: int, line: dict[str, Any]) -> None:
        inner = LaneSheet(detail={"id": id, "role": line["role"], "name": line.get("name")})
        self._open(at, id, self._sheet(line["in"]), inner)

    def _request(self, at: float, id: int, line: dict[str, Any]) -> None:
        if not isinstance(line["body"], dict):
            raise TypeError(f"its body is {type(line['body']).__name__}")
        self._asked[id] = asked = _Asked(at, line)
        asked.exchange(0)
        if line.get("in") is None:
            inner = LaneSheet(detail={"id": id, "role": "assistant", "name": line.get("agent")})
            self._open(at, id, self._root, inner)

    def _delta(self, at: float, id: int, line: dict[str, Any]) -> None:
        delta = delta_from(line["delta"])
        self._answered(at, id, delta)
        if id in self._sheets:
            self._sheets[id].delta(at, delta)

    def _completion(self, at: float, id: int, line: dict[str, Any]) -> None:
        self._answered(at, id, completion_from(line))

    def _result(self, at: float, id: int, line: dict[str, Any]) -> None:
        returned = Returned(line.get("text") or "", line["name"], line.get("call") or "")
        self._sheet(id).result(at, returned)

    def _state(self, at: float, id: int, line: dict[str, Any]) -> None:
        data = line.get("data") or {}
        self._sheet(id).add(at, "state", state_mark(line["kind"], data), dict(data))

    def _end(self, at: float, id: int, line: dict[str, Any]) -> None:
        if line["how"] not in get_args(End):
            raise ValueError(f"nothing ends as {line['how']!r}")
        error = recorded_error(line["error"]) if line["how"] == "error" else None
        if id in self._asked:
            self._asked[id].end = line
            self._asked[id].last = moment(at - self._asked[id].at)
            if id not in self._sheets:
                return
        result = {key: line[key] for key in ("result", "usage") if key in line}
        self._sheet(id).add(at, line["how"], error, line.get("message") or result or None)

    def _open(self, at: float, id: int, outer: LaneSheet, inner: LaneSheet) -> None:
        self._sheets[id] = inner
        outer.open(at, inner)

    def _sheet(self, id: int) -> LaneSheet:
        if id not in self._sheets:
            raise ValueError(f"nothing with the id {id!r} has begun")
        return self._sheets[id]

    def _answered(self, at: float, id: int, item: Any) -> None:
        asked = self._asked.get(id)
        if asked is not None:
            asked.last = moment(at - asked.at)
            asked.answer.append((asked.last, item))
        else:
            self._sheet(id)


_READ = {
    "run": RecordedLines._run,
    "block": RecordedLines._block,
    "message": RecordedLines._message,
    "request": RecordedLines._request,
    "delta": RecordedLines._delta,
    "completion": RecordedLines._completion,
    "result": RecordedLines._result,
    "state": RecordedLines._state,
    "end": RecordedLines._end,
}
