"""What tests of agents need: a virtual clock, scripted models, and an OpenAI-compatible server."""

from .clock import VirtualClock, virtual
from .faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from .openai_server import OpenAIServer
from .request_log import RecordedRequest
from .scenarios import default_scenario, echo_scenario, order_scenario
from .services import demo_llm
from .timelines import timeline
from .virtual_loop import EndlessInstantError, NothingToWaitForError, VirtualLoop

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
    "VirtualLoop",
    "default_scenario",
    "demo_llm",
    "echo_scenario",
    "order_scenario",
    "timeline",
    "virtual",
]
