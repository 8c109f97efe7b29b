"""Those that read the same answers: what each must be able to do, and how one is named.

A contestant is a module here (or in `tests.benchmarks.peers`) with one function:

    async def opened(url: str, *options: str) -> Contestant

It is imported in a worker process of its own, for a peer by the Python of the peer's venv. So this
module, the worker and what they import need the standard library only, and Python 3.10.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Contestant", "Entry", "Heard", "Message"]

Message = dict[str, str]
"""A `role` and a `content`."""

Heard = Callable[[str], object]
"""Is called with the text of each token, in order; what it returns is true when enough was heard."""


class Entry(NamedTuple):
    """One that takes part.

    Args:
        name: As it stands in the table.
        contestant: Its module, then its options: `tests.benchmarks.contestants.workflow:fast:5`.
        python: The interpreter of its worker.
    """

    name: str
    contestant: str
    python: str = sys.executable


class Contestant:
    """What reads. All requests of a worker go through the one that `opened` gave, on one event loop."""

    async def read(self, model: str, conversation: Any, heard: Heard) -> None:
        """Asks the model with streaming on, and calls `heard` with each token's text that is not empty.

        When `heard` returns something true it leaves as its user would who writes `break`, and returns
        at once. Else it returns when the answer has ended. It keeps nothing of the answer that its user
        would not keep.

        Args:
            model: Goes into the request as it is; the canned server chooses its answer by it.
            conversation: What `held` gave.
            heard: The listener. It costs a list append, or a little more.
        """
        raise NotImplementedError

    def held(self, messages: list[Message]) -> Any:
        """These messages as the user of this library would hold a conversation; not measured."""
        return messages

    async def close(self) -> None:
        """Closes the client."""
