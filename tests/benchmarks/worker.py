"""python -m tests.benchmarks.worker MODULE[:OPTION…] URL: one contestant in a process of its own.

A command is a line of JSON on the standard input, its measurement a line on the standard output. In
between the process sleeps in its read. It ends when its input does. Standard library only: a peer's
worker runs in the peer's venv.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
from typing import Any, TextIO

from .contestants import Contestant
from .files import raise_the_limit
from .measurements import COMMANDS, Told

__all__ = ["main"]


async def main(contestant: str, url: str, output: TextIO) -> None:
    def answer(what: Told) -> None:
        print(json.dumps(what), file=output, flush=True)

    module, *options = contestant.split(":")
    begun = time.perf_counter()
    opened = importlib.import_module(module).opened
    imported = time.perf_counter()
    reader: Contestant = await opened(url, *options)
    answer({"import": (imported - begun) * 1e3, "open": (time.perf_counter() - imported) * 1e3})
    gc.collect()
    # the loop stands still while this waits, as it should when it is another's turn
    while line := sys.stdin.readline():
        asked: dict[str, Any] = json.loads(line)
        try:
            answer(await COMMANDS[asked.pop("do")](reader, url, **asked))
        except Exception as error:
            answer({"error": repr(error), "traceback": traceback.format_exc()})
        await asyncio.sleep(0.001)  # what ends in the background
    await reader.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    raise_the_limit()
    # a library that prints does not print into the measurements
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(main(sys.argv[1], sys.argv[2], own))
