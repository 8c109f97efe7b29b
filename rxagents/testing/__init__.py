"""What tests of agents need: marbles on a virtual clock, scripted models, and an OpenAI-compatible server.

```
marbles      draws sources and expectations, and runs them in virtual time
language     the marble diagrams themselves
clock        an asyncio loop whose time jumps
recordings   runs and models, recorded and replayed
drawing      runs as pictures
laws         what every operator has to keep, checked by hypothesis; imported by itself
server       OpenAI-compatible, on the loopback, fails to order
```
"""

from ..llm.recorded import record
from .clock import (
    EndlessInstantError,
    NothingToWaitForError,
    StubbornTaskError,
    VirtualClock,
    VirtualLoop,
    virtual,
)
from .drawing import Drawing, draw
from .guards import block_model_requests
from .lanes import Called, Event, Lane, Returned
from .language import Diagram, DiagramError, MarbleError, parse, render
from .marbles import MarbleFailure, MarbleLLM, Marbles, MarbleTool, Probe
from .recordings import Exchange, RecordedError, Recording, read_recording, replay
from .server import (
    Dropped,
    Endless,
    HTTPFault,
    Malformed,
    OpenAIServer,
    Paused,
    Raw,
    RecordedRequest,
    Stalled,
    default_scenario,
    demo_llm,
    echo_scenario,
    order_scenario,
)

__all__ = [
    "Called",
    "Diagram",
    "DiagramError",
    "Drawing",
    "Dropped",
    "Endless",
    "EndlessInstantError",
    "Event",
    "Exchange",
    "HTTPFault",
    "Lane",
    "Malformed",
    "MarbleError",
    "MarbleFailure",
    "MarbleLLM",
    "MarbleTool",
    "Marbles",
    "NothingToWaitForError",
    "OpenAIServer",
    "Paused",
    "Probe",
    "Raw",
    "RecordedError",
    "RecordedRequest",
    "Recording",
    "Returned",
    "Stalled",
    "StubbornTaskError",
    "VirtualClock",
    "VirtualLoop",
    "block_model_requests",
    "default_scenario",
    "demo_llm",
    "draw",
    "echo_scenario",
    "order_scenario",
    "parse",
    "read_recording",
    "record",
    "render",
    "replay",
    "virtual",
]
