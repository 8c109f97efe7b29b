"""LLM agents as Rx operators: a conversation is an observable of message observables.

```
tokens        Delta  Delta  Delta                       one increment each, as the model sent it
message       MessageStream = Observable[Delta]         replayable; ends as one frozen Message
conversation  Observable[Item]      Item = MessageStream | Block | StateUpdate | Transcript
agent         Callable[[Observable[Item]], Observable[Item]]       so: source.pipe(agent_a, agent_b)
workflow      Observable[Item] -> Observable[Marker]    start · delta · function_result · response · end

say("…") ─▶ Agent / Team / Sequence / Parallel / Switch … ─▶ markers() ─▶ Workflow ─▶ History
                │
                └─ LLM: ChatRequest -> Observable[Delta | Completion]

live input ─▶ turns(Agent, "switch") ─▶ text() / markers() / …         demand ◀─ whoever iterates
```

A message is a stream of tokens that can be read again and again; a conversation is a stream of such
messages; an agent is an operator between conversations. Teams are compositions of operators,
cancelling is disposing, a workflow is one subscription that writes what it hears as
`(mark, content)` tuples, and a test is a marble diagram. Tokens never travel up through the agents:
messages are passed by reference, and only the serializer reads their tokens.
"""

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # mypy reads an `__all__` only where it is written out, so each one is named here
    from .errors import *  # noqa: F403
    from .public_names import *  # noqa: F403
else:
    # pytest imports the plugin, and with it this package, at the start of each run of each project
    # that has rxagents installed; so what costs time is imported when a name is first asked for.

    def __getattr__(name):
        if name == "__all__" or (name.isidentifier() and not name.startswith("_")):
            module = f"{__name__}.{name}"
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
            names = _filled()
            if name in names:
                return names[name]
            if name in names["__all__"]:
                return names.setdefault(name, getattr(import_module(".public_names", __name__), name))
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )

    def __dir__():
        return sorted({*_filled(), *_filled()["__all__"]})

    def _filled():
        """The globals of the package, with what it exports but for what is imported by itself."""
        room = import_module(".public_names", __name__)
        names = globals()
        for name in {"__all__", *room.__all__} & vars(room).keys():
            # only what is missing: another name may have been replaced, by a mock for one
            names.setdefault(name, getattr(room, name))
        return names


logging.getLogger(__name__).addHandler(logging.NullHandler())
