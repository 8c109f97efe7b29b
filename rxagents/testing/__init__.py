"""What tests of agents need: marbles on a virtual clock, scripted models, and an OpenAI-compatible server.

```
marbles    draws sources and expectations, and runs them in virtual time    see rxagents.testing.marbles
clock      an asyncio loop whose time jumps                                 see rxagents.testing.clock
server     OpenAI-compatible, on the loopback, fails to order               see rxagents.testing.openai_server
```
"""

from .clock import VirtualClock, virtual
from .diagrams import DiagramError, MarbleError
from .drawings import Drawing, draw
from .faults import Dropped, HTTPFault, Malformed, Paused, Raw, Stalled
from .guards import block_model_requests
from .lanes import Event, Lane
from .marble_failures import MarbleFailure
from .marbles import Marbles
from .openai_server import OpenAIServer
from .probes import Probe
from .request_log import RecordedRequest
from .scenarios import default_scenario, echo_scenario, order_scenario
from .services import demo_llm
from .timelines import timeline
from .virtual_loop import EndlessInstantError, NothingToWaitForError, VirtualLoop

__all__ = [
    "DiagramError",
    "Dropped",
    "EndlessInstantError",
    "Event",
    "HTTPFault",
    "Lane",
    "Malformed",
    "MarbleError",
    "MarbleFailure",
    "Marbles",
    "NothingToWaitForError",
    "OpenAIServer",
    "Paused",
    "Probe",
    "Raw",
    "RecordedRequest",
    "Stalled",
    "VirtualClock",
    "VirtualLoop",
    "block_model_requests",
    "default_scenario",
    "demo_llm",
    "echo_scenario",
    "order_scenario",
    "timeline",
    "virtual",
]
