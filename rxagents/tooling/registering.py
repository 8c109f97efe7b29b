"""How functions become an agent's tools: the decorator `register_tool`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from .call_limits import ToolRetry
from .pending_calls import Approval
from .toolboxes import Toolbox
from .tools import Tool

__all__ = ["Registering"]

F = TypeVar("F", bound=Callable[..., Any])


class Registering:
    """Who has a toolbox, and takes functions into it."""

    toolbox: Toolbox

    @overload
    def register_tool(self, function: F, /) -> F: ...
    @overload
    def register_tool(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        max_concurrent: int | None = None,
        retry: int | ToolRetry = 0,
        max_result: int | None = None,
        early: bool = True,
        approval: Approval = False,
    ) -> Callable[[F], F]: ...
    def register_tool(
        self,
        function: F | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        max_concurrent: int | None = None,
        retry: int | ToolRetry = 0,
        max_result: int | None = None,
        early: bool = True,
        approval: Approval = False,
    ) -> F | Callable[[F], F]:
        """Decorates a function that the model may call; the function itself stays as it is.

        Args:
            function: The function, where the decorator stands without parentheses; or a Tool.
            name: The tool's name; by default the function's.
            description: What it does, for the model; by default the docstring's first paragraph.
            timeout: Seconds after which the model is told that it took too long.
            max_concurrent: How many of its calls may run at once.
            retry: How often it is called again after it raised, or a ToolRetry that says more.
            max_result: Characters of a result that the model gets.
            early: Whether it may start before the model has ended, where the agent has `early_calls`.
            approval: Whether a call waits until somebody approves it: True, or a function of the PendingCall.
        """

        def register(function: F) -> F:
            self.toolbox.add(
                Tool(
                    function,
                    name=name,
                    description=description,
                    timeout=timeout,
                    max_concurrent=max_concurrent,
                    retry=retry,
                    max_result=max_result,
                    early=early,
                    approval=approval,
                )
            )
            return function

        if isinstance(function, Tool):
            self.toolbox.add(function)
            return function
        return register if function is None else register(function)
