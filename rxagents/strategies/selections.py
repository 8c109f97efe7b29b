"""Selections: some messages of a conversation, none of them torn from what it cannot stand without.

The conversation's own instructions (system messages without a name) stay wherever one cuts. The
results of tools go with the message that called them, and the calls with their results, since no
model takes the one without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..ledgers import is_instruction
from ..transcripts import Transcript
from ..values import Message

__all__ = ["Selection", "tail"]

_SPEAK = ("user", "assistant")


def tail(transcript: Transcript, count: int) -> tuple[Message, ...]:
    """The instructions, and at least so many of the last messages; what is further back is not looked at.

    No result is among them whose call is not, unless the call is nowhere.
    """
    begin, open_results = len(transcript), set[str | None]()
    while begin and (count > 0 or open_results):
        begin -= 1
        message = transcript[begin]
        count -= not is_instruction(message)
        if message.role == "tool":
            open_results.add(message.tool_call_id)
        else:
            open_results.difference_update(call.id for call in message.tool_calls)
    return transcript.instructions(begin) + transcript[begin:]


class Selection:
    """What there is to choose from.

    Args:
        messages: Of a conversation, oldest first.

    Attributes:
        said: The positions that can be chosen: of all messages but the instructions, and but the
            results whose call is not there.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = tuple(messages)
        self._instructions: set[int] = set()
        self._whole: dict[int, list[int]] = {}
        self.said: list[int] = []
        callers: dict[str, int] = {}
        for at, message in enumerate(self._messages):
            if message.role not in _SPEAK and is_instruction(message):
                self._instructions.add(at)
                continue
            if message.role == "tool":
                caller = callers.get(message.tool_call_id or "")
                if caller is None:
                    continue
                self._whole[at] = self._whole.setdefault(caller, [caller])
                self._whole[at].append(at)
            elif message.tool_calls:
                callers.update((call.id, at) for call in message.tool_calls)
            self.said.append(at)

    def message(self, at: int) -> Message:
        """The message at a position."""
        return self._messages[at]

    def whole(self, at: int) -> Sequence[int]:
        """A position, with those that it cannot stand without."""
        return self._whole.get(at, (at,))

    def positions(self, chosen: Iterable[int]) -> list[int]:
        """The positions, with those that they cannot stand without and the instructions, in order."""
        wanted = set(self._instructions)
        for at in chosen:
            wanted.update(self.whole(at))
        return sorted(wanted)

    def of(self, chosen: Iterable[int]) -> tuple[Message, ...]:
        """The messages at these positions, with all that `positions` adds."""
        return tuple(self._messages[at] for at in self.positions(chosen))
