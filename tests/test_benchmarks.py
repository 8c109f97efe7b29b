"""The benchmark itself: its processes start, count, fail and end as they should, and its report says so."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from .benchmarks.canned_answers import HEAD, burst
from .benchmarks.contestants import Entry
from .benchmarks.contestants.floor import Floor, undone
from .benchmarks.contestants.workflow import opened
from .benchmarks.measurements import leave, read
from .benchmarks.processes import ChildFailed, Server, Worker
from .benchmarks.roster import FLOOR
from .benchmarks.rounds import Bench, measured
from .benchmarks.sizes import TINY
from .benchmarks.tables import results, table, told
from .benchmarks.targets import Target, targets

ABSENT = Entry("absent", "tests.benchmarks.contestants.absent")
OTHERS = {"depth": 1.0, "level": 10.0, "turns": 1.0, "import": 1.0, "names": 1.0}


@pytest.fixture(scope="module")
def bench() -> Bench:
    return measured(TINY, [FLOOR, ABSENT], [], lambda _: None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def floor(server: Server) -> Iterator[Worker]:
    with Worker(FLOOR, server.url) as worker:
        yield worker


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_contestant_is_measured_in_all_ways(bench: Bench) -> None:
    row = bench.rows[FLOOR.name]
    assert not row.failures
    assert row.left == "closed"
    assert [each["lost"] for each in row.streams] == [0]
    for numbers in (row.burst, row.paced, row.history, row.first, row.cold, row.broken, row.cancelled):
        assert numbers
        assert min(numbers) > 0


@pytest.mark.parametrize("how", ["pulled", "pushed", "blocking"])
def test_a_workflow_takes_part(server: Server, how: str) -> None:
    async def main() -> None:
        contestant = await opened(server.url, "httpx", "3", how)
        reading = await read(contestant, server.url, model="burst-20", messages=6, times=2)
        assert reading["tokens"] == 40
        left = await leave(contestant, server.url, times=2, how="break")
        assert (len(left["ms"]), left["garbage"], left["never"]) == (2, 0, 0)
        await contestant.close()

    asyncio.run(main())


def test_one_that_fails_is_left_out_and_says_why(bench: Bench) -> None:
    (why,) = bench.rows[ABSENT.name].failures
    assert "No module named 'tests.benchmarks.contestants.absent'" in why
    assert bench.rows[ABSENT.name].burst == []


def test_the_report_names_all_that_was_measured_and_all_that_was_not(bench: Bench) -> None:
    found = targets(bench, OTHERS, brief=True)
    assert {target.number for target in found} == set(range(9))
    lines = {target.what: told(target) for target in found}
    assert "not measured  MISSED" in lines["burst: bare / rxagents"]
    assert "held" in lines["setting a level up"]
    rows = table(bench).splitlines()
    assert [row.split("  ")[0] for row in rows[2:]] == [FLOOR.name, ABSENT.name]
    outcome = results(bench, [], found, brief=True)
    assert json.loads(json.dumps(outcome)) == outcome


@pytest.mark.parametrize(
    ("value", "least", "held"),
    [(1.0, False, True), (3.0, False, False), (3.0, True, True), (1.0, True, False), (None, False, False)],
)
def test_a_target_is_held_or_missed(value: float | None, least: bool, held: bool) -> None:
    assert Target(1, "this / that", value, "", 2.0, 2.0, least).held is held


def test_what_is_held_short_of_the_issue_is_said() -> None:
    line = told(Target(1, "this / that", 2.5, "", 2.0, 3.0))
    assert "2.50  held, short of the issue's (≤ 3; the issue: ≤ 2)" in line


def test_paced_tokens_come_a_read_each(server: Server) -> None:
    async def main() -> None:
        contestant = Floor(server.url)
        reading = await read(contestant, server.url, model="paced-10-10000")
        await contestant.close()
        assert reading["tokens"] == 10
        assert reading["wall"] >= 0.1
        assert 4 < contestant.reads < 15  # a machine with much else to do lets some come together

    asyncio.run(main())


def test_a_stream_is_as_long_as_its_tokens(floor: Worker) -> None:
    told = floor.ask("streams", count=10, tokens=10, gap=10_000)
    assert told["lost"] == told["failures"] == 0
    assert told["wall"] >= 0.1
    assert 0 < told["lag_p50"] <= told["lag_p99"]


def test_an_answer_that_nobody_leaves_is_seen_to_stay_open(server: Server) -> None:
    entry = Entry("forgetful", "tests.benchmarks.contestants.forgetful")
    with Worker(entry, server.url) as worker:
        assert worker.ask("leave", times=2, how="break") == {"ms": [], "garbage": 0, "never": 1}


def test_what_a_worker_cannot_do_is_an_error_and_no_end(floor: Worker) -> None:
    with pytest.raises(ChildFailed, match="404"):
        floor.ask("read", model="lost its name")
    assert floor.ask("read", model="burst-3")["tokens"] == 3


def test_a_worker_that_says_nothing_is_killed(server: Server) -> None:
    with Worker(FLOOR, server.url) as worker:
        with pytest.raises(ChildFailed, match="ended with"):
            worker.ask("read", model="stalled-3", seconds=0.2)
        assert gone(worker.pid)


def test_all_processes_end_when_the_measuring_breaks_off() -> None:
    pids: list[int] = []

    def break_off() -> None:
        with Server() as server, Worker(FLOOR, server.url) as worker:
            pids.extend((server.pid, worker.pid))
            worker.ready().write('{"do": "read", "model": "stalled-3"}')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_the_chunks_of_http_are_undone_wherever_they_are_cut() -> None:
    data = burst(3).removeprefix(HEAD)
    whole, rest, ended = undone(data)
    assert (rest, ended) == (b"", True)
    assert whole.count(b"data: ") == 7  # a role, three tokens, a reason to finish, the usage, [DONE]
    for at in range(len(data)):
        first, left, early = undone(data[:at])
        second, none, late = undone(left + data[at:])
        assert (first + second, none, early, late) == (whole, b"", False, True)
