"""The measuring: each contestant in its turn, round after round: a machine that drifts drifts for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .contestants import Entry
from .processes import ChildFailed, Server, Worker, awake
from .roster import BARE, BLOCKING, DISPOSED, FAST, FLOOR, OPENAI, STEEP
from .sizes import Sizes

__all__ = ["Bench", "Row", "measured"]

_Say = Callable[[str], None]

_SLOW = 8.0  # seconds; streams that take so long are run once


@dataclass
class Row:
    """What was measured of one contestant; a number for each round, or for each request."""

    name: str
    burst: list[float] = field(default_factory=list)  # CPU µs a token
    padded: list[float] = field(default_factory=list)  # CPU µs a token
    paced: list[float] = field(default_factory=list)  # CPU µs a token
    history: list[float] = field(default_factory=list)  # CPU ms a request
    first: list[float] = field(default_factory=list)  # ms
    short: list[float] = field(default_factory=list)  # CPU ms a request of one token
    cold: list[float] = field(default_factory=list)  # ms: opening, and the first token of the first request
    importing: list[float] = field(default_factory=list)  # ms
    streams: list[dict[str, Any]] = field(default_factory=list)
    many: dict[str, Any] | None = None
    broken: list[float] = field(default_factory=list)  # ms
    cancelled: list[float] = field(default_factory=list)  # ms
    left: str = "closed"  # or "garbage", "never"
    failures: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """The rows by their names, and how busy the server was."""

    sizes: Sizes
    rows: dict[str, Row] = field(default_factory=dict)
    server: dict[str, float] = field(default_factory=dict)

    def row(self, entry: Entry) -> Row:
        return self.rows.setdefault(entry.name, Row(entry.name))


def measured(sizes: Sizes, entries: Sequence[Entry], variants: Sequence[Entry], say: _Say) -> Bench:
    """All rounds of all contestants.

    Args:
        sizes: How much.
        entries: The rows of the table.
        variants: Those of which only the cost of a token and the leaving matter.
        say: Is told what comes next.
    """
    bench = Bench(sizes)
    with ExitStack() as stack:
        server: Server = stack.enter_context(Server())
        workers = {entry: stack.enter_context(Worker(entry, server.url)) for entry in (*entries, *variants)}
        for entry, worker in workers.items():
            _tried(bench.row(entry), worker.ready)
        say(f"{sizes.burst} tokens in a burst")
        bursting = {entry: worker for entry, worker in workers.items() if entry not in (STEEP, DISPOSED)}
        _in_turn(bench, bursting, sizes.rounds, _burst)
        compared = {entry: workers[entry] for entry in (BARE, OPENAI, FAST) if entry in workers}
        _in_turn(bench, compared, sizes.rounds // 2 + 1, _padded)
        rows = {entry: worker for entry, worker in workers.items() if entry in entries}
        say("one read per token, a history, short requests")
        with awake():
            _in_turn(bench, rows, sizes.rounds // 2 + 1, _paced)
        for measure in (_history, _first):
            _in_turn(bench, rows, sizes.rounds // 2 + 1, measure)
        say("leaving")
        _in_turn(bench, {entry: workers[entry] for entry in workers if entry != BLOCKING}, 1, _leave)
        if FLOOR in workers:
            bench.server |= _busy(server, workers[FLOOR], sizes)
    with Server() as server:
        say(f"{sizes.streams} streams at once, each contestant in a new process")
        for _ in range(sizes.stream_rounds):
            for entry in entries:
                if all(each["wall"] < _SLOW for each in bench.row(entry).streams):
                    _tried(bench.row(entry), _fresh, bench, entry, server)
        for entry in (each for each in (FAST, OPENAI) if sizes.many and each in entries):
            say(f"{sizes.many} streams at once: {entry.name}")
            _tried(bench.row(entry), _many, bench, entry, server)
    return bench


def _tried(row: Row, do: Callable[..., object], *arguments: Any) -> None:
    """One that fails is left out from then on; the others go on."""
    if not row.failures:
        try:
            do(*arguments)
        except ChildFailed as error:
            row.failures.append(str(error))


_Measure = Callable[[Bench, Row, Worker], None]


def _in_turn(bench: Bench, workers: dict[Entry, Worker], rounds: int, measure: _Measure) -> None:
    for _ in range(rounds):
        for entry, worker in workers.items():
            _tried(bench.row(entry), measure, bench, bench.row(entry), worker)


def _read(worker: Worker, model: str, tokens: int, **more: Any) -> dict[str, Any]:
    told = worker.ask("read", model=model, **more)
    if told["tokens"] != tokens:
        raise ChildFailed(f"{told['tokens']} of {tokens} tokens arrived")
    return told


def _burst(bench: Bench, row: Row, worker: Worker) -> None:
    tokens = bench.sizes.burst
    if not row.burst:  # the first one warms up
        _read(worker, f"burst-{tokens}", tokens)
    row.burst.append(_read(worker, f"burst-{tokens}", tokens)["cpu"] / tokens * 1e6)


def _padded(bench: Bench, row: Row, worker: Worker) -> None:
    tokens = bench.sizes.burst
    row.padded.append(_read(worker, f"padded-{tokens}", tokens)["cpu"] / tokens * 1e6)


def _paced(bench: Bench, row: Row, worker: Worker) -> None:
    tokens = bench.sizes.paced
    told = _read(worker, f"paced-{tokens}-{bench.sizes.gap}", tokens)
    row.paced.append(told["cpu"] / tokens * 1e6)


def _history(bench: Bench, row: Row, worker: Worker) -> None:
    if not row.history:
        _read(worker, "burst-1", 1, messages=2)
    row.history.append(_read(worker, "burst-1", 1, messages=bench.sizes.messages)["cpu"] * 1e3)


def _first(bench: Bench, row: Row, worker: Worker) -> None:
    told = worker.ask("first", requests=bench.sizes.requests)
    row.first += told["ms"]
    row.short.append(told["cpu"])


def _leave(bench: Bench, row: Row, worker: Worker) -> None:
    told = worker.ask("leave", times=bench.sizes.leavings, how="break")
    row.broken = told["ms"]
    row.left = "never" if told["never"] else "garbage" if told["garbage"] else "closed"
    row.cancelled = worker.ask("leave", times=bench.sizes.leavings, how="cancel")["ms"]


def _busy(server: Server, floor: Worker, sizes: Sizes) -> dict[str, float]:
    """In a burst at full speed: what the server spends on a token, what the floor; how long that waits."""
    tokens = sizes.burst * 5
    _read(floor, f"burst-{tokens}", tokens)  # while the server makes the answer
    before = server.used()["cpu"]
    told = _read(floor, f"burst-{tokens}", tokens)
    spent = server.used()["cpu"] - before
    return {
        "server": spent / tokens * 1e6,
        "floor": told["cpu"] / tokens * 1e6,
        "waited": 1 - told["cpu"] / told["wall"],
    }


def _fresh(bench: Bench, entry: Entry, server: Server) -> None:
    """A new process: its import, its first request, and many streams at once."""
    sizes, row = bench.sizes, bench.row(entry)
    with Worker(entry, server.url) as worker:
        told = worker.ready().told
        row.importing.append(told["import"])
        row.cold.append(told["open"] + worker.ask("first", requests=1)["ms"][0])
        server.used()
        before = server.used()["cpu"]
        told = worker.ask(
            "streams",
            count=sizes.streams,
            tokens=sizes.stream_tokens,
            gap=sizes.stream_gap,
            weigh=True,
            seconds=300,
        )
        used = server.used()
        row.streams.append(told | {"busy": (used["cpu"] - before) / told["wall"], "late": used["late"]})


def _many(bench: Bench, entry: Entry, server: Server) -> None:
    with Worker(entry, server.url) as worker:
        bench.row(entry).many = worker.ask(
            "streams", count=bench.sizes.many, tokens=20, gap=200_000, seconds=300
        )
