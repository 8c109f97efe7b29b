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
│   ├── ModelProtocolError               what came is no answer of the API
│   ├── ModelRequestBlockedError         a real service was asked where tests forbid it
│   └── ScriptError                      a scripted model has no reply for a request
├── ToolError                            a tool call failed; the model is told: `rxagents.tooling.toolboxes`
│   ├── UnknownToolError
│   ├── ToolArgumentsError
│   ├── ToolTimeoutError
│   └── ToolFailedError
├── AgentError                           an agent could not finish its turn
│   ├── GuardError                       a guard tripped (`.guard`, `.agent`, `.reason`)
│   ├── MaxHandoffsError                 agents handed over to each other, and none answered
│   ├── MaxRoundsError                   the model never stopped calling tools
│   ├── OutputError (ValueError)         the answer is not of the output type
│   ├── PlanningError                    a team's model wrote no plan that will do
│   ├── RaceError                        of the members of a race, nobody has won
│   └── RoutingError                     a team's model, or its selector, named nobody it may choose
├── WorkflowError
│   ├── ApprovalError                    a tool call was to be decided that does not wait, or by nobody
│   ├── HistoryError                     a stored conversation cannot be read, or not be written
│   ├── WorkflowBusyError                a second run at once
│   └── BlockingCallError                a blocking call where it would block itself
├── RunCancelledError                    the event loop ended while a run was going on
├── LateItemError                        an item came after the end of its stream (see `on_dropped`)
└── NoRealTimeError                      a socket or a real wait under the virtual clock
```

An error remembers where it passed; see `rxagents.places`.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AgentError", "ApprovalError", "BlockingCallError", "ConfigurationError", "GuardError",
    "HistoryError", "InputError", "LateItemError", "MaxHandoffsError", "MaxRoundsError",
    "ModelConnectionError", "ModelError", "ModelProtocolError", "ModelRequestBlockedError",
    "ModelStatusError", "ModelStreamError", "ModelTimeoutError", "NoRealTimeError", "OutputError",
    "PlanningError", "RaceError", "RoutingError", "RunCancelledError", "RxAgentsError", "ScriptError",
    "ToolArgumentsError", "ToolError", "ToolFailedError", "ToolTimeoutError", "UnknownToolError",
    "WorkflowBusyError", "WorkflowError",
]  # fmt: skip


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
    """The service sent nothing within the client's timeout, or a model was slower than its `timeouts`."""


class ModelStatusError(ModelError):
    """The service answered with an HTTP error.

    Args:
        message: The provider's own words.
        status: The HTTP status code.
        request_id: The provider's id of the request, for its support.
        retry_after: Seconds after which the provider says to ask again, if it says so.
    """

    def __init__(
        self, message: str, *, status: int, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


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
    """What came is no answer of the API that was asked."""


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
    """The tool did not answer within its timeout; `began` is False if it still waited for its place."""

    began = True


class ToolFailedError(ToolError):
    """The tool raised; the cause is in `__cause__`."""


class AgentError(RxAgentsError):
    """An agent could not finish its turn."""


class GuardError(AgentError):
    """A guard tripped, and was to fail the turn. A check raises it, too, to say why something does not pass.

    Args:
        message: What happened, in words.
        guard: The name of the guard.
        agent: Whose words it is about.
        reason: Why it tripped.
    """

    def __init__(self, message: str, *, guard: str = "", agent: str | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.guard = guard
        self.agent = agent
        self.reason = reason


class MaxHandoffsError(AgentError):
    """A turn was handed over `max_handoffs` times, and once more."""


class MaxRoundsError(AgentError):
    """The model went on calling tools for `max_rounds` rounds."""


class OutputError(AgentError, ValueError):
    """The answer is not of the output type; the text has a line for each error, with its path."""


class PlanningError(AgentError):
    """A team's model wrote no plan that its members can follow."""


class RaceError(AgentError):
    """Nobody has won a race; the text says of each member why."""


class RoutingError(AgentError):
    """A team's model, or its selector, did not name a member that it may choose."""


class WorkflowError(RxAgentsError):
    """A workflow was used in a way that it cannot serve."""


class ApprovalError(WorkflowError):
    """A tool call was decided that does not wait for approval, or there is nobody to decide it."""


class HistoryError(WorkflowError):
    """A stored conversation cannot be read, or could not be written; the text names its file."""


class WorkflowBusyError(WorkflowError):
    """A second run was started while one is going on."""


class BlockingCallError(WorkflowError):
    """A blocking call was made on the loop that would have to answer it."""


class RunCancelledError(RxAgentsError):
    """The event loop ended, or its task was cancelled, while a run was going on."""


class LateItemError(RxAgentsError):
    """A stream went on after its end. Nobody can be told but the hook for what is dropped."""


class NoRealTimeError(RxAgentsError):
    """A socket was opened under the virtual clock, where no real time passes."""


def _restored(kind: type[RxAgentsError], args: tuple[Any, ...]) -> RxAgentsError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error
