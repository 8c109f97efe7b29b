"""python -m tests.benchmarks.idler CORE: keeps a core from sleeping while its standard input is open.

It runs only when nobody else wants to. A core that sleeps wakes up late and with cold caches: between two
tokens that would cost more than most clients do, and other machines sleep otherwise.
"""

from __future__ import annotations

import os
import sys
import threading


def main(core: int) -> None:
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    while True:
        pass


def _leave_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
