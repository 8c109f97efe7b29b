"""What tests of agents need: a virtual clock, scripted models, and an OpenAI-compatible server."""

from .clock import EndlessInstantError, NothingToWaitForError, VirtualClock, virtual
from .faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from .openai_server import OpenAIServer
from .request_log import RecordedRequest
from .scenarios import default_scenario, echo_scenario, order_scenario

__all__ = [
    "Dropped",
    "EndlessInstantError",
    "HTTPFault",
    "Malformed",
    "NothingToWaitForError",
    "OpenAIServer",
    "Paused",
    "Raw",
    "RecordedRequest",
    "Stalled",
    "VirtualClock",
    "default_scenario",
    "echo_scenario",
    "order_scenario",
    "virtual",
]
