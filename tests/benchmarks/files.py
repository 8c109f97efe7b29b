"""Room for thousands of sockets in one process."""

from __future__ import annotations

__all__ = ["raise_the_limit"]


def raise_the_limit() -> int:
    """Lets this process open as many files as it is allowed to; how many that are."""
    try:
        import resource
    except ImportError:  # not there on Windows, which has no such limit
        return 1_000_000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
