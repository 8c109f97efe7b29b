"""python -m tests.benchmarks [--quick] [--peers] [--json FILE] [--svg FILE]: rxagents beside the bare
client, the floor, and every peer that is installed.

Each contestant runs in a process of its own and reads from a canned server in another, round after
round in its turn. CPU time is that of the contestant's process; the ratios are what counts. The exit
status says whether the targets are held. See NOTES.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .charts import chart
from .growth import Law, laws
from .imports import import_ratios
from .peers import entries
from .roster import ROWS, VARIANTS
from .rounds import Bench, measured
from .sizes import FULL, QUICK
from .tables import results, table, told
from .targets import Target, targets
from .venvs import cache


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything; under a minute")
    parser.add_argument("--peers", action="store_true", help="install the peers first, each in a venv")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="where the chart goes")
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else FULL
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"… {time.monotonic() - begun:4.0f} s  {what}", file=sys.stderr, flush=True)

    peers = [] if asked.quick and not asked.peers else entries(install=asked.peers)
    say(f"{len(ROWS) + len(peers)} contestants")
    bench = measured(sizes, [*ROWS, *peers], VARIANTS, say)
    say("imports, laws of growth")
    grown = laws(quick=asked.quick)
    found = targets(bench, import_ratios(sizes.imports) | _of_laws(grown), brief=asked.quick)
    say("done")
    _report(bench, grown, found)
    outcome = results(bench, grown, found, brief=asked.quick)
    _write(asked.json or cache() / "results.json", json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    _write(asked.svg or cache() / "results.svg", chart(outcome))
    failed = any(row.failures for row in bench.rows.values() if row.name not in {peer.name for peer in peers})
    return int(failed or not (all(law.held for law in grown) and all(target.held for target in found)))


def _of_laws(grown: Sequence[Law]) -> dict[str, float]:
    law = {each.name: each for each in grown}
    by_depth = dict(law["a token"].points)
    return {
        "depth": by_depth[20] / by_depth[1],
        "level": dict(law["a level, set up once"].points)[20],
        "turns": law["a turn"].ratio,
    }


def _report(bench: Bench, grown: Sequence[Law], found: Sequence[Target]) -> None:
    print(table(bench))
    if server := bench.server:
        print(
            f"\nThe server spends {server['server']:.2f} µs on a token of a burst, the floor "
            f"{server['floor']:.2f}; the floor waits {server['waited']:.0%} of its time."
        )
    late = [each["late"]["p99"] for row in bench.rows.values() for each in row.streams]
    if late:
        print(
            f"In the streams it was late by {min(late):.1f} to {max(late):.1f} ms (p99 of each contestant)."
        )
    for row in bench.rows.values():
        for failure in row.failures:
            print(f"\n{row.name} failed: {failure}")
    print("\nThe laws of growth")
    for law in grown:
        print(f"  {law.line}{'' if law.held else ' MISSED'}")
    print("\nThe targets")
    print("\n".join(map(told, found)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"\n{path}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
