"""The exceptions of rxagents, in one tree.

```
RxAgentsError
├── ConfigurationError (ValueError)      a setting, an id or an argument is missing or wrong
├── InputError (TypeError)               what was said is no message
├── ModelError                           the model, or the way to it, failed
│   ├── ModelConnectionError             no connection, or lost before the answer was whole
│   ├── ModelTimeoutError                nothing came in time
│   ├── ModelStatusError                 the service answered with an HTTP error (`.status`)
│   ├── ModelStreamError                 the service reported an error within its stream
│   ├── ModelProtocolError               the bytes are no chat-completions stream
│   ├── ModelRequestBlockedError         a real service was asked where tests forbid it
│   └── ScriptError                      a scripted model has no reply for a request
├── ToolError                            a tool call failed; told to the model, see `rxagents.toolboxes`
│   ├── UnknownToolError
│   ├── ToolArgumentsError
│   ├── ToolTimeoutError
│   └── ToolFailedError
├── AgentError                           an agent could not finish its turn
│   ├── MaxRoundsError                   the model never stopped calling tools
│   └── RoutingError                     a team's model did not name a member it may choose
├── WorkflowError
│   ├── WorkflowBusyError                a second run at once
│   └── BlockingCallError                a blocking call where it would block itself
├── RunCancelledError                    the event loop ended while a run was going on
└── NoRealTimeError                      a socket or a real wait under the virtual clock
```

An error remembers where it passed: `where(error)` gives the places from the outside in, and the
same stands in one exception note (`in team > agent1`), so that a traceback shows it.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AgentError",
    "BlockingCallError",
    "ConfigurationError",
    "InputError",
    "MaxRoundsError",
    "ModelConnectionError",
    "ModelError",
    "ModelProtocolError",
    "ModelRequestBlockedError",
    "ModelStatusError",
    "ModelStreamError",
    "ModelTimeoutError",
    "NoRealTimeError",
    "RoutingError",
    "RunCancelledError",
    "RxAgentsError",
    "ScriptError",
    "ToolArgumentsError",
    "ToolError",
    "ToolFailedError",
    "ToolTimeoutError",
    "UnknownToolError",
    "WorkflowBusyError",
    "WorkflowError",
]


class RxAgentsError(Exception):
    """The root: everything that rxagents raises of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        # a stock exception is made anew from its positional arguments, and some of these need others
        return _restored, (type(self), self.args), self.__dict__


class ConfigurationError(RxAgentsError, ValueError):
    """A setting, an id or an argument is missing or wrong; the text names it."""


class InputError(RxAgentsError, TypeError):
    """What was said or yielded is no message; the text names its type."""


class ModelError(RxAgentsError):
    """The model, or the way to it, failed."""


class ModelConnectionError(ModelError):
    """No connection to the service, or it was lost before the answer was whole."""


class ModelTimeoutError(ModelError):
    """The service sent nothing within the client's timeout."""


class ModelStatusError(ModelError):
    """The service answered with an HTTP error.

    Args:
        message: The provider's own words.
        status: The HTTP status code.
        request_id: The provider's id of the request, for its support.
    """

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class ModelStreamError(ModelError):
    """The service reported an error within a stream that had begun.

    Args:
        message: The provider's own words.
        body: The error as the provider sent it.
    """

    def __init__(self, message: str, body: object = None) -> None:
        super().__init__(message)
        self.body = body


class ModelProtocolError(ModelError):
    """What came is no chat-completions stream."""


class ModelRequestBlockedError(ModelError):
    """A real service was asked while `rxagents.testing.block_model_requests` forbids it."""


class ScriptError(ModelError):
    """A scripted model has no reply for a request."""


class ToolError(RxAgentsError):
    """A tool call failed. The model is told, and the run goes on."""


class UnknownToolError(ToolError):
    """The model called a tool that the agent does not have."""


class ToolArgumentsError(ToolError):
    """The arguments are no JSON, or do not fit the tool's parameters."""


class ToolTimeoutError(ToolError):
    """The tool did not answer within its timeout."""


class ToolFailedError(ToolError):
    """The tool raised; the cause is in `__cause__`."""


class AgentError(RxAgentsError):
    """An agent could not finish its turn."""


class MaxRoundsError(AgentError):
    """The model went on calling tools for `max_rounds` rounds."""


class RoutingError(AgentError):
    """A team's model did not name a member that it may choose."""


class WorkflowError(RxAgentsError):
    """A workflow was used in a way that it cannot serve."""


class WorkflowBusyError(WorkflowError):
    """A second run was started while one is going on."""


class BlockingCallError(WorkflowError):
    """A blocking call was made on the loop that would have to answer it."""


class RunCancelledError(RxAgentsError):
    """The event loop ended, or its task was cancelled, while a run was going on."""


class NoRealTimeError(RxAgentsError):
    """A socket was opened under the virtual clock, where no real time passes."""


def _restored(kind: type[RxAgentsError], args: tuple[Any, ...]) -> RxAgentsError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def words(error: BaseException) -> str:
    """What an error says, also where its own `__str__` fails."""
    try:
        return str(error)
    except Exception:
        return f"({type(error).__name__} without words: its __str__ raises)"


def where(error: BaseException) -> tuple[str, ...]:
    """The places that the error passed, from the outside in."""
    return getattr(error, "_rxagents_where", ())


def located(error: Exception, place: str) -> Exception:
    """Adds a place in front of those that the error has passed, and keeps its one note up to date."""
    return placed(error, (place, *where(error)))


def raisable(error: Exception, what: str) -> Exception:
    """What a coroutine can raise in an error's place: the error itself, unless it is a stop of an iteration.

    Python would replace such a one by a bare RuntimeError, which has lost its place.
    """
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    other = RuntimeError(f"{what} raised {type(error).__name__}, which means the end of an iteration")
    other.__cause__ = error
    return other


def located_as(error: Exception, place: str) -> Exception:
    """What to raise for an error of a place: located there, and such that a coroutine can raise it."""
    return located(raisable(error, place), place)


def unlocated(error: Exception) -> Exception:
    """Forgets where the error passed: one object may be raised anew, by a model that is asked again."""
    return placed(error, ())


def placed(error: Exception, places: tuple[str, ...]) -> Exception:
    """Says anew where the error passed: one object may reach several readers by different ways."""
    stale = where(error)
    if stale:
        note = _note(stale)
        error.__notes__[:] = [other for other in error.__notes__ if other != note]
    error._rxagents_where = places  # type: ignore[attr-defined]
    if places:
        error.add_note(_note(places))
    return error


def _note(places: tuple[str, ...]) -> str:
    return "in " + " > ".join(places)
