"""Who takes part beside the peers."""

from __future__ import annotations

from .contestants import Entry

__all__ = [
    "BARE",
    "BLOCKING",
    "CLIENT",
    "DISPOSED",
    "FAST",
    "FAST_CLIENT",
    "FLOOR",
    "OPENAI",
    "ROWS",
    "STEEP",
    "VARIANTS",
]

_HERE = "tests.benchmarks.contestants"

FLOOR = Entry("raw socket + jiter (the floor)", f"{_HERE}.floor")
BARE = Entry("openai, bare `async for`", f"{_HERE}.bare_openai")
OPENAI = Entry("rxagents, 5 agents deep", f"{_HERE}.workflow:httpx:5")
FAST = Entry("rxagents, 5 agents deep, fast", f"{_HERE}.workflow:aiohttp:5")

# what the client itself takes: neither its models nor us
CLIENT = Entry("openai's raw bytes + jiter", f"{_HERE}.client_bytes:httpx")
FAST_CLIENT = Entry("openai's raw bytes + jiter, fast", f"{_HERE}.client_bytes:aiohttp")

STEEP = Entry("rxagents, 20 agents deep, fast", f"{_HERE}.workflow:aiohttp:20")
BLOCKING = Entry("rxagents, `run_stream` in a thread, fast", f"{_HERE}.workflow:aiohttp:5:blocking")
DISPOSED = Entry("rxagents, 20 agents deep, disposed, fast", f"{_HERE}.workflow:aiohttp:20:pushed")

ROWS = (
    FLOOR,
    Entry("aiohttp + jiter", f"{_HERE}.aiohttp_bytes"),
    CLIENT,
    FAST_CLIENT,
    BARE,
    OPENAI,
    FAST,
)
"""The rows of the table."""

VARIANTS = (STEEP, BLOCKING, DISPOSED)
"""Those that one target or another compares with, measured only for that."""
