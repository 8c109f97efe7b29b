"""The virtual clock: an asyncio event loop whose time jumps, so that an hour takes milliseconds."""

from .loop_closing import StubbornTaskError
from .virtual_clock import VirtualClock, virtual
from .virtual_loop import EndlessInstantError, NothingToWaitForError, VirtualLoop

__all__ = [
    "EndlessInstantError",
    "NothingToWaitForError",
    "StubbornTaskError",
    "VirtualClock",
    "VirtualLoop",
    "virtual",
]
