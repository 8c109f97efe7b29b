"""shared: one run of a pipeline for all its readers."""

from __future__ import annotations

import asyncio
from typing import Any

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rxagents import Agent, MessageStream, say
from rxagents.operators import markers, shared, text
from rxagents.testing import virtual
from rxagents.testing.timelines import END, timeline


def marbles(diagram: str, **lookup: Any) -> Observable[Any]:
    return rx.from_marbles(diagram, timespan=1.0, lookup=lookup)


def counted(diagram: str, log: list[str]) -> Observable[Any]:
    begun = rx.defer(lambda _: log.append("begun") or marbles(diagram))  # type: ignore[func-returns-value]
    return begun.pipe(ops.finally_action(lambda: log.append("gone")))


def test_a_late_reader_replays_and_goes_on_as_the_diagram_draws_it() -> None:
    m, n = MessageStream(rx.of("x")), MessageStream(rx.of("y"))
    run = marbles("--m--n--|", m=m, n=n).pipe(shared())
    late = rx.timer(6.0).pipe(ops.flat_map(lambda _: run), ops.map(lambda item: ("late", item)))
    entries = timeline(rx.merge(run, late))
    assert entries == [(2, m), (5, n), (6, ("late", m)), (6, ("late", n)), (8, END)]


def test_it_runs_once_however_many_read_it_at_once_and_after_the_end() -> None:
    log: list[str] = []
    run = say("q").pipe(Agent("a", lambda request: counted("-a-b|", log)), shared())
    both = timeline(rx.merge(run.pipe(text()), run.pipe(text())))
    assert both == [(1, "a"), (1, "a"), (3, "b"), (3, "b"), (4, END)]
    assert timeline(run.pipe(text())) == [(0, "a"), (0, "b"), (0, END)]
    assert log == ["begun", "gone"]


def test_nothing_runs_before_the_first_reader() -> None:
    log: list[str] = []
    say("q").pipe(Agent("a", lambda request: counted("-a|", log)), shared())
    assert log == []


def test_the_last_reader_that_leaves_does_not_cancel_it() -> None:
    log: list[str] = []
    run = say("q").pipe(Agent("a", lambda request: counted("-a-b-c|", log)), shared())
    leaving = run.pipe(text(), ops.take(1))
    back = rx.timer(5.0).pipe(ops.flat_map(lambda _: run.pipe(text())))
    entries = timeline(rx.merge(leaving, back))
    assert entries == [(1, "a"), (5, "a"), (5, "b"), (5, "c"), (6, END)]
    assert log == ["begun", "gone"]


def test_dispose_cancels_it_for_all_and_keeps_what_had_come() -> None:
    log: list[str] = []
    run = say("q").pipe(Agent("a", lambda request: counted("-a-b-c|", log)), shared())
    stop = rx.timer(3.5).pipe(ops.do_action(lambda _: run.dispose()), ops.filter(lambda _: False))
    entries = timeline(rx.merge(run.pipe(text()), run.pipe(markers()), stop))
    assert entries[-1] == (3.5, END)
    marks = [(at, str(item[0])) for at, item in entries[:-1] if isinstance(item, tuple)]
    assert marks[-3:] == [(3.5, "interrupted"), (3.5, "end"), (3.5, "result")]
    assert log == ["begun", "gone"]
    assert timeline(run.pipe(text())) == [(0, "a"), (0, "b"), (0, END)]


def test_a_shared_that_was_disposed_before_it_began_never_runs() -> None:
    log: list[str] = []
    run = say("q").pipe(Agent("a", lambda request: counted("-a|", log)), shared())

    @virtual
    async def dispose() -> None:
        run.dispose()

    dispose()
    assert timeline(run.pipe(text())) == [(0, END)]
    assert log == []


@virtual
async def test_begin_runs_it_without_a_reader() -> None:
    log: list[str] = []
    run = say("q").pipe(Agent("a", lambda request: counted("-a-b|", log)), shared())
    run.begin()
    await asyncio.sleep(5)
    assert log == ["begun", "gone"]
    assert run.ended
    assert not run.interrupted


def test_an_error_comes_to_all_readers() -> None:
    error = ValueError("no")
    run = say("q").pipe(Agent("a", lambda request: rx.throw(error)), shared())
    for _ in range(2):
        assert timeline(run.pipe(text())) == [(0, error)]
    assert error.__notes__ == ["in a"]
