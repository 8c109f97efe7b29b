"""What an API is to the server: what it objects to, what a script gets to see, how an answer is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...values import Completion, Delta
from .faults import HTTPFault, Step

__all__ = ["Asked", "ServedAPI"]


class Asked(NamedTuple):
    """A request that is answered.

    Args:
        identifier: Of the answer.
        model: Its name, as it stands in the answer.
        body: The JSON of the request.
    """

    identifier: str
    model: str
    body: dict[str, Any]

    @property
    def streaming(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.body.get("stream"))


class ServedAPI(NamedTuple):
    """One API.

    Args:
        prefix: How the identifiers of its answers begin.
        objection: What is wrong with the JSON of a request, if anything is.
        chat_body: The request in the form of a chat completion, for the script.
        steps: An answer as events, or as a document where no stream was asked for.
    """

    prefix: str
    objection: Callable[[dict[str, Any]], HTTPFault | None]
    chat_body: Callable[[dict[str, Any]], dict[str, Any]]
    steps: Callable[[Sequence[Delta], Completion, Asked], list[Step]]
