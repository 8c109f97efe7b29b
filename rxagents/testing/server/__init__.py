"""An OpenAI-compatible server on the loopback that can fail to order, and ready-made scripts for it."""

from .faults import Dropped, Endless, HTTPFault, Malformed, Paused, Raw, Stalled
from .openai_server import OpenAIServer
from .request_log import RecordedRequest
from .scenarios import default_scenario, echo_scenario, order_scenario
from .services import demo_llm

__all__ = [
    "Dropped",
    "Endless",
    "HTTPFault",
    "Malformed",
    "OpenAIServer",
    "Paused",
    "Raw",
    "RecordedRequest",
    "Stalled",
    "default_scenario",
    "demo_llm",
    "echo_scenario",
    "order_scenario",
]
